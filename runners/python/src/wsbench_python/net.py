"""Sockets, which are set up alike for both libraries."""

import os
import socket

from .protocol import emit
from .spec import ServeSpec, Target

BACKLOG = 4096


def listen(spec: ServeSpec) -> socket.socket:
    listener = socket.socket(spec.family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # An accepted connection has it from its listener, on Linux; both libraries set it as well.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setblocking(False)
    listener.bind(spec.address)
    listener.listen(BACKLOG)
    return listener


def announce(listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    address = f"[{host}]:{port}" if listener.family == socket.AF_INET6 else f"{host}:{port}"
    emit("listening", addr=address, pid=os.getpid())


def client_socket(target: Target) -> socket.socket:
    stream = socket.socket(target.family, socket.SOCK_STREAM)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream.setblocking(False)
    return stream
