"""The command line: everything that decides what a server or a client does in one trial."""

import argparse
import ipaddress
import re
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from .payload import HEADER_BYTES, PUSH_HEADER_BYTES, SEQUENCES

SERVICES = ("echo", "sink", "push")
WORKLOADS = ("connect", "ping-pong", "window", "one-way", "push", "idle")
FLUSH = ("each",)

# Beyond the socket buffers an echo pair blocks for good, each side in a write.
_MAX_IN_FLIGHT_BYTES = 256 * 1024
# Ephemeral ports of one source address, roughly.
_MAX_CONNECTIONS = 28_000
_MAX_TIME_MS = 3_600_000
_MAX_IDLE_MS = 24 * _MAX_TIME_MS

_SIZES = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30}
_TIMES_NS = {
    "ns": 1,
    "us": 1_000,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
}


@dataclass(frozen=True)
class Target:
    """Where a client connects to."""

    family: int
    address: tuple[str, int]
    authority: str
    # The path of the echo service, where it is not wsbench's own.
    path: str | None

    def path_of(self, service: str) -> str:
        return self.path if service == "/echo" and self.path is not None else service


@dataclass(frozen=True)
class SocketSpec:
    """Settings of a connection, the same at both ends."""

    read_buffer_bytes: int
    max_message_bytes: int
    max_frame_bytes: int
    handshake_timeout_s: float
    close_timeout_s: float


@dataclass(frozen=True)
class ServeSpec:
    family: int
    address: tuple[str, int]
    max_connections: int
    socket: SocketSpec


@dataclass(frozen=True)
class Load:
    """What the client asks of the server."""

    workload: str
    connections: int
    payload_bytes: int
    kind: str
    window: int
    duration_ns: int
    warm_up_ns: int
    messages: int | None
    every_us: int
    schedule: str

    @property
    def batch(self) -> int:
        """Messages of a one-way batch: the original's 10,000, unless given."""
        return self.messages or 10_000

    @property
    def pushes(self) -> int:
        """Pushes to each connection: the original's 20, unless given."""
        return self.messages or 20


@dataclass(frozen=True)
class DriveSpec:
    target: Target
    load: Load
    socket: SocketSpec


class Parser(argparse.ArgumentParser):
    """Answers a wrong command line with one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        sys.stderr.write(f"error: {message}\n")
        sys.exit(2)


def number(least: int, most: int, unit: str = "") -> Callable[[str], int]:
    """A whole number in a range."""
    return _ranged(lambda text: int(text) if text.isascii() and text.isdigit() else None, least, most, unit)


def size(least: int, most: int) -> Callable[[str], int]:
    """A size such as `24`, `2KiB` or `1MiB`, in bytes."""

    def parse(text: str) -> int | None:
        match = re.fullmatch(r"(\d+) ?([A-Za-z]*)", text, re.ASCII)
        unit = _SIZES.get(match[2].upper()) if match else None
        return int(match[1]) * unit if match and unit else None

    return _ranged(parse, least, most, " B")


def time(unit: str, least: int, most: int) -> Callable[[str], int]:
    """A time such as `700ms` or `5s`, in whole `unit`s."""

    def parse(text: str) -> int | None:
        match = re.fullmatch(r"(\d+) ?([a-z]+)", text, re.ASCII)
        factor = _TIMES_NS.get(match[2]) if match else None
        whole, rest = divmod(int(match[1]) * factor, _TIMES_NS[unit]) if match and factor else (0, 1)
        return None if rest else whole

    return _ranged(parse, least, most, f" {unit}")


def _ranged(parse: Callable[[str], int | None], least: int, most: int, unit: str) -> Callable[[str], int]:
    def ranged(text: str) -> int:
        value = parse(text)
        if value is None or not least <= value <= most:
            raise argparse.ArgumentTypeError(f"`{text}`: {least} to {most}{unit} are possible")
        return value

    return ranged


def add_socket_flags(parser: Parser) -> None:
    buffer, limit = size(64, 64 << 20), size(64, 1 << 30)
    parser.add_argument("--threads", type=number(1, 1024), default=1)
    parser.add_argument("--read-buffer", type=buffer, default="16KiB", help="asyncio has no setting for it")
    # Under `each`, the only policy here, nothing waits to be written.
    parser.add_argument("--write-buffer", type=buffer, default="128KiB", help="without effect here")
    parser.add_argument("--max-message", type=limit, default="16MiB")
    parser.add_argument("--max-frame", type=limit, default="16MiB", help="trio-websocket has no setting for it")
    parser.add_argument("--flush", choices=FLUSH, default="each")
    parser.add_argument("--handshake-timeout", type=time("ms", 1, _MAX_TIME_MS), default="10s")
    parser.add_argument("--idle-timeout", type=time("ms", 1, _MAX_IDLE_MS), default="5m", help="not kept here")
    parser.add_argument("--close-timeout", type=time("ms", 1, _MAX_TIME_MS), default="10s")


def add_serve_flags(parser: Parser) -> None:
    parser.add_argument("--listen", default="127.0.0.1:0", help="HOST:PORT; port 0 lets the system choose")
    parser.add_argument("--max-connections", type=number(1, (1 << 32) - 1), default=65_536)


def add_load_flags(parser: Parser) -> None:
    parser.add_argument("--target", required=True, help="HOST:PORT, or ws://HOST:PORT/PATH")
    parser.add_argument("--workload", choices=WORKLOADS, default="ping-pong")
    parser.add_argument("--connections", type=number(1, _MAX_CONNECTIONS), default=1)
    parser.add_argument("--payload", type=size(HEADER_BYTES, 1 << 30), default="24")
    parser.add_argument("--kind", choices=("text", "binary"), default="text")
    parser.add_argument("--window", type=number(1, 1 << 20), default=1)
    parser.add_argument("--duration", type=time("ms", 1, _MAX_TIME_MS), default="1s")
    parser.add_argument("--warm-up", type=time("ms", 0, _MAX_TIME_MS), default="200ms")
    parser.add_argument("--messages", type=number(1, SEQUENCES))
    parser.add_argument("--every", type=time("us", 1, _MAX_TIME_MS * 1000), default="1s")
    parser.add_argument("--schedule", choices=("on-connect", "aligned", "staggered"), default="on-connect")


def _socket_spec(parser: Parser, row: str, arguments: argparse.Namespace) -> SocketSpec:
    if arguments.threads != 1:
        parser.error(f"the row `{row}` has one thread and cannot run on {arguments.threads}")
    return SocketSpec(
        read_buffer_bytes=arguments.read_buffer,
        max_message_bytes=arguments.max_message,
        max_frame_bytes=arguments.max_frame,
        handshake_timeout_s=arguments.handshake_timeout / 1000,
        close_timeout_s=arguments.close_timeout / 1000,
    )


def serve_spec(parser: Parser, row: str, arguments: argparse.Namespace) -> ServeSpec:
    family, address = _resolve(parser, "listen", arguments.listen)
    if not ipaddress.ip_address(address[0]).is_loopback:
        sys.stderr.write(
            f"warning: listening on {arguments.listen}, beyond this machine: anyone who can connect is served, without"
            " authentication and without TLS. The default, 127.0.0.1, is for this machine only\n"
        )
    return ServeSpec(family, address, arguments.max_connections, _socket_spec(parser, row, arguments))


def drive_spec(parser: Parser, row: str, arguments: argparse.Namespace) -> DriveSpec:
    spec = _socket_spec(parser, row, arguments)
    workload, payload, window = arguments.workload, arguments.payload, arguments.window
    limit = min(spec.max_message_bytes, spec.max_frame_bytes)
    least = PUSH_HEADER_BYTES if workload == "push" else HEADER_BYTES
    if not least <= payload <= limit:
        parser.error(f"a payload of {payload} B is out of range, {least} to {limit} B are possible")
    if window > 1 and workload != "window":
        parser.error(f"a window of {window} means nothing to the workload {workload}")
    if window > 1 and window * payload > _MAX_IN_FLIGHT_BYTES:
        parser.error(f"a window of {window} x {payload} B is over the {_MAX_IN_FLIGHT_BYTES} B that may be in flight")
    load = Load(
        workload=workload,
        connections=arguments.connections,
        payload_bytes=payload,
        kind=arguments.kind,
        window=window,
        duration_ns=arguments.duration * 10**6,
        warm_up_ns=arguments.warm_up * 10**6,
        messages=arguments.messages,
        every_us=arguments.every,
        schedule=arguments.schedule,
    )
    return DriveSpec(_target(parser, arguments.target), load, spec)


def _target(parser: Parser, text: str) -> Target:
    if text.startswith("wss://"):
        parser.error(f"`{text}` asks for TLS, which this client does not speak: use ws://HOST:PORT/PATH")
    path = None
    authority = text
    if text.startswith("ws://"):
        authority, _, rest = text.removeprefix("ws://").partition("/")
        path = f"/{rest}"
        if ":" not in authority or authority.endswith("]"):
            authority += ":80"
    family, address = _resolve(parser, "target", authority)
    return Target(family, address, authority, path)


def _resolve(parser: Parser, flag: str, text: str) -> tuple[int, tuple[str, int]]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 0xFFFF:
        parser.error(f"--{flag}: `{text}` is not HOST:PORT")
    try:
        infos = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError as error:
        parser.error(f"--{flag}: the host of `{text}` has no address: {error}")
    family, _, _, _, address = infos[0]
    return family, (str(address[0]), int(address[1]))
