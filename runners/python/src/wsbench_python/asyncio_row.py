"""asyncio with websockets, on asyncio's own event loop or on uvloop."""

import asyncio
import platform
import socket
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from time import monotonic_ns
from typing import TypeVar

from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.http11 import Request, Response

from . import net, service
from .cut import SocketError, TransportError
from .drive import Client
from .interpreter import interpreter
from .payload import Message
from .protocol import Control, emit, on_stop
from .spec import DriveSpec, ServeSpec, SocketSpec, Target

T = TypeVar("T")


class Row:
    def __init__(self, uvloop: bool = False) -> None:
        self.loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
        if uvloop:
            import uvloop as library

            self.loop_factory = library.new_event_loop

    def describe(self) -> dict[str, object]:
        python = interpreter()
        websocket = f"websockets {version('websockets')}, permessage-deflate off"
        if self.loop_factory is None:
            return {
                "runtime": "asyncio",
                "runtime_version": platform.python_version(),
                "scheduler": f"asyncio's event loop on {python}, one thread; timers in whole milliseconds",
                "io_mode": "readiness (epoll); reads up to 256 KiB, for which asyncio has no setting",
                "websocket": websocket,
            }
        return {
            "runtime": "uvloop",
            "runtime_version": version("uvloop"),
            "scheduler": f"libuv's event loop under asyncio on {python}, one thread; timers in whole milliseconds",
            "io_mode": "readiness (epoll through libuv); reads up to 256 KiB, for which uvloop has no setting",
            "websocket": websocket,
        }

    def serve(self, spec: ServeSpec) -> None:
        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            runner.run(_serve(spec))

    def drive(self, spec: DriveSpec, control: Control) -> tuple[dict[str, object], bool]:
        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            return runner.run(Client(Runtime(), spec).drive(control))


async def _serve(spec: ServeSpec) -> None:
    loop = asyncio.get_running_loop()
    accounts = service.Accounts()
    timer = Runtime()
    stopped = asyncio.Event()

    class Served(ServerConnection):
        """A connection that is counted from its acceptance on."""

        service: service.Service

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.accepted = accounts.begin()
            live.add(self)
            super().connection_made(transport)
            if accounts.open > spec.max_connections:
                self.accepted.refused = True
                self.transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            live.discard(self)
            if not self.accepted.upgraded:
                accounts.end(self.accepted)

    live: set[Served] = set()

    def choose(connection: ServerConnection, request: Request) -> Response | None:
        assert isinstance(connection, Served)
        try:
            connection.service = service.parse(request.path)
        except ValueError as reason:
            return connection.respond(404, f"{reason}\n")
        return None

    async def handle(connection: ServerConnection) -> None:
        assert isinstance(connection, Served)
        with accounts.count_panics():
            try:
                await accounts.serve(connection.accepted, connection.service, Socket(connection), timer)
            finally:
                accounts.end(connection.accepted)

    def unexpected(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        # The loop accepts connections by itself and reports here when that fails.
        if "accept" in str(context["message"]):
            accounts.accept_errors += 1
        else:
            accounts.panics += 1
        loop.default_exception_handler(context)

    loop.set_exception_handler(unexpected)
    on_stop(lambda: loop.call_soon_threadsafe(stopped.set))
    listener = net.listen(spec)
    limits = _limits(spec.socket)
    server = await serve(
        handle,
        sock=listener,
        # `listen` is called once more: with its own default asyncio would take the backlog back.
        backlog=net.BACKLOG,
        create_connection=Served,
        process_request=choose,
        compression=None,
        ping_interval=None,
        open_timeout=spec.socket.handshake_timeout_s,
        close_timeout=spec.socket.close_timeout_s,
        max_size=limits,
        write_limit=0,
    )
    net.announce(listener)
    await stopped.wait()
    server.close(close_connections=False)
    report = await accounts.drain(timer)
    # What is open by now is reported, and not waited for any longer.
    for connection in live:
        connection.transport.abort()
    emit("served", **report)


class Runtime:
    async def sleep_until(self, at_ns: int) -> None:
        # A timer may fire early by as much as the loop rounds it.
        while (left := at_ns - monotonic_ns()) > 0:
            await asyncio.sleep(left / 1e9)

    async def within(self, what: str, limit_s: float, work: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(limit_s):
                return await work()
        except TimeoutError:
            raise SocketError(f"{what} took longer than {limit_s} s") from None

    async def connect(self, target: Target) -> socket.socket:
        stream = net.client_socket(target)
        try:
            await asyncio.get_running_loop().sock_connect(stream, target.address)
        except OSError as error:
            stream.close()
            raise TransportError(str(error)) from error
        return stream

    async def upgrade(self, stream: socket.socket, target: Target, path: str, spec: SocketSpec) -> "Socket":
        try:
            connection = await connect(
                f"ws://{target.authority}{path}",
                sock=stream,
                compression=None,
                proxy=None,
                ping_interval=None,
                # `within` limits both handshakes.
                open_timeout=None,
                close_timeout=spec.close_timeout_s,
                max_size=_limits(spec),
                write_limit=0,
            )
        except InvalidHandshake as error:
            raise SocketError(f"WebSocket handshake: {error}") from error
        except OSError as error:
            raise TransportError(str(error)) from error
        return Socket(connection)

    async def run_all(self, jobs: Sequence[Callable[[], Awaitable[None]]]) -> None:
        async with asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(_run(job))


class Socket:
    __slots__ = ("connection",)

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def recv(self) -> Message | None:
        try:
            return await self.connection.recv()
        except ConnectionClosed as closed:
            if closed.rcvd_then_sent:
                return None
            raise _failure(closed) from closed

    async def send(self, message: Message) -> None:
        # `write_limit=0` makes this wait until the kernel has the whole message.
        try:
            await self.connection.send(message)
        except ConnectionClosed as closed:
            raise _failure(closed) from closed

    async def close(self) -> None:
        await self.connection.close()
        # `close` is silent about a peer that went without a closing handshake.
        if self.connection.close_code == 1006:
            raise SocketError("the connection ended without a closing handshake")


async def _run(job: Callable[[], Awaitable[None]]) -> None:
    await job()


def _limits(spec: SocketSpec) -> tuple[int, int]:
    return spec.max_message_bytes, spec.max_frame_bytes


def _failure(closed: ConnectionClosed) -> SocketError:
    cause = closed.__cause__
    # Python's TimeoutError is an OSError.
    if isinstance(cause, OSError) and not isinstance(cause, TimeoutError):
        return TransportError(str(cause))
    return SocketError(f"WebSocket protocol: {closed}")
