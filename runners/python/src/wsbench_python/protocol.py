"""The runner protocol: events on stdout, commands on stdin, whose end is the signal to stop."""

import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator


class CommandError(Exception):
    """A line on stdin that is no command."""


def emit(event: str, **fields: object) -> None:
    """Prints one event."""
    sys.stdout.write(json.dumps({"event": event, **fields}, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _stdin_lines() -> Iterator[str]:
    # Straight from the descriptor: a thread that waits in `sys.stdin` holds its lock, and the interpreter cannot end.
    rest = b""
    while chunk := os.read(0, 4096):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace")


def on_stop(stop: Callable[[], object]) -> None:
    """Calls `stop`, from another thread, when stdin has ended."""

    def wait() -> None:
        for _ in _stdin_lines():
            pass
        stop()

    threading.Thread(target=wait, name="stdin", daemon=True).start()


class Control:
    """A client's end of the protocol.

    Its methods block the thread of the event loop: at both edges of the measured window there is nothing else to do.
    """

    def __init__(self) -> None:
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="stdin", daemon=True).start()

    def _listen(self) -> None:
        for line in _stdin_lines():
            self._lines.put(line)
            if line.split() == ["finish"]:
                return
        # Whoever started this process is gone.
        sys.stderr.write("stdin ended before `finish`: stopping\n")
        sys.stderr.flush()
        os._exit(1)

    def ready(self) -> "Go | None":
        emit("ready")
        return self._next()

    def measured(self, units: int, elapsed_ns: int) -> "Go | None":
        emit("measured", units=units, elapsed_ns=elapsed_ns)
        return self._next()

    def _next(self) -> "Go | None":
        """The next `go`; `None` for `finish`."""
        line = self._lines.get()
        match line.split():
            case ["finish"]:
                return None
            case ["go"]:
                return Go(None)
            case ["go", count] if count.isascii() and count.isdigit() and int(count) > 0:
                return Go(int(count))
        raise CommandError(f"`{line}` is not a command: go, go N and finish are")


class Go:
    """`go` or `go N`: measure, with N messages (connects, batches) on each connection instead of the stated length."""

    def __init__(self, messages: int | None) -> None:
        self.messages = messages
