"""The life of one worker process of a live run."""

from __future__ import annotations

import os
import socket as network
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import zmq

from glimt.engines.allocator import keep_freed_memory
from glimt.engines.event_block import (
    BLOCK_MARK,
    BlockHead,
    ResultHead,
    pack_results,
    unpack_events,
    unpack_head,
)
from glimt.engines.frame_memory import SharedFrames
from glimt.engines.heart import Heart
from glimt.engines.live_messages import (
    Acknowledged,
    Credit,
    Finish,
    Finished,
    Hello,
    Quit,
    ReducerAt,
    ScanStart,
    Values,
    Welcome,
    decode_from_reducer,
    decode_to_worker,
    encode,
)
from glimt.engines.parent import ParentWatch
from glimt.engines.run_keys import NO_KEYS, LossWatch, RunKeys
from glimt.model.errors import GlimtError, UserCodeError
from glimt.pipeline.failure import Failure
from glimt.pipeline.parameter_set import ParameterSet
from glimt.pipeline.result_codec import encode_result
from glimt.pipeline.stream_scalars import small_frames
from glimt.pipeline.user_class import import_class
from glimt.pipeline.worker_runner import WorkerRunner

MAX_BLOCK_EVENTS = 256
BLOCK_S = 0.02
"""How long a worker should be busy with one block: short for latency and for balance, long against messages."""
RESULT_BLOCK_BYTES = 16 << 20
"""Most that the results of one block should have [bytes], going by those before."""
_BLOCKS_AHEAD = 2


@dataclass(frozen=True, slots=True)
class WorkerRole:
    """All that a worker process needs to know; pickled to it.

    Attributes
    ----------
    slot : str
        Its name.
    tags : tuple of str
        What it takes.
    token : bytes
        The secret of the run.
    ingester_address, control_address : str
        ZeroMQ addresses.
    prepare : callable
        Called first: sets up logging and import names as in the process that started it.
    worker_class : str
        As ``module.path:Class``.
    describe : callable
        Returns the descriptions of all parameters.
    share_memory : bool
        It is on the ingester's machine.
    block_bytes : int
        Most that a block of several events may have.
    result_bytes : int
        No further block is asked for while results of this size wait for the reducer.
    keys, frame_keys : RunKeys
        Of the connections to control and reducer, and of that to the ingester.
    lease_s : float or None
        How long it goes on without hearing from control [s]; ``None`` if it sees the process that started it.
    """

    slot: str
    tags: tuple[str, ...]
    token: bytes
    ingester_address: str
    control_address: str
    prepare: Callable[[], None]
    worker_class: str
    describe: Callable[[], list[Any]]
    share_memory: bool = True
    block_bytes: int = 4 << 20
    result_bytes: int = 64 << 20
    keys: RunKeys = NO_KEYS
    frame_keys: RunKeys = NO_KEYS
    lease_s: float | None = None


class LiveWorker:
    """One worker process; `run` returns when the run is over.

    Parameters
    ----------
    role : WorkerRole
        What it is to do.
    """

    def __init__(self, role: WorkerRole) -> None:
        self._role = role
        role.prepare()
        if not role.share_memory:
            keep_freed_memory()  # frames are messages here
        self._class = import_class(role.worker_class)
        self._parameters = ParameterSet(role.describe())
        self._version = -1
        self._runner: WorkerRunner | None = None
        self._unmade: Failure | None = None
        self._user_context: dict[str, Any] = {}
        self._scan = -1
        self._streams: list[tuple[str, str]] = []
        self._memory: SharedFrames | None = None
        self._lent: list[weakref.ref[zmq.Frame]] = []
        self._copies = False
        self._keeping: set[int] = set()
        self._unacknowledged: dict[int, list[bytes]] = {}
        self._result_bytes = 0
        self._owed = 0
        self._event_s = self._payload_bytes = 0.0
        self._n_events = self._n_failures = 0
        self._busy_s = 0.0
        hello = Hello(role.token, role.slot, os.getpid(), network.gethostname(), list(role.tags))
        self._hello = encode(hello)
        self._heart = Heart(role.control_address, hello, self._state, keys=role.keys, lease_s=role.lease_s)
        self._context: zmq.Context[Any] = zmq.Context()
        self._ingester, self._ingester_watch = self._connect(role.ingester_address, role.frame_keys)
        self._reducer: zmq.Socket[bytes] | None = None
        self._reducer_watch: LossWatch | None = None
        self._reducer_at = ""

    def _connect(self, address: str, keys: RunKeys) -> tuple[zmq.Socket[bytes], LossWatch]:
        socket: zmq.Socket[bytes] = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.SNDHWM, 0)  # bounded by credits and by result_bytes
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.LINGER, 5000)
        keys.join(socket)
        watch = LossWatch(socket, address)
        socket.connect(address)
        socket.send(self._hello)
        return socket, watch

    def run(self) -> None:
        """Work until told to quit, or until the process that started this one is gone."""
        parent = ParentWatch()
        try:
            while not parent.is_gone() and not self._heart.is_given_up:
                if not self._wait(parent):
                    if self._has_lost_ingester():
                        return
                    continue
                parts = self._ingester.recv_multipart(copy=False)
                if len(parts) > 1:
                    self._take_block(parts)
                elif not self._take(decode_to_worker(parts[0].buffer)):
                    return
                self._take_acknowledgements()
        finally:
            self._close()

    def _wait(self, parent: ParentWatch) -> bool:
        """Wait for the ingester or the reducer; tell whether the ingester has sent something."""
        if self._ingester.poll(0):
            return True
        poller = zmq.Poller()
        poller.register(self._ingester, zmq.POLLIN)
        if self._reducer is not None:
            poller.register(self._reducer, zmq.POLLIN)
        if self._reducer_watch is not None:
            self._reducer_watch.register(poller)
        self._ingester_watch.register(poller)
        parent.register(poller)
        found = dict(poller.poll(1000))
        if self._reducer in found:
            self._take_acknowledgements()
        if self._reducer_watch is not None and self._reducer_watch.has_lost():
            self._use_reducer(self._reducer_at)
        return self._ingester in found

    def _has_lost_ingester(self) -> bool:
        """Tell whether the connection broke: what was on its way is lost, and nobody would send it here again."""
        if not self._ingester_watch.has_lost() or self._ingester.poll(0):
            return False
        self._heart.remark(f"{self._role.slot} has lost its connection to the ingester, and ends")
        return True

    def _take(self, message: Any) -> bool:
        """Do what the ingester says; False if that is to quit."""
        match message:
            case ScanStart():
                self._start_scan(message)
            case Values():
                self._parameters.update(message.data)
                self._version = message.version
            case Finish():
                self._finish(message.scan)
            case ReducerAt():
                self._use_reducer(message.address)
            case Welcome():
                self._streams = list(zip(message.stream_names, message.stream_types, strict=True))
                if self._role.share_memory:
                    self._memory = SharedFrames(message.memory_path, message.memory_bytes)
            case Quit():
                return False
        return True

    def _start_scan(self, message: ScanStart) -> None:
        self._scan, self._version = message.scan, message.version
        self._unacknowledged.clear()
        self._result_bytes = 0
        self._parameters.update(message.data)
        self._runner = self._unmade = None
        try:
            self._runner = WorkerRunner(
                self._class,
                name=self._role.slot,
                parameters=self._parameters,
                context=self._user_context,
                tags=self._role.tags,
            )
        except GlimtError as error:
            trace = error.trace if isinstance(error, UserCodeError) else ""
            self._unmade = Failure(-1, f"{self._class.__qualname__}()", str(error), trace)
            self._heart.fail(self._unmade)
        self._owed = 0
        for _ in range(_BLOCKS_AHEAD):
            self._ingester.send(encode(Credit(1, self._role.block_bytes, self._scan)))

    def _finish(self, scan: int) -> None:
        if self._runner is not None and (failure := self._runner.finish()) is not None:
            self._n_failures += 1
            self._heart.fail(failure)
        self._ingester.send(encode(Finished(scan)))

    def _use_reducer(self, address: str) -> None:
        if self._reducer is not None and self._reducer_watch is not None:
            self._reducer_watch.close()
            self._reducer.close(linger=0)
        self._reducer_at = address
        self._reducer, self._reducer_watch = self._connect(address, self._role.keys)
        for parts in self._unacknowledged.values():
            self._reducer.send_multipart(parts, copy=False)

    def _take_block(self, parts: Sequence[zmq.Frame]) -> None:
        if parts[0].bytes != BLOCK_MARK:
            return
        began = time.perf_counter()
        head = unpack_head(parts[1].buffer)
        result = self._process(head, parts[2].bytes, parts[3:])
        took = time.perf_counter() - began
        self._busy_s += took
        # The slower of the last and the average: a block that turns out slow is followed by a small one.
        mean = took / len(head.serials)
        self._event_s = max(mean, 0.8 * self._event_s + 0.2 * mean)
        if not head.is_primer:
            message = pack_results(result)
            self._unacknowledged[head.number] = message
            n_bytes = sum(map(len, message))
            self._result_bytes += n_bytes
            self._payload_bytes = max(n_bytes / len(head.serials), self._payload_bytes * 0.8)
            if self._reducer is not None:
                self._reducer.send_multipart(message, copy=False)
        self._grant(head.number)

    def _grant(self, done: int) -> None:
        if self._result_bytes < self._role.result_bytes:
            most = min(BLOCK_S / max(self._event_s, 1e-6), RESULT_BLOCK_BYTES / max(self._payload_bytes, 1.0))
            n_events = max(1, min(MAX_BLOCK_EVENTS, int(most)))
            self._ingester.send(encode(Credit(n_events, self._role.block_bytes, self._scan, done)))
        else:
            self._owed += 1
            self._ingester.send(encode(Credit(0, 0, self._scan, done)))

    def _process(self, head: BlockHead, body: bytes, extra: Sequence[zmq.Frame]) -> ResultHead:
        payloads: list[bytes | None] = []
        failed: list[int] = []
        small: list[bytes | None] = []
        runner = self._runner
        if runner is None:
            failed = list(head.serials)
            payloads = [None] * len(failed)
            self._n_failures += len(failed)
        else:
            hook, values, clocked, tick = runner.hook, runner.parameters.values, runner.needs_times, False
            index = 0
            for event in unpack_events(head, body, extra, self._streams, self._lend):
                small.append(small_frames(event))
                try:
                    if clocked:
                        number = head.event_numbers[index]
                        tick = runner.tick(number, head.created_ns[index], head.previous_ns[index])
                    payload = hook(event, values, tick)
                    payloads.append(None if payload is None else encode_result(payload))
                except (Exception, SystemExit) as error:  # user code: its event failed, the run goes on
                    payloads.append(None)
                    failed.append(head.serials[index])
                    self._n_failures += 1
                    self._heart.fail(runner.failure(error, event.event_number))
                index += 1  # noqa: SIM113 - enumerate holds on to the event, and so to lent frames
                if self._lent:
                    payload = event = None  # type: ignore[assignment]  # unless the user's object holds the frames
                    self._take_back(head.number)
        self._n_events += len(head.serials)
        return ResultHead(
            head.scan,
            head.number,
            self._version,
            self._role.slot,
            self._parameters.content_hash,
            head.serials,
            head.event_numbers,
            payloads,
            failed,
            small if any(small) else [],
        )

    def _lend(self, place: int, size: int) -> Any:
        if self._memory is None:
            raise GlimtError("the ingester keeps a frame in memory that this worker does not share")
        if self._copies:
            return bytes(self._memory.view(place, size))
        frame = zmq.Frame(self._memory.view(place, size), copy=False, track=False)
        self._lent.append(weakref.ref(frame))
        return frame

    def _take_back(self, block: int) -> None:
        """Find out whether the user's object kept a lent frame: then its place is left alone, and later ones copied."""
        if any(reference() is not None for reference in self._lent):
            self._copies = True
            self._keeping.add(block)
            self._heart.remark(
                f"{self._class.__qualname__} keeps frames beyond process_event: from now on each is copied for it"
            )
        self._lent.clear()

    def _take_acknowledgements(self) -> None:
        if self._reducer is None:
            return
        while True:
            try:
                content = self._reducer.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            message = decode_from_reducer(content)
            if not isinstance(message, Acknowledged):
                continue
            parts = self._unacknowledged.pop(message.block, None)
            if parts is None:
                continue
            self._result_bytes -= sum(map(len, parts))
            keeps = message.block in self._keeping
            self._ingester.send(encode(Acknowledged(message.block, message.failed, keeps)) if keeps else content)
        while self._owed and self._result_bytes < self._role.result_bytes:
            self._owed -= 1
            self._ingester.send(encode(Credit(1, self._role.block_bytes, self._scan)))

    def _state(self) -> dict[str, Any]:
        return {
            "scan": self._scan,
            "n_events": self._n_events,
            "n_failures": self._n_failures,
            "busy_s": self._busy_s,
            "event_s": self._event_s,
            "result_bytes": self._result_bytes,
            "parameters_hash": self._parameters.content_hash,
            "cpu_s": time.process_time(),
        }

    def _close(self) -> None:
        if self._runner is not None and (failure := self._runner.close()) is not None:
            self._heart.fail(failure)
        self._heart.stop()
        self._context.destroy(linger=2000)


def run_worker(role: WorkerRole) -> None:
    """Be a worker process."""
    LiveWorker(role).run()
