"""The client's half of a trial: connect, warm up, measure, drain, close.

Both edges of the measured window are quiescent: between them and the events that announce them nothing runs and nothing
is in flight.
"""

import traceback
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic_ns
from typing import Generic, TypeVar

from . import workload
from .cut import Runtime, Socket, SocketError
from .histogram import Recorder
from .payload import MEASURED, WARM_UP, Payloads, Tally
from .protocol import Control
from .service import Push
from .spec import DriveSpec
from .workload import Progress, Script, Stop

StreamT = TypeVar("StreamT")

# Time between connecting and the first push of an agreed schedule: wsbench samples both processes in it, and every
# connection has to stand before it ends.
_PUSH_LEAD_NS = 10**9
# Added for each connection: several times what a handshake costs where both ends are Python on one core.
_PUSH_LEAD_PER_CONNECTION_NS = 8 * 10**6
_ERRORS_QUOTED = 5


class DriveError(Exception):
    """The client's half of the trial cannot go on."""


@dataclass
class Lane:
    """One connection of a client."""

    index: int
    push: Push
    socket: Socket | None = None
    progress: Progress = field(default_factory=Progress)
    finished_ns: int = 0
    error: str | None = None


class Client(Generic[StreamT]):
    def __init__(self, runtime: Runtime[StreamT], spec: DriveSpec) -> None:
        self.runtime = runtime
        self.spec = spec
        self.load = spec.load
        self.payloads = Payloads(spec.load.payload_bytes, spec.load.kind)
        self.lanes: list[Lane] = []
        self.recorder = Recorder()
        # First due instant of an agreed push schedule.
        self.first_due_ns: int | None = None
        self.panics = 0

    async def drive(self, control: Control) -> tuple[dict[str, object], bool]:
        """Carries out the client's half; returns the fields of `drove`, and whether all is well."""
        await self._connect_all()
        if self.load.warm_up_ns and self.load.workload not in ("push", "idle"):
            await self._phase(WARM_UP, Stop(at_ns=monotonic_ns() + self.load.warm_up_ns), None)
        for lane in self.lanes:
            if lane.error:
                raise DriveError(f"warm-up, connection {lane.index}: {lane.error}")
            lane.progress.units = 0
        units = elapsed_ns = 0
        go = control.ready()
        while go is not None:
            window = await self._measure(go.messages)
            units += window[0]
            elapsed_ns += window[1]
            go = control.measured(*window)
        return await self._finish(units, elapsed_ns)

    async def _connect_all(self) -> None:
        load = self.load
        if load.workload == "push" and load.schedule != "on-connect":
            self.first_due_ns = monotonic_ns() + _PUSH_LEAD_NS + _PUSH_LEAD_PER_CONNECTION_NS * load.connections
        for index in range(load.connections):
            lane = Lane(index, self._push_plan(index))
            match load.workload:
                case "ping-pong" | "window" | "idle":
                    path = "/echo"
                case "one-way":
                    path = f"/sink?messages={load.batch}"
                case "push" if self.first_due_ns is not None:
                    path = lane.push.path()
                case _:
                    # These connect inside the measured window.
                    path = ""
            if path:
                try:
                    lane.socket = await self._open(path)
                except SocketError as error:
                    raise DriveError(f"connection {index} to {path}: {error}") from error
            self.lanes.append(lane)

    def _push_plan(self, index: int) -> Push:
        load = self.load
        if load.workload != "push":
            return Push()
        first_ns = self.first_due_ns
        if first_ns is not None and load.schedule == "staggered":
            first_ns += load.every_us * 1_000 * index // load.connections
        return Push(first_ns, load.every_us, load.pushes, load.payload_bytes, MEASURED)

    async def _open(self, path: str) -> Socket:
        async def opening() -> Socket:
            stream = await self.runtime.connect(self.spec.target)
            return await self._upgrade(stream, path)

        return await self.runtime.within("the opening handshake", self.spec.socket.handshake_timeout_s, opening)

    async def _upgrade(self, stream: StreamT, path: str) -> Socket:
        target = self.spec.target
        return await self.runtime.upgrade(stream, target, target.path_of(path), self.spec.socket)

    async def _close(self, socket: Socket) -> None:
        await self.runtime.within("the closing handshake", self.spec.socket.close_timeout_s, socket.close)

    async def _measure(self, messages: int | None) -> tuple[int, int]:
        start = monotonic_ns()
        if self.first_due_ns is not None:
            if start >= self.first_due_ns:
                raise DriveError("the push schedule had begun before the measured window did")
            start = self.first_due_ns
        match self.load.workload:
            case "connect" | "ping-pong" | "window":
                after = messages or self.load.messages
            case "one-way":
                # Asked for a number of messages, these do so many batches.
                after = messages
            case _:
                after = None
        before = self._units()
        await self._phase(MEASURED, Stop(after, start + self.load.duration_ns), self.recorder)
        end = max(lane.finished_ns for lane in self.lanes)
        return self._units() - before, max(0, end - start)

    def _units(self) -> int:
        return sum(lane.progress.units for lane in self.lanes)

    async def _phase(self, cls: int, stop: Stop, recorder: Recorder | None) -> None:
        """Runs every sound lane as a task of its own and waits for all."""
        jobs = []
        for lane in self.lanes:
            if lane.error is None:
                payloads = self.payloads.for_connection(lane.index)
                jobs.append(partial(self._job, lane, Script(self.load, cls, stop, payloads, recorder)))
        await self.runtime.run_all(jobs)

    async def _job(self, lane: Lane, script: Script) -> None:
        """One phase of one connection. An error ends this connection only and stays in its lane."""
        try:
            await self._work(lane, script)
        except SocketError as error:
            lane.error = str(error)
        except Exception as error:
            traceback.print_exc()
            lane.error = f"{type(error).__name__}: {error}"
            self.panics += 1
        lane.finished_ns = monotonic_ns()

    async def _work(self, lane: Lane, script: Script) -> None:
        if self.load.workload == "connect":
            return await self._connect_repeatedly(lane, script)
        if lane.socket is None:
            # Pushes that begin with the connection: connecting belongs to the window.
            lane.socket = await self._open(lane.push.path())
        match self.load.workload:
            case "ping-pong":
                await workload.ping_pong(lane.socket, script, lane.progress)
            case "window":
                await workload.window(lane.socket, script, lane.progress)
            case "one-way":
                await workload.one_way(lane.socket, script, lane.progress)
            case "push":
                await workload.pushes(lane.socket, lane.push, script, lane.progress)
            case "idle":
                await self.runtime.sleep_until(script.stop.at_ns)

    async def _connect_repeatedly(self, lane: Lane, script: Script) -> None:
        """Connect, upgrade, first push, each timed apart; closing is not timed."""
        plan = replace(lane.push, cls=script.cls)
        path = plan.path()
        limit = self.spec.socket.handshake_timeout_s
        done = 0
        while not script.stop.reached(done, start := monotonic_ns()):
            stream = await self.runtime.connect(self.spec.target)
            connected = monotonic_ns()
            upgrade = partial(self._upgrade, stream, path)
            socket = await self.runtime.within("the opening handshake", limit, upgrade)
            upgraded = monotonic_ns()
            message = await socket.recv()
            pushed = monotonic_ns()
            workload.check_push(message, plan, 0, lane.progress)
            script.record("tcp_connect", connected - start)
            script.record("upgrade", upgraded - connected)
            script.record("first_push", pushed - upgraded)
            script.record("connect_to_first_push", pushed - start)
            await self._close(socket)
            done += 1

    async def _finish(self, units: int, elapsed_ns: int) -> tuple[dict[str, object], bool]:
        tally = Tally()
        errors = []
        for lane in self.lanes:
            if lane.socket is not None and lane.error is None:
                try:
                    await self._close(lane.socket)
                except SocketError as error:
                    lane.error = str(error)
            tally.add(lane.progress.tally)
            if lane.error is not None:
                errors.append(f"connection {lane.index}: {lane.error}")
        drove: dict[str, object] = {
            "units": units,
            "elapsed_ns": elapsed_ns,
            "tally": tally.to_json(),
            "series": self.recorder.to_json(),
            "errors": errors[:_ERRORS_QUOTED],
            "failed_connections": len(errors),
            "panics": self.panics,
        }
        return drove, not errors and not self.panics
