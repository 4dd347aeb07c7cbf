"""The life of the ingester process of a live run: sources in, blocks of events out, an account of every packet."""

from __future__ import annotations

import os
import socket as network
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import zmq

from glimt.engines.admission import Admission
from glimt.engines.allocator import keep_freed_memory
from glimt.engines.current_scan import CurrentScan
from glimt.engines.event_queue import EventQueue
from glimt.engines.frame_memory import FrameMemory
from glimt.engines.ingester_role import IngesterRole
from glimt.engines.live_messages import (
    Acknowledged,
    BeginScan,
    Credit,
    EndWorker,
    Finished,
    Hello,
    Missing,
    Quit,
    ReducerAt,
    Remark,
    Report,
    ScanEnd,
    SetValues,
    SlotDown,
    StopScan,
    Values,
    Welcome,
    decode_from_reducer,
    decode_to_ingester,
    encode,
)
from glimt.engines.parent import ParentWatch
from glimt.engines.reducer_link import ReducerLink
from glimt.engines.run_keys import notice_vanished_peers
from glimt.engines.scan_dispatch import ScanDispatch
from glimt.engines.source_poll import SourcePoll
from glimt.engines.stuck_workers import StuckWorkers
from glimt.engines.worker_links import WorkerLinks

if TYPE_CHECKING:
    from glimt.engines.event_block import QueuedEvent

REPORT_S = 0.1
IDLE_REPORT_S = 1.0
_TICK_MS = 100
_IDLE_TICK_MS = 500
_MESSAGES_A_TURN = 200


class Ingester:
    """The ingester process; `run` returns when the run is over.

    Parameters
    ----------
    role : IngesterRole
        What it is to do.
    """

    def __init__(self, role: IngesterRole) -> None:
        self._role = role
        role.prepare()
        keep_freed_memory()
        self._intake = role.open_intake()
        self._memory = FrameMemory(role.queue_bytes) if role.share_memory else None
        self._queue = EventQueue(role.queue_bytes, self._memory, is_shared=role.share_memory)
        self._admission = Admission(self._intake, self._queue, role.open_spill)
        self._scan = CurrentScan(self._intake, self._admission, role.data, role.version)
        self._kept: dict[str, list[QueuedEvent]] = {}  # of scans before, as long as a process holds frames of them
        self._dispatch: ScanDispatch | None = None
        self._slots = dict(role.slots)  # without those that have no process any more
        self._next_scan = role.first_scan
        self._finishing: set[str] | None = None
        self._ending_sent = False
        self._output_problem = ""
        self._context: zmq.Context[Any] = zmq.Context(2)
        self._workers_socket = _bind_workers(self._context, role)
        self.address = self._workers_socket.get_string(zmq.LAST_ENDPOINT).rstrip("\0")
        names, types = self._intake.names, [stream.live.typ for stream in self._intake.streams]
        self._workers = WorkerLinks(
            self._workers_socket,
            token=role.token,
            slots=self._slots,
            welcome=Welcome(
                names, types, *(("", 0) if self._memory is None else (self._memory.path, self._memory.n_bytes))
            ),
        )
        hello = encode(Hello(role.token, "ingester", os.getpid(), network.gethostname()))
        self._reducer = ReducerLink(self._context, hello, role.keys)
        self._control = _connect_control(self._context, role)
        self._control.send(hello)
        self._stuck = StuckWorkers(remark=self._remark, end=self._end_worker)
        self._poller = zmq.Poller()
        self._sources = SourcePoll(self._intake, self._poller)
        self._reported_at = 0.0
        self._quitting = False

    def run(self) -> None:
        """Take in and give out until told to quit, or until the process that started this one is gone."""
        parent = ParentWatch()
        for socket in (self._workers_socket, self._control):
            self._poller.register(socket, zmq.POLLIN)
        parent.register(self._poller)
        try:
            while not self._quitting and not parent.is_gone():
                self._turn()
        finally:
            self._close()

    def _turn(self) -> None:
        self._sources.update()
        self._reducer.register(self._poller)
        found = dict(self._poller.poll(self._patience_ms()))
        now_ns = time.time_ns()
        if self._workers_socket in found:
            self._hear_workers()
        if self._reducer.socket in found:
            self._hear_reducer()
        if self._control in found:
            self._hear_control()
        self._sources.read(found, now_ns)
        self._take_events()
        if self._dispatch is not None:
            self._dispatch.dispatch()
            self._stuck.look(self._dispatch, self._finishing)
        self._look_for_end(now_ns)
        self._report()

    def _patience_ms(self) -> int:
        if self._intake.n_ready and not self._admission.full_since:
            return 0
        return _IDLE_TICK_MS if self._dispatch is None else _TICK_MS

    # Events -------------------------------------------------------------------------------------------------

    def _take_events(self) -> None:
        if self._finishing is not None or self._intake.peek() is None:
            return  # of the next scan: it begins when this one is over
        if self._dispatch is None:
            self._begin_scan(str(uuid.uuid4()))
        if self._dispatch is not None:
            self._admission.take_events(self._dispatch)

    # Scans --------------------------------------------------------------------------------------------------

    def _begin_scan(self, scan_id: str) -> None:
        self._next_scan += 1
        self._queue.begin_scan()
        self._stuck.begin_scan()
        start = self._scan.begin(self._next_scan, scan_id)
        self._reducer.begin_scan(start)
        self._workers.begin_scan(start)
        self._dispatch = dispatch = ScanDispatch(
            self._next_scan,
            scan_id,
            slots=self._slots,
            ledgers=self._admission.ledgers,
            queue=self._queue,
            send=self._workers.send,
            use_version=self._workers.use_version,
            void=self._reducer.void,
        )
        dispatch.use(start.version)
        for slot in self._workers:
            dispatch.connect(slot)
        self._reported_at = 0.0

    def _look_for_end(self, now_ns: int) -> None:
        dispatch = self._dispatch
        if not self._intake.is_ended:
            return
        if dispatch is None:  # every event of it was dropped before the first could be offered
            if self._finishing is None:
                self._end_scan(now_ns)
            return
        if self._finishing is None:
            if not dispatch.is_idle:
                return
            self._finishing = self._workers.finish(dispatch.scan)
        if not self._finishing and not self._ending_sent and not self._reducer.n_asked:
            self._ending_sent = True
            self._reducer.end_scan(self._scan_end(dispatch))

    def _scan_end(self, dispatch: ScanDispatch, *, give_up: bool = False) -> ScanEnd:
        account, changes = self._admission.account(), self._scan.changes
        return ScanEnd(dispatch.scan, dispatch.n_serials, account, give_up, changes)

    def _end_scan(self, now_ns: int) -> None:
        """Forget the scan: workers and reducer have finished it."""
        self._scan.end(self._dispatch, now_ns)
        if self._dispatch is not None:
            for slot, events in self._dispatch.close().items():
                self._kept.setdefault(slot, []).extend(events)
        self._dispatch, self._finishing, self._ending_sent, self._output_problem = None, None, False, ""
        self._admission.end_scan(now_ns)
        self._reported_at = 0.0

    # What others say ----------------------------------------------------------------------------------------

    def _hear_workers(self) -> None:
        for slot, message in self._workers.receive(_MESSAGES_A_TURN):
            if isinstance(message, Hello):
                self._lose(slot)
            elif self._dispatch is not None:
                self._take_answer(self._dispatch, slot, message)
        dispatch = self._dispatch
        for slot in self._workers.newcomers():
            self._workers.join_scan(slot)
            if dispatch is not None and self._finishing is None:
                dispatch.connect(slot)
        if dispatch is not None:
            dispatch.settle()

    def _take_answer(self, dispatch: ScanDispatch, slot: str, message: Any) -> None:
        match message:
            case Credit() if message.scan == dispatch.scan:
                dispatch.credit(slot, message.max_events, message.max_bytes, message.done)
            case Acknowledged():
                serials = dispatch.acknowledge(message.block, message.failed, keeps_frames=message.keeps_frames)
                if serials and self._reducer.is_replaced:  # the one before may have said it, and kept no journal
                    self._reducer.settle([(serial, serial + 1) for serial in serials])
            case Finished() if self._finishing is not None and message.scan == dispatch.scan:
                self._finishing.discard(slot)

    def _lose(self, slot: str, *, was_killed: bool = False) -> None:
        """Note that the process of a slot is gone."""
        self._workers.forget(slot)
        for event in self._kept.pop(slot, ()):
            self._queue.give_back(event)
        if self._finishing is not None:
            self._finishing.discard(slot)
        has_hung = self._stuck.has_ended(slot)
        if self._dispatch is not None:
            self._dispatch.disconnect(slot, was_killed=was_killed, has_hung=has_hung)
            if has_hung:
                self._dispatch.stop(returned=False)  # others might hang with it, and the operator wants the end

    def _end_worker(self, slot: str, why: str) -> None:
        process = self._workers.process(slot)
        if process is not None:
            self._tell_control(EndWorker(slot, *process, why))

    def _remark(self, text: str) -> None:
        self._tell_control(Remark(text))

    def _tell_control(self, message: Remark | EndWorker) -> None:
        with suppress(zmq.Again):  # nobody has listened for minutes
            self._control.send(encode(message), zmq.NOBLOCK)

    def _hear_reducer(self) -> None:
        for content in self._reducer.receive():
            message = decode_from_reducer(content)
            if self._dispatch is None or isinstance(message, Acknowledged) or message.scan != self._dispatch.scan:
                continue
            if isinstance(message, Missing):
                self._take_back(self._dispatch, message)
            else:
                self._output_problem = message.problem
                self._reported_at = 0.0
                if not message.problem:
                    self._reducer.close_scan(self._dispatch.scan_id)
                    self._end_scan(time.time_ns())

    def _take_back(self, dispatch: ScanDispatch, message: Missing) -> None:
        """Count as failed what was reduced and is lost with a reducer."""
        self._reducer.n_asked -= 1
        n_lost = dispatch.lose(message.runs)
        if n_lost:
            self._reported_at = 0.0
            self._remark(
                f"the reducer is back without {n_lost:,} events of scan {dispatch.scan} that were finished before: "
                f"{message.why}. They count as failed"
            )

    def _hear_control(self) -> None:
        while True:
            try:
                content = self._control.recv(zmq.NOBLOCK)
            except zmq.Again:
                return
            self._obey(decode_to_ingester(content))

    def _obey(self, message: Any) -> None:
        match message:
            case BeginScan():
                if self._scan.open_map(message, self._slots.values(), is_running=self._dispatch is not None):
                    self._begin_scan(message.scan_id)
            case StopScan():
                self._stop_scan(message)
            case SetValues():
                self._set_values(message)
            case SlotDown():
                self._take_down(message)
            case ReducerAt():
                self._reducer.connect(message.address, [] if self._dispatch is None else self._dispatch.settled_runs())
                self._ending_sent = False
                self._workers.use_reducer(message.address)
            case Quit():
                self._quitting = True
        self._reported_at = 0.0

    def _take_down(self, message: SlotDown) -> None:
        """Note the death of a process, unless another has its place; one that is not known says hello again."""
        slot = message.slot
        if slot not in self._slots:
            return
        if message.retired or self._workers.is_from(slot, message.process_id, message.host):
            self._lose(slot, was_killed=message.was_killed)
        if message.retired:
            del self._slots[slot]  # in the scans to come, too: nothing must wait for it
            if self._dispatch is not None:
                self._dispatch.retire(slot)

    def _stop_scan(self, message: StopScan) -> None:
        if message.insist:
            self._stuck.insist()
        if self._output_problem and self._dispatch is not None:
            self._reducer.end_scan(self._scan_end(self._dispatch, give_up=True))
        self._intake.stop(time.time_ns(), last=message.last)

    def _set_values(self, message: SetValues) -> None:
        """Use new parameter values from the next event on."""
        dispatch = self._dispatch
        first = self._scan.set_values(message, dispatch)
        if dispatch is None or first is None:
            return
        values = Values(dispatch.scan, message.version, message.data, first)
        self._workers.add_version(values)
        self._reducer.add_version(values)
        dispatch.use(message.version)

    # Reports ------------------------------------------------------------------------------------------------

    def _report(self) -> None:
        now = time.monotonic()
        pause = IDLE_REPORT_S if self._dispatch is None else REPORT_S
        if now - self._reported_at >= pause:
            self._reported_at = now
            with suppress(zmq.Again):  # nobody has listened for minutes: the next report says it all
                self._control.send(encode(Report(self.state())), zmq.NOBLOCK)

    def state(self) -> dict[str, Any]:
        """Return everything that the control process shows, as plain values."""
        return self._scan.state(
            self._dispatch,
            self._sources.polled,
            is_finishing=self._finishing is not None,
            output_problem=self._output_problem,
            address=self.address,
        )

    def _close(self) -> None:
        self._workers.quit()
        self._reducer.quit()
        self._reported_at = 0.0
        self._report()
        self._intake.close()
        self._admission.close()
        self._context.destroy(linger=2000)
        if self._memory is not None:
            self._memory.close()


def _bind_workers(context: zmq.Context[Any], role: IngesterRole) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.SNDHWM, 0)  # bounded by credits
    socket.setsockopt(zmq.RCVHWM, 0)
    socket.setsockopt(zmq.LINGER, 2000)
    role.frame_keys.serve(socket)
    if not role.share_memory:
        notice_vanished_peers(socket)
    socket.bind(role.address)
    return socket


def _connect_control(context: zmq.Context[Any], role: IngesterRole) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = context.socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 1000)
    role.keys.join(socket)
    socket.connect(role.control_address)
    return socket


def run_ingester(role: IngesterRole) -> None:
    """Be the ingester process."""
    Ingester(role).run()
