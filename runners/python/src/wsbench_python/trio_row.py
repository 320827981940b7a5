"""Trio with trio-websocket."""

import traceback
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.metadata import version
from time import monotonic_ns
from typing import TypeVar, cast

import trio
from trio_websocket import (
    ConnectionClosed,
    WebSocketConnection,
    wrap_client_stream,
    wrap_server_stream,
)

from . import net, service
from .cut import SocketError, TransportError
from .drive import Client
from .interpreter import interpreter
from .payload import Message
from .protocol import Control, emit, on_stop
from .spec import DriveSpec, ServeSpec, SocketSpec, Target

T = TypeVar("T")

# Close codes of an end without a closing handshake, and of a message over the limit, which this end refuses.
_NOT_IN_ORDER = (1006, 1009)


class Row:
    def describe(self) -> dict[str, object]:
        python = interpreter()
        return {
            "runtime": "trio",
            "runtime_version": version("trio"),
            "scheduler": f"Trio's run loop on {python}, one thread; timers in whole milliseconds",
            "io_mode": "readiness (epoll); a reader task for each connection",
            "websocket": f"trio-websocket {version('trio-websocket')}, wsproto {version('wsproto')}",
        }

    def serve(self, spec: ServeSpec) -> None:
        trio.run(_serve, spec)

    def drive(self, spec: DriveSpec, control: Control) -> tuple[dict[str, object], bool]:
        return trio.run(_drive, spec, control)


async def _drive(spec: DriveSpec, control: Control) -> tuple[dict[str, object], bool]:
    async with trio.open_nursery() as keepers:
        report = await Client(Runtime(keepers), spec).drive(control)
        keepers.cancel_scope.cancel()
    return report


async def _serve(spec: ServeSpec) -> None:
    token = trio.lowlevel.current_trio_token()
    accounts = service.Accounts()
    stopped = trio.Event()
    limit_s = spec.socket.handshake_timeout_s

    async def accept(listener: trio.SocketListener) -> None:
        while True:
            try:
                stream = await listener.accept()
            except OSError:
                accounts.accept_errors += 1
                # Out of descriptors, most likely: the next attempt would fail as well.
                await trio.sleep(0.1)
            else:
                if accounts.open >= spec.max_connections:
                    accounts.accepted += 1
                    accounts.refused += 1
                    await trio.aclose_forcefully(stream)
                else:
                    connections.start_soon(handle, stream)

    async def handle(stream: trio.SocketStream) -> None:
        accepted = accounts.begin()
        with accounts.count_panics():
            try:
                async with stream, trio.open_nursery() as own:
                    upgraded = None
                    with trio.move_on_after(limit_s):
                        upgraded = await _upgrade(spec.socket, own, stream)
                    if upgraded is not None:
                        chosen, socket = upgraded
                        await accounts.serve(accepted, chosen, socket, timer)
                        with trio.move_on_after(spec.socket.close_timeout_s):
                            await socket.connection.aclose()
                    own.cancel_scope.cancel()
            finally:
                accounts.end(accepted)

    on_stop(lambda: token.run_sync_soon(stopped.set))
    async with trio.open_nursery() as connections:
        timer = Runtime(connections)
        listener = net.listen(spec)
        connections.start_soon(accept, trio.SocketListener(trio.socket.from_stdlib_socket(listener)))
        net.announce(listener)
        await stopped.wait()
        report = await accounts.drain(timer)
        # What is open by now is reported, and not waited for any longer.
        connections.cancel_scope.cancel()
    emit("served", **report)


class Runtime:
    def __init__(self, keepers: trio.Nursery) -> None:
        self.keepers = keepers

    async def sleep_until(self, at_ns: int) -> None:
        while (left := at_ns - monotonic_ns()) > 0:
            await trio.sleep(left / 1e9)

    async def within(self, what: str, limit_s: float, work: Callable[[], Awaitable[T]]) -> T:
        try:
            with trio.fail_after(limit_s):
                return await work()
        except trio.TooSlowError:
            raise SocketError(f"{what} took longer than {limit_s} s") from None

    async def connect(self, target: Target) -> trio.SocketStream:
        stream = trio.socket.from_stdlib_socket(net.client_socket(target))
        try:
            await stream.connect(target.address)
        except OSError as error:
            stream.close()
            raise TransportError(str(error)) from error
        return trio.SocketStream(stream)

    async def upgrade(self, stream: trio.SocketStream, target: Target, path: str, spec: SocketSpec) -> "Socket":
        opening = partial(
            wrap_client_stream,
            stream=stream,
            host=target.authority,
            resource=path,
            max_message_size=spec.max_message_bytes,
            receive_buffer_size=spec.read_buffer_bytes,
        )
        opened: WebSocketConnection | Exception = await self.keepers.start(_keep, opening)
        if isinstance(opened, Exception):
            raise SocketError(f"WebSocket handshake: {_first(opened)!r}") from opened
        return Socket(opened)

    async def run_all(self, jobs: Sequence[Callable[[], Awaitable[None]]]) -> None:
        async with trio.open_nursery() as nursery:
            for job in jobs:
                nursery.start_soon(job)


class Socket:
    __slots__ = ("connection",)

    def __init__(self, connection: WebSocketConnection) -> None:
        self.connection = connection

    async def recv(self) -> Message | None:
        try:
            return await self.connection.get_message()
        except ConnectionClosed as closed:
            if closed.reason is not None and closed.reason.code not in _NOT_IN_ORDER:
                return None
            raise _failure(closed) from closed

    async def send(self, message: Message) -> None:
        try:
            await self.connection.send_message(message)
        except ConnectionClosed as closed:
            raise _failure(closed) from closed

    async def close(self) -> None:
        # trio-websocket is silent about a peer that goes without a closing handshake: the server's counts tell.
        await self.connection.aclose()


async def _upgrade(
    socket: SocketSpec, own: trio.Nursery, stream: trio.SocketStream
) -> tuple[service.Service, Socket] | None:
    try:
        with trio.CancelScope() as waiting:
            request = await wrap_server_stream(
                cast(trio.Nursery, _ReaderNursery(own, waiting)),
                stream,
                max_message_size=socket.max_message_bytes,
                receive_buffer_size=socket.read_buffer_bytes,
            )
        if waiting.cancelled_caught:
            return None
        try:
            chosen = service.parse(request.path)
        except ValueError as reason:
            await request.reject(404, body=f"{reason}\n".encode())
            return None
        return chosen, Socket(await request.accept())
    except ConnectionClosed:
        return None


class _ReaderNursery:
    """Starts the reader of a connection, and ends the wait for its request when the reader has ended.

    After a handshake that is none, trio-websocket would wait for a request until the time limit.
    """

    def __init__(self, nursery: trio.Nursery, waiting: trio.CancelScope) -> None:
        self.nursery = nursery
        self.waiting = waiting

    def start_soon(self, reader: Callable[[], Awaitable[None]]) -> None:
        self.nursery.start_soon(self._read, reader)

    async def _read(self, reader: Callable[[], Awaitable[None]]) -> None:
        await reader()
        self.waiting.cancel()


async def _keep(
    opening: Callable[[trio.Nursery], Awaitable[WebSocketConnection]],
    *,
    task_status: trio.TaskStatus[WebSocketConnection | Exception],
) -> None:
    """Holds the nursery of one connection's reader: an error in it would end all connections that share a nursery."""
    opened = False
    try:
        async with trio.open_nursery() as own:
            connection = await opening(own)
            opened = True
            task_status.started(connection)
    except Exception as error:
        if opened:
            # Whoever waits for a message there is told that the connection is closed; this says why.
            traceback.print_exc()
        else:
            task_status.started(error)


def _failure(closed: ConnectionClosed) -> SocketError:
    # trio-websocket does not tell a broken transport from an end without a closing handshake: no TransportError here.
    return SocketError(f"WebSocket protocol: {closed!r}")


def _first(error: Exception) -> Exception:
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error
