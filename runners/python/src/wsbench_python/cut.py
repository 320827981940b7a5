"""The cut between the shared code and a row: whole messages, timers and tasks.

The shared code only awaits what a row gives it, so that the same coroutine runs under asyncio and under Trio.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from .payload import Message
from .spec import SocketSpec, Target

T = TypeVar("T")
StreamT = TypeVar("StreamT")


class SocketError(Exception):
    """A connection ended other than in order: the protocol was broken, or a limit on time ran out."""


class TransportError(SocketError):
    """The transport failed below the WebSocket protocol."""


class Socket(Protocol):
    """One established WebSocket connection. Control frames are answered inside."""

    async def recv(self) -> Message | None:
        """The next data message; `None` once the peer has closed in order."""

    async def send(self, message: Message) -> None:
        """Sends a message and returns when it is in the kernel: the flush policy `each`."""

    async def close(self) -> None:
        """Runs the closing handshake to its end."""


class Timer(Protocol):
    async def sleep_until(self, at_ns: int) -> None:
        """Sleeps until an instant of CLOCK_MONOTONIC, never shorter."""

    async def within(self, what: str, limit_s: float, work: Callable[[], Awaitable[T]]) -> T:
        """Does `work`; raises `SocketError` when that takes too long."""


class Runtime(Timer, Protocol[StreamT]):
    """What a library brings for a client: how it connects, runs tasks and sleeps."""

    async def connect(self, target: Target) -> StreamT:
        """Opens a TCP connection with TCP_NODELAY."""

    async def upgrade(self, stream: StreamT, target: Target, path: str, spec: SocketSpec) -> Socket:
        """Runs the client's half of the opening handshake."""

    async def run_all(self, jobs: Sequence[Callable[[], Awaitable[None]]]) -> None:
        """Runs every job as a task of its own and waits for all."""
