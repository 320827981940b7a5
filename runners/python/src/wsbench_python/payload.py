"""Payloads: what a message carries, so that both ends can account for it and the client can verify it.

docs/PROTOCOL.md is the reference; the names are those of bench-core's `payload` and `tally`.
"""

import re
from dataclasses import dataclass
from random import Random

# A WebSocket message as both libraries hand it out: text is `str`, binary is `bytes`.
Message = str | bytes

HEADER_BYTES = 8
PUSH_HEADER_BYTES = HEADER_BYTES + 16
SEQUENCES = 1 << 28

PROBE, WARM_UP, MEASURED, OTHER = range(4)
CLASSES = ("probe", "warm_up", "measured", "other")

_TEXT_HEADER = re.compile("[012][0-9a-f]{7}")
_BINARY_HEADER = re.compile(b"[012][0-9a-f]{7}")

# Bodies that a connection cycles through; a prime, so that no power-of-two window ever holds two equal ones.
_BODIES = 1021
# Length after which the pool of bodies repeats: a prime well above the offsets in use, so that two bodies of one
# length are equal only when they begin at the same place.
_PERIOD = 16_381


def class_of(message: Message) -> int:
    """The class that a message's header names; `OTHER` where there is no valid header."""
    if isinstance(message, str):
        return int(message[0]) if _TEXT_HEADER.match(message) else OTHER
    return message[0] - ord("0") if _BINARY_HEADER.match(message) else OTHER


def size_of(message: Message) -> int:
    """Length of the payload in bytes."""
    if isinstance(message, bytes) or message.isascii():
        return len(message)
    return len(message.encode())


def header(cls: int, sequence: int) -> str:
    return f"{cls}{sequence % SEQUENCES:07x}"


def push(cls: int, sequence: int, due_ns: int, size: int) -> str:
    """Push number `sequence` of a class, due at `due_ns` of CLOCK_MONOTONIC."""
    return f"{header(cls, sequence)}{due_ns:016x}".ljust(size, ".")


def push_due_ns(cls: int, sequence: int, size: int, message: Message) -> int | None:
    """The due instant that a push states, if `message` is the text of push `sequence` with this size."""
    if not isinstance(message, str) or size_of(message) != size or message[:HEADER_BYTES] != header(cls, sequence):
        return None
    try:
        return int(message[HEADER_BYTES:PUSH_HEADER_BYTES], 16)
    except ValueError:
        return None


class Payloads:
    """Makes the payloads of one connection. No two consecutive ones are equal."""

    def __init__(self, size: int, kind: str, connection: int = 0, pool: str | None = None) -> None:
        self.kind = kind
        self._body = size - HEADER_BYTES
        self._connection = connection
        if pool is None:
            # Any fixed sequence of printable ASCII without short repeats serves here.
            period = "".join(Random(24).choices([chr(code) for code in range(0x21, 0x7F)], k=_PERIOD))
            pool = (period * ((self._body + _BODIES) // _PERIOD + 1))[: self._body + _BODIES]
        self._pool = pool

    def for_connection(self, connection: int) -> "Payloads":
        """The same for another connection; the memory is shared."""
        return Payloads(self._body + HEADER_BYTES, self.kind, connection, self._pool)

    def message(self, cls: int, sequence: int) -> Message:
        start = (sequence * 7 + self._connection * 131) % _BODIES
        text = header(cls, sequence) + self._pool[start : start + self._body]
        return text if self.kind == "text" else text.encode()


@dataclass(slots=True)
class Count:
    """Messages and bytes of one class in both directions, as one end counted them."""

    sent_messages: int = 0
    sent_bytes: int = 0
    received_messages: int = 0
    received_bytes: int = 0

    def sent(self, size: int) -> None:
        self.sent_messages += 1
        self.sent_bytes += size

    def received(self, size: int) -> None:
        self.received_messages += 1
        self.received_bytes += size


class Tally:
    """A `Count` for each class."""

    def __init__(self) -> None:
        self.classes = [Count() for _ in CLASSES]

    def of(self, message: Message) -> Count:
        return self.classes[class_of(message)]

    def add(self, other: "Tally") -> None:
        for mine, theirs in zip(self.classes, other.classes, strict=True):
            mine.sent_messages += theirs.sent_messages
            mine.sent_bytes += theirs.sent_bytes
            mine.received_messages += theirs.received_messages
            mine.received_bytes += theirs.received_bytes

    def to_json(self) -> dict[str, dict[str, int]]:
        """An object with a key for each class that was seen."""
        names = Count.__slots__
        counts = zip(CLASSES, self.classes, strict=True)
        return {cls: {name: getattr(count, name) for name in names} for cls, count in counts if count != Count()}
