"""The life of the ingester process of a live run: sources in, blocks of events out, an account of every packet."""

from __future__ import annotations

import os
import socket as network
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import zmq

from glimt.codecs.protocol import PacketKind
from glimt.engines.allocator import keep_freed_memory
from glimt.engines.event_queue import EventQueue
from glimt.engines.frame_memory import FrameMemory
from glimt.engines.ingester_role import IngesterRole
from glimt.engines.live_messages import (
    Acknowledged,
    BeginScan,
    Credit,
    Finished,
    Hello,
    Quit,
    ReducerAt,
    Report,
    ScanEnded,
    ScanStart,
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
from glimt.engines.worker_links import WorkerLinks
from glimt.model.errors import UsageError
from glimt.model.trigger_map import TriggerMap
from glimt.pipeline.scan_account import ScanAccount

if TYPE_CHECKING:
    from glimt.engines.event_block import QueuedEvent
    from glimt.pipeline.built_event import BuiltEvent

REPORT_S = 0.1
IDLE_REPORT_S = 1.0
_TICK_MS = 100
_IDLE_TICK_MS = 500
_MESSAGES_A_TURN = 200
_MAX_OUTSTANDING = 200_000


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
        self._ledgers = [stream.live.ledger for stream in self._intake.streams]
        self._memory = FrameMemory(role.queue_bytes) if role.share_memory else None
        self._queue = EventQueue(role.queue_bytes, self._memory, is_shared=role.share_memory)
        self._kept: dict[str, list[QueuedEvent]] = {}  # of scans before, as long as a process holds frames of them
        self._spill: Any = None
        self._dispatch: ScanDispatch | None = None
        self._last_figures: dict[str, Any] = {}
        self._account = ScanAccount(self._ledgers)
        self._slots = dict(role.slots)  # without those that have no process any more
        self._next_scan = role.first_scan
        self._scan_id = ""
        self._data, self._version = dict(role.data), role.version
        self._bound: tuple[int, int] = (role.version, 0)
        self._finishing: set[str] | None = None
        self._ending_sent = False
        self._output_problem = ""
        self._problem = ""
        self._n_scans = 0
        self._full_since = 0.0
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
        self._control: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        self._control.setsockopt(zmq.LINGER, 1000)
        role.keys.join(self._control)
        self._control.connect(role.control_address)
        self._control.send(hello)
        self._poller = zmq.Poller()
        self._polled: set[int] = set()
        self._reported_at = 0.0
        self._told_bad: dict[int, int] = {}
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
        self._poll_sources()
        found = dict(self._poller.poll(self._patience_ms()))
        now_ns = time.time_ns()
        if self._workers_socket in found:
            self._hear_workers()
        if self._reducer.socket in found:
            self._hear_reducer()
        if self._control in found:
            self._hear_control()
        for index in tuple(self._polled):
            if self._intake.streams[index].source.socket in found:
                self._intake.read(index, now_ns)
        self._intake.tick(now_ns)
        self._take_events()
        if self._dispatch is not None:
            self._dispatch.dispatch()
        self._look_for_end(now_ns)
        self._report()

    def _poll_sources(self) -> None:
        """Poll those sources of which something can be taken now."""
        for index, stream in enumerate(self._intake.streams):
            if self._intake.may_read(index):
                if index not in self._polled:
                    self._polled.add(index)
                    self._poller.register(stream.source.socket, zmq.POLLIN)
            elif index in self._polled:
                self._polled.discard(index)
                self._poller.unregister(stream.source.socket)
        self._reducer.register(self._poller)

    def _patience_ms(self) -> int:
        if self._intake.n_ready and not self._full_since:
            return 0
        return _IDLE_TICK_MS if self._dispatch is None else _TICK_MS

    def _has_room(self) -> bool:
        return not self._queue.is_full and (self._dispatch is None or self._dispatch.n_outstanding < _MAX_OUTSTANDING)

    # Events -------------------------------------------------------------------------------------------------

    def _take_events(self) -> None:
        """Take complete events as far as there is room; what does not fit waits, is dropped or spilled."""
        intake = self._intake
        while (event := intake.peek()) is not None:
            if self._finishing is not None:
                return  # of the next scan: it begins when this one is over
            if self._dispatch is None:
                self._begin_scan(str(uuid.uuid4()))
            queued = self._queue.take(event) if self._has_room() else None
            if queued is None and not self._make_room(event):
                self._full_since = self._full_since or time.monotonic()
                return
            self._full_since = 0.0
            if queued is not None and self._dispatch is not None:
                intake.pop()
                self._dispatch.offer(
                    queued,
                    recipients=event.map_event,
                    is_start=event.kind is PacketKind.START,
                    is_end=event.kind is PacketKind.END,
                )

    def _make_room(self, event: BuiltEvent) -> bool:
        """Do what the streams of an event want done when it does not fit; False if that is to wait."""
        policies = {self._intake.streams[index].when_full for index, _ in event.parts}
        if "block" in policies or event.kind is not PacketKind.DATA or self._dispatch is None:
            return False
        if "spill" in policies:
            if self._spill is None:
                self._spill = self._role.open_spill()
            if self._spill.write(event):
                self._intake.pop()
                for index, _ in event.parts:
                    self._ledgers[index].drop("spilled")
                return True
            return False
        if self._dispatch.drop_oldest(event.n_bytes):
            return True
        self._intake.pop()  # all room is taken by events that workers have: this one is the oldest that can be dropped
        for index, _ in event.parts:
            self._ledgers[index].drop("full")
        return True

    # Scans --------------------------------------------------------------------------------------------------

    def _begin_scan(self, scan_id: str) -> None:
        self._next_scan += 1
        self._n_scans += 1
        self._scan_id = scan_id
        self._queue.begin_scan()
        start = ScanStart(self._next_scan, scan_id, self._version, self._data)
        self._reducer.begin_scan(start)
        self._workers.begin_scan(start)
        self._dispatch = dispatch = ScanDispatch(
            self._next_scan,
            scan_id,
            slots=self._slots,
            ledgers=self._ledgers,
            queue=self._queue,
            send=self._workers.send,
            use_version=self._workers.use_version,
            void=self._reducer.void,
        )
        dispatch.use(self._version)
        for slot in self._workers:
            dispatch.connect(slot)
        self._bound = (self._version, 0)
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
        if not self._finishing and not self._ending_sent:
            self._ending_sent = True
            self._reducer.end_scan(dispatch.scan, dispatch.n_serials, self._account.of_scan())

    def _end_scan(self, now_ns: int) -> None:
        """Forget the scan: workers and reducer have finished it."""
        if self._dispatch is not None:
            self._last_figures = self._figures(self._dispatch) | {"ended_ns": now_ns}
            for slot, events in self._dispatch.close().items():
                self._kept.setdefault(slot, []).extend(events)
        self._dispatch, self._finishing, self._ending_sent, self._output_problem = None, None, False, ""
        if self._spill is not None:
            self._spill.close()
            self._spill = None
        self._account.end_scan()
        self._intake.end_scan(now_ns)
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
                    self._reducer.void(serials)
            case Finished() if self._finishing is not None and message.scan == dispatch.scan:
                self._finishing.discard(slot)

    def _lose(self, slot: str, *, was_killed: bool = False) -> None:
        """Note that the process of a slot is gone."""
        self._workers.forget(slot)
        for event in self._kept.pop(slot, ()):
            self._queue.give_back(event)
        if self._finishing is not None:
            self._finishing.discard(slot)
        if self._dispatch is not None:
            self._dispatch.disconnect(slot, was_killed=was_killed)

    def _hear_reducer(self) -> None:
        for content in self._reducer.receive():
            message = decode_from_reducer(content)
            if isinstance(message, ScanEnded) and self._dispatch is not None and message.scan == self._dispatch.scan:
                self._output_problem = message.problem
                self._reported_at = 0.0
                if not message.problem:
                    self._reducer.close_scan(self._dispatch.scan_id)
                    self._end_scan(time.time_ns())

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
                self._begin_mapped(message)
            case StopScan():
                self._stop_scan(last=message.last)
            case SetValues():
                self._set_values(message)
            case SlotDown():
                self._take_down(message)
            case ReducerAt():
                self._reducer.connect(message.address, [] if self._dispatch is None else self._dispatch.settled_runs())
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

    def _begin_mapped(self, message: BeginScan) -> None:
        self._problem = ""
        try:
            trigger_map = TriggerMap.from_json(message.trigger_map, all_wrap=message.all_wrap)
            if self._dispatch is not None:
                raise UsageError("a scan is running; stop it first (POST /api/v1/stop)")
            self._intake.begin(trigger_map, list(self._slots.values()), time.time_ns())
        except UsageError as error:  # control has checked it: only a race leads here
            self._problem = str(error)
            return
        self._begin_scan(message.scan_id)

    def _stop_scan(self, *, last: bool) -> None:
        if self._output_problem and self._dispatch is not None:
            self._reducer.end_scan(self._dispatch.scan, self._dispatch.n_serials, self._account.of_scan(), give_up=True)
        self._intake.stop(time.time_ns(), last=last)

    def _set_values(self, message: SetValues) -> None:
        """Use new parameter values from the next event on."""
        self._version, self._data = message.version, message.data
        dispatch = self._dispatch
        if dispatch is None:
            self._bound = (message.version, 0)
            return
        first = dispatch.last_offered + 1
        values = Values(dispatch.scan, message.version, message.data, first)
        self._workers.add_version(values)
        self._reducer.add_version(values)
        dispatch.use(message.version)
        self._bound = (message.version, first)

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
        dispatch = self._dispatch
        intake = self._intake
        state: dict[str, Any] = {
            "address": self.address,
            "n_scans": self._n_scans,
            "scan_id": self._scan_id,
            "is_running": dispatch is not None,
            "is_finishing": self._finishing is not None,
            "is_stopping": intake.is_stopped,
            "is_closed": intake.is_closed,
            "output_problem": self._output_problem,
            "problem": self._problem,
            "bound": list(self._bound),
            "streams": [self._stream_state(index) for index in range(len(intake.streams))],
            "queue": {"used_bytes": self._queue.used_bytes, "limit_bytes": self._queue.n_bytes},
            "full_s": time.monotonic() - self._full_since if self._full_since else 0.0,
            "n_ready": intake.n_ready,
            "cpu_s": time.process_time(),
        }
        return state | (self._last_figures if dispatch is None else self._figures(dispatch))

    def _figures(self, dispatch: ScanDispatch) -> dict[str, Any]:
        builder = self._intake.builder
        return {
            "scan": dispatch.scan,
            "began_ns": dispatch.began_ns,
            "ended_ns": None,
            "total_events": None if self._intake.trigger_map is None else self._intake.trigger_map.n_events,
            "n_closed": 0 if builder is None else builder.n_events_closed,
            "last_offered": dispatch.last_offered,
            "n_offered": dispatch.n_offered,
            "n_finished": dispatch.n_finished,
            "n_failed": dispatch.n_failed,
            "n_outstanding": dispatch.n_outstanding,
            "n_waiting": dispatch.n_waiting,
            "latency_s": dispatch.latency_s(),
        }

    def _stream_state(self, index: int) -> dict[str, Any]:
        stream, builder = self._intake.streams[index], self._intake.builder
        return {
            "name": stream.live.name,
            "ledger": stream.live.ledger.as_dict(),
            "is_open": stream.live.is_open,
            "held_bytes": 0 if builder is None else builder.held_bytes(index),
            "is_read": index in self._polled,
            "n_held": 0 if builder is None else builder.n_held(index),
            "described": stream.described,
            "bad_messages": [list(map(bytes, parts)) for parts in stream.bad_messages]
            if self._sends_bad(index)
            else [],
            "address": stream.source.address,
            "source": stream.source.state(),
        }

    def _sends_bad(self, index: int) -> bool:
        """Tell whether the examples of bad messages have to be reported: once is enough."""
        n_bad = len(self._intake.streams[index].bad_messages)
        told, self._told_bad[index] = self._told_bad.get(index, 0), n_bad
        return n_bad > told

    def _close(self) -> None:
        self._workers.quit()
        self._reducer.quit()
        self._reported_at = 0.0
        self._report()
        self._intake.close()
        if self._spill is not None:
            self._spill.close()
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


def run_ingester(role: IngesterRole) -> None:
    """Be the ingester process."""
    Ingester(role).run()
