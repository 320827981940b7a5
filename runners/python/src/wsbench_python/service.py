"""Services: what a server does on a connection, and what it counts. The request path chooses one."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic_ns

from .cut import Socket, SocketError, Timer, TransportError
from .payload import CLASSES, MEASURED, PUSH_HEADER_BYTES, SEQUENCES, Message, Tally, push, size_of

# How long a server that was told to stop waits for connections that are still closing.
DRAIN_NS = 2 * 10**9
_DRAIN_STEP_NS = 10**6


@dataclass(frozen=True)
class Echo:
    """Every message is answered with itself."""


@dataclass(frozen=True)
class Sink:
    """Every `messages`-th message is answered with that number."""

    messages: int


@dataclass(frozen=True)
class Push:
    """Messages are sent when they are due."""

    first_ns: int | None = None
    every_us: int = 1_000_000
    count: int = 1
    payload_bytes: int = PUSH_HEADER_BYTES
    cls: int = MEASURED

    def path(self) -> str:
        first = "" if self.first_ns is None else f"first_ns={self.first_ns}&"
        return (
            f"/push?{first}every_us={self.every_us}&count={self.count}&payload={self.payload_bytes}"
            f"&class={CLASSES[self.cls]}"
        )


Service = Echo | Sink | Push

_PARAMETERS: dict[str, dict[str, tuple[int, int]]] = {
    "/echo": {},
    "/sink": {"messages": (1, (1 << 64) - 1)},
    "/push": {
        "first_ns": (0, (1 << 63) - 1),
        "every_us": (1, 1 << 40),
        "count": (0, SEQUENCES),
        "payload": (PUSH_HEADER_BYTES, 16 << 20),
        "class": (0, 0),
    },
}


def parse(uri: str) -> Service:
    """The service that a path with its query asks for; `ValueError` with the reason when there is none."""
    path, _, query = uri.partition("?")
    if path not in _PARAMETERS:
        raise ValueError(f"no service at `{path}`: there are /echo, /sink and /push")
    given: dict[str, int] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(f"`{part}` is not NAME=VALUE")
        if name not in _PARAMETERS[path]:
            raise ValueError(f"{path} has no parameter `{name}`")
        given[name] = _class(value) if name == "class" else _number(name, value, *_PARAMETERS[path][name])
    if path == "/echo":
        return Echo()
    if path == "/sink":
        if "messages" not in given:
            raise ValueError("/sink needs ?messages=N")
        return Sink(given["messages"])
    names = {"payload": "payload_bytes", "class": "cls"}
    return Push(**{names.get(name, name): value for name, value in given.items()})


def _class(value: str) -> int:
    if value not in CLASSES:
        raise ValueError(f"`{value}` is no message class")
    return CLASSES.index(value)


def _number(name: str, value: str, least: int, most: int) -> int:
    if value.isascii() and value.isdigit() and least <= int(value) <= most:
        return int(value)
    raise ValueError(f"{name}={value}: a whole number from {least} to {most} is needed")


class Accepted:
    """One TCP connection, from its acceptance to its end."""

    def __init__(self) -> None:
        self.upgraded = False
        self.refused = False
        self.tally = Tally()


class Accounts:
    """What all connections of a server share: the counts that `served` reports."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.accepted = 0
        self.upgraded = 0
        self.handshake_errors = 0
        self.protocol_errors = 0
        self.io_errors = 0
        self.accept_errors = 0
        self.refused = 0
        self.panics = 0
        self.open = 0

    def begin(self) -> Accepted:
        self.accepted += 1
        self.open += 1
        return Accepted()

    def end(self, connection: Accepted) -> None:
        if connection.refused:
            self.refused += 1
        elif not connection.upgraded:
            self.handshake_errors += 1
        self.tally.add(connection.tally)
        self.open -= 1

    @contextmanager
    def count_panics(self) -> Iterator[None]:
        """An exception that nobody expected ends its connection and is counted, never dropped."""
        try:
            yield
        except Exception:
            traceback.print_exc()
            self.panics += 1

    async def serve(self, connection: Accepted, service: Service, socket: Socket, timer: Timer) -> None:
        """Serves one upgraded connection to its end."""
        connection.upgraded = True
        self.upgraded += 1
        try:
            match service:
                case Echo():
                    await echo(socket, connection.tally)
                case Sink(messages):
                    await sink(socket, messages, connection.tally)
                case Push():
                    await pushes(socket, timer, service, connection.tally)
        except TransportError:
            self.io_errors += 1
        except SocketError:
            self.protocol_errors += 1

    async def drain(self, timer: Timer) -> dict[str, object]:
        """The final counts, once the connections that are still closing have ended or two seconds have passed."""
        deadline = monotonic_ns() + DRAIN_NS
        while self.open and (now := monotonic_ns()) < deadline:
            await timer.sleep_until(now + _DRAIN_STEP_NS)
        return {
            "tally": self.tally.to_json(),
            "dropped_messages": 0,
            "accepted": self.accepted,
            "upgraded": self.upgraded,
            "handshake_errors": self.handshake_errors,
            "protocol_errors": self.protocol_errors,
            "io_errors": self.io_errors,
            "accept_errors": self.accept_errors,
            "refused": self.refused,
            "idle_ended": 0,
            "open_at_end": self.open,
            "panics": self.panics,
        }


async def echo(socket: Socket, tally: Tally) -> None:
    while (message := await socket.recv()) is not None:
        size = size_of(message)
        count = tally.of(message)
        count.received(size)
        await socket.send(message)
        count.sent(size)


async def sink(socket: Socket, messages: int, tally: Tally) -> None:
    """The answer counts in the class of the message that completed the batch."""
    answer = str(messages)
    missing = messages
    while (message := await socket.recv()) is not None:
        count = tally.of(message)
        count.received(size_of(message))
        missing -= 1
        if not missing:
            missing = messages
            await socket.send(answer)
            count.sent(len(answer))


async def pushes(socket: Socket, timer: Timer, plan: Push, tally: Tally) -> None:
    """One that is late is sent at once; none is left out."""
    first_ns = monotonic_ns() if plan.first_ns is None else plan.first_ns
    for sequence in range(plan.count):
        due_ns = first_ns + sequence * plan.every_us * 1_000
        if due_ns > monotonic_ns():
            await timer.sleep_until(due_ns)
        message: Message = push(plan.cls, sequence, due_ns, plan.payload_bytes)
        await socket.send(message)
        tally.classes[plan.cls].sent(len(message))
    while (received := await socket.recv()) is not None:
        tally.of(received).received(size_of(received))
