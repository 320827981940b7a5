"""Workloads: what a client does on one connection.

What is timed lies between two readings of the clock; making a payload and verifying an answer lie outside of them.
"""

from collections import deque
from dataclasses import dataclass, field
from time import monotonic_ns

from .cut import Socket, SocketError
from .histogram import Recorder
from .payload import CLASSES, HEADER_BYTES, Message, Payloads, Tally, header, push_due_ns, size_of
from .service import Push
from .spec import Load


class WrongAnswer(SocketError):
    """An answer was not what it should be."""


@dataclass(frozen=True)
class Stop:
    """When a connection stops starting new work: after a number of it, or at an instant."""

    after: int | None = None
    at_ns: int = 0

    def reached(self, done: int, now_ns: int) -> bool:
        return done >= self.after if self.after is not None else now_ns >= self.at_ns


@dataclass
class Progress:
    """What one connection has done so far."""

    tally: Tally = field(default_factory=Tally)
    units: int = 0
    sequences: list[int] = field(default_factory=lambda: [0] * len(CLASSES))

    def take_sequence(self, cls: int) -> int:
        sequence = self.sequences[cls]
        self.sequences[cls] += 1
        return sequence


@dataclass(frozen=True)
class Script:
    """One pass over a load: the warm-up or the measured window."""

    load: Load
    cls: int
    stop: Stop
    payloads: Payloads
    recorder: Recorder | None

    def record(self, series: str, ns: int) -> None:
        if self.recorder is not None:
            self.recorder.record(series, ns)


async def ping_pong(socket: Socket, script: Script, progress: Progress) -> None:
    """Closed loop, one in flight: the time from before the send until the echo has been read."""
    cls, size = script.cls, script.load.payload_bytes
    count = progress.tally.classes[cls]
    done = 0
    start = monotonic_ns()
    while not script.stop.reached(done, start):
        message = script.payloads.message(cls, progress.take_sequence(cls))
        start = monotonic_ns()
        await socket.send(message)
        echo = await socket.recv()
        script.record("round_trip", monotonic_ns() - start)
        count.sent(size)
        check_echo(message, echo, cls, progress)
        done += 1


async def window(socket: Socket, script: Script, progress: Progress) -> None:
    """Closed loop with several in flight: primed, then one sent for each echo, then drained."""
    cls, size = script.cls, script.load.payload_bytes
    count = progress.tally.classes[cls]
    in_flight: deque[tuple[Message, int]] = deque()
    started = 0
    now = monotonic_ns()
    while True:
        while len(in_flight) < script.load.window and not script.stop.reached(started, now):
            message = script.payloads.message(cls, progress.take_sequence(cls))
            count.sent(size)
            now = monotonic_ns()
            in_flight.append((message, now))
            await socket.send(message)
            started += 1
        if not in_flight:
            return
        message, start = in_flight.popleft()
        echo = await socket.recv()
        now = monotonic_ns()
        script.record("round_trip", now - start)
        check_echo(message, echo, cls, progress)


async def one_way(socket: Socket, script: Script, progress: Progress) -> None:
    """Batches of messages, each acknowledged by the server's count when its last one is in."""
    cls, size, batch = script.cls, script.load.payload_bytes, script.load.batch
    count = progress.tally.classes[cls]
    batches = 0
    while True:
        start = monotonic_ns()
        for _ in range(batch):
            message = script.payloads.message(cls, progress.take_sequence(cls))
            count.sent(size)
            await socket.send(message)
        script.record("batch_sent", monotonic_ns() - start)
        answer = await socket.recv()
        now = monotonic_ns()
        script.record("batch_acknowledged", now - start)
        if answer is None:
            raise SocketError("the server closed the connection while an acknowledgement was due")
        count.received(size_of(answer))
        if answer != str(batch):
            raise WrongAnswer(f"wrong answer: {batch} messages were acknowledged by {shown(answer)}")
        progress.units += batch
        batches += 1
        if script.stop.reached(batches, now):
            return


async def pushes(socket: Socket, plan: Push, script: Script, progress: Progress) -> None:
    """Waits for pushes; how late each arrives behind the instant at which it was due."""
    first_ns = plan.first_ns
    for sequence in range(plan.count):
        message = await socket.recv()
        arrived_ns = monotonic_ns()
        due_ns = check_push(message, plan, sequence, progress)
        # A server that was given no first instant states it with its first push.
        if first_ns is None:
            first_ns = due_ns
        expected_ns = first_ns + sequence * plan.every_us * 1_000
        if due_ns != expected_ns:
            raise WrongAnswer(
                f"wrong answer: push {sequence} says that it was due at {due_ns} ns where {expected_ns} ns was agreed"
            )
        if arrived_ns < due_ns:
            early = due_ns - arrived_ns
            raise WrongAnswer(f"wrong answer: push {sequence} arrived {early} ns before it was due")
        script.record("push_lag", arrived_ns - due_ns)


def check_push(message: Message | None, plan: Push, sequence: int, progress: Progress) -> int:
    """Verifies a push and returns its due instant."""
    if message is None:
        raise SocketError(f"the server closed the connection while push {sequence} was due")
    progress.tally.classes[plan.cls].received(size_of(message))
    progress.units += 1
    due_ns = push_due_ns(plan.cls, sequence, plan.payload_bytes, message)
    if due_ns is None:
        raise WrongAnswer(
            f"wrong answer: push {sequence} is not a text of {plan.payload_bytes} B that begins with "
            f"`{header(plan.cls, sequence)}`: {shown(message)}"
        )
    return due_ns


def check_echo(sent: Message, echo: Message | None, cls: int, progress: Progress) -> None:
    """Kind, length and every byte: text never equals binary."""
    if echo is None:
        raise SocketError(f"the server closed the connection while the echo of {shown(sent)} was due")
    progress.tally.classes[cls].received(size_of(echo))
    progress.units += 1
    if echo != sent:
        raise WrongAnswer(f"wrong answer: the echo of {shown(sent)} is {shown(echo)}")


def shown(message: Message) -> str:
    """A message as an error names it."""
    kind = "text" if isinstance(message, str) else "binary"
    head = message[:HEADER_BYTES]
    return f"{kind} {head!r} of {size_of(message)} B"
