"""A worker slot of a live run that is no process of its own: its user code runs where the caller is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from glimt.engines.event_block import BlockHead, ResultHead, unpack_events, unpack_head
from glimt.engines.live_messages import ScanStart
from glimt.engines.live_worker import BLOCK_S, MAX_BLOCK_EVENTS
from glimt.model.errors import GlimtError, UserCodeError
from glimt.pipeline.failure import Failure
from glimt.pipeline.parameter_set import ParameterSet
from glimt.pipeline.result_codec import encode_result
from glimt.pipeline.stream_scalars import small_frames
from glimt.pipeline.worker_runner import WorkerRunner


class InlineWorker:
    """One worker slot.

    Parameters
    ----------
    slot : str
        Its name.
    tags : sequence of str
        What it takes.
    cls : class
        The user's worker.
    parameters : ParameterSet
        What the user's worker is given; changed here at the event that a change is for.
    streams : sequence of (str, str)
        Name and type of each stream.
    fail : callable
        Told of every call of user code that raised.

    Attributes
    ----------
    block_events : int
        How many events it can take at a time, so that others are heard every 20 ms if the user's code allows that.
    """

    def __init__(
        self,
        slot: str,
        tags: Sequence[str],
        cls: Any,
        *,
        parameters: ParameterSet,
        streams: Sequence[tuple[str, str]],
        fail: Callable[[Failure], None],
    ) -> None:
        self.slot = slot
        self.block_events = 1
        self._tags = sorted(tags)
        self._class = cls
        self._parameters = parameters
        self._streams = streams
        self._fail = fail
        self._runner: WorkerRunner | None = None
        self._user_context: dict[str, Any] = {}
        self._scan = self._version = -1
        self._versions: dict[int, dict[str, bytes]] = {}
        self._n_events = self._n_failures = 0
        self._busy_s = self._event_s = 0.0

    def start_scan(self, start: ScanStart) -> None:
        """Make the user's object anew; if that raises, all events of the scan fail."""
        self._scan = start.scan
        self._versions = {start.version: start.data}
        self._use(start.version)
        self._runner = None
        try:
            self._runner = WorkerRunner(
                self._class, name=self.slot, parameters=self._parameters, context=self._user_context, tags=self._tags
            )
        except GlimtError as error:
            trace = error.trace if isinstance(error, UserCodeError) else ""
            self._fail(Failure(-1, f"{self._class.__qualname__}()", str(error), trace))

    def add_version(self, version: int, data: dict[str, bytes]) -> None:
        """Keep parameter values that blocks will name."""
        self._versions[version] = data

    def _use(self, version: int) -> None:
        self._parameters.update(self._versions[version])
        self._version = version

    def process(self, parts: Sequence[Any]) -> ResultHead:
        """Give a block of events, the parts as `glimt.engines.event_block.pack_block` makes them, to the user."""
        began = time.perf_counter()
        head = unpack_head(parts[1])
        if head.version != self._version:
            self._use(head.version)
        payloads, failed, small = self._call(head, parts)
        took = time.perf_counter() - began
        n_events = len(head.serials)
        self._n_events += n_events
        self._n_failures += len(failed)
        self._busy_s += took
        # As in a worker process: a block that turns out slow is followed by a small one.
        self._event_s = max(took / n_events, 0.8 * self._event_s + 0.2 * took / n_events)
        self.block_events = max(1, min(MAX_BLOCK_EVENTS, int(BLOCK_S / max(self._event_s, 1e-6))))
        return ResultHead(
            head.scan,
            head.number,
            head.version,
            self.slot,
            self._parameters.content_hash,
            head.serials,
            head.event_numbers,
            payloads,
            failed,
            small if any(small) else [],
        )

    def _call(self, head: BlockHead, parts: Sequence[Any]) -> tuple[list[bytes | None], list[int], list[bytes | None]]:
        runner = self._runner
        if runner is None:
            return [None] * len(head.serials), list(head.serials), []
        payloads: list[bytes | None] = []
        failed: list[int] = []
        small: list[bytes | None] = []
        hook, values, clocked, tick = runner.hook, self._parameters.values, runner.needs_times, False
        for index, event in enumerate(unpack_events(head, parts[2], parts[3:], self._streams, _no_memory)):
            small.append(small_frames(event))
            try:
                if clocked:
                    number = head.event_numbers[index]
                    tick = runner.tick(number, head.created_ns[index], head.previous_ns[index])
                payload = hook(event, values, tick)
                payloads.append(None if payload is None else encode_result(payload))
            except (Exception, SystemExit) as error:  # noqa: BLE001 - user code: its event failed, the run goes on
                payloads.append(None)
                failed.append(head.serials[index])
                self._fail(runner.failure(error, event.event_number))
        return payloads, failed, small

    def finish(self) -> None:
        """Run the user's ``finish``."""
        if self._runner is not None and (failure := self._runner.finish()) is not None:
            self._n_failures += 1
            self._fail(failure)

    def close(self) -> None:
        """Run the user's ``close``."""
        if self._runner is not None and (failure := self._runner.close()) is not None:
            self._fail(failure)

    def state(self) -> dict[str, Any]:
        """Return counters as plain values, as a worker process tells them."""
        return {
            "scan": self._scan,
            "n_events": self._n_events,
            "n_failures": self._n_failures,
            "busy_s": self._busy_s,
            "event_s": self._event_s,
            "result_bytes": 0,
            "parameters_hash": self._parameters.content_hash,
            "cpu_s": time.process_time(),
        }


def _no_memory(place: int, size: int) -> NoReturn:
    raise GlimtError(f"a frame of {size} bytes is said to lie at {place} in shared memory, which nobody has here")
