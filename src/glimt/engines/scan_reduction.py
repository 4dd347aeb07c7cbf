"""The reduction of one scan: results in the order of their serials, to the user's reducer, safe from a kill."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from glimt.engines.event_block import ResultHead, unpack_results
from glimt.model.errors import GlimtError, ResultError, UserCodeError
from glimt.model.event import ResultData
from glimt.pipeline.checkpoint import CheckpointHooks, checkpoint_hooks
from glimt.pipeline.checkpoint_policy import CheckpointPolicy
from glimt.pipeline.failure import Failure
from glimt.pipeline.kept_scalars import KeptScalars
from glimt.pipeline.parameter_set import ParameterSet
from glimt.pipeline.reducer_runner import ReducerRunner
from glimt.pipeline.result_codec import decode_result
from glimt.pipeline.result_order import ResultOrder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from glimt.engines.live_messages import ScanStart


class ResultLog(Protocol):
    """Where results are kept until the scan is over, so that a killed reducer can be made again."""

    @property
    def problem(self) -> str:
        """Why nothing can be kept at the moment (a full disk), empty while all is well."""
        ...

    def recover(self) -> tuple[bytes | None, int, Iterator[list[bytes]]]:
        """Return the state of the last checkpoint, its watermark, and the messages kept after it, in order."""
        ...

    def keep(self, parts: Sequence[bytes]) -> None:
        """Keep a message."""
        ...

    def checkpoint(self, state: bytes, watermark: int, waiting: Sequence[Sequence[bytes]]) -> None:
        """Keep a state, and the messages of results that are not in it, instead of the messages before it."""
        ...

    def discard(self) -> None:
        """Forget all of it: the scan is over."""
        ...


class _Block:
    """A message of results until the last of them is reduced."""

    __slots__ = ("answer_to", "failed", "has_known", "head", "n_left", "parts")

    def __init__(self, answer_to: bytes, head: ResultHead, parts: Sequence[bytes]) -> None:
        self.answer_to = answer_to
        self.head = head
        self.parts = parts  # as they came: a checkpoint keeps them as long as a result of them waits
        self.n_left = len(head.serials)
        self.failed = list(head.failed)
        self.has_known = False


class ScanReduction:
    """Reduces one scan.

    Parameters
    ----------
    start : ScanStart
        Its number, and the parameters that it begins with.
    cls : class
        The user's reducer.
    parameters : ParameterSet
        What the user's reducer is given; changed here at the event that a change is for.
    context : dict
        What lives as long as the process.
    log : ResultLog
        See there.
    acknowledge : callable
        Told (identity, block number, failed serials) when every result of a message is reduced.
    fail : callable
        Told of every call of user code that raised.
    url : str
        Where results are sent, for the user's reducer.

    Attributes
    ----------
    scan, scan_id
        As in `ScanStart`.
    n_results, n_failures : int
        Calls of ``process_result``; calls of user code that raised.
    recovered : int
        Results that a process before this one had already reduced.
    scalars : KeptScalars
        Of the streams, for the page.
    """

    def __init__(
        self,
        start: ScanStart,
        cls: Any,
        *,
        parameters: ParameterSet,
        context: dict[str, Any],
        log: ResultLog,
        acknowledge: Callable[[bytes, int, list[int]], None],
        fail: Callable[[Failure], None],
        url: str,
    ) -> None:
        self.scan, self.scan_id = start.scan, start.scan_id
        self.n_results = self.n_failures = self.recovered = 0
        self._parameters = parameters
        self._log = log
        self._acknowledge = acknowledge
        self._fail = fail
        self._versions = {start.version: start.data}
        self._version = -1
        self._order: ResultOrder[tuple[_Block, int]] = ResultOrder()
        self._ready: deque[tuple[int, tuple[_Block, int]]] = deque()
        self._policy = CheckpointPolicy()
        self._bytes_since = 0
        self._failed: set[int] = set()  # for messages that come again
        self._restored = 0
        self._unanswered: list[_Block] = []
        self._hooks: CheckpointHooks | None = None
        self.scalars = KeptScalars()
        self.runner: ReducerRunner | None = None
        self._use_version(start.version)
        try:
            self.runner = ReducerRunner(cls, parameters=parameters, on_failure=self._count, context=context, url=url)
            self._hooks = checkpoint_hooks(self.runner.reducer)
        except GlimtError as error:
            trace = error.trace if isinstance(error, UserCodeError) else ""
            self._count(Failure(-1, f"{cls.__qualname__}()", str(error), trace))
        self._recover()
        if self.runner is not None:
            self.runner.start_timer()

    @property
    def watermark(self) -> int:
        """All serials below are reduced or void, but for those that wait for parameters."""
        return self._order.watermark

    @property
    def n_waiting(self) -> int:
        """Results that wait for one before them."""
        return self._order.n_waiting + len(self._ready)

    @property
    def n_duplicates(self) -> int:
        """Results that came again after a worker had died."""
        return self._order.n_duplicates

    @property
    def problem(self) -> str:
        """Why a killed reducer could not be made again at the moment; empty while it could."""
        return self._log.problem

    def _recover(self) -> None:
        state, watermark, messages = self._log.recover()
        if state is not None and self._hooks is not None:
            try:
                self._hooks.restore(state)
            except GlimtError as error:
                trace = error.trace if isinstance(error, UserCodeError) else ""
                self._count(Failure(-1, "set_state", str(error), trace))
            self._order = ResultOrder(watermark)
            self.recovered = self._restored = watermark
        for parts in messages:
            self._take(b"", unpack_results(parts), parts)
            self.recovered = self._order.watermark

    def add_version(self, version: int, data: dict[str, bytes]) -> None:
        """Take parameter values that results may name."""
        self._versions[version] = data
        self._go_on()

    def void(self, serials: list[int]) -> None:
        """Do not wait for these serials."""
        self._ready.extend(self._order.void(serials))
        self._go_on()

    def settle(self, runs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Do not wait for these serials, given as runs; return those of them that are not here."""
        missing = [run for first, end in runs for run in self._order.missing(first, end)]
        self._ready.extend(self._order.void(serial for run in missing for serial in range(*run)))
        self._go_on()
        return missing

    def take(self, answer_to: bytes, head: ResultHead, parts: Sequence[bytes]) -> None:
        """Take results from a worker: the head, and the message that it was read from, without its mark."""
        if head.serials and max(head.serials) >= self._order.watermark:
            self._log.keep(parts)
            self._bytes_since += sum(map(len, parts))
        self._take(answer_to, head, parts)
        if self._hooks is not None and not self._ready and self._policy.is_due(time.monotonic(), self._bytes_since):
            self.checkpoint()

    def _take(self, answer_to: bytes, head: ResultHead, parts: Sequence[bytes]) -> None:
        block = _Block(answer_to, head, parts)
        order = self._order
        known = order.n_duplicates
        items = [(block, index) for index in range(len(head.serials))]
        self._ready.extend(order.add(head.serials, items))
        n_known = order.n_duplicates - known
        if n_known:
            block.has_known = True
            block.n_left -= n_known
            if block.n_left == 0:
                self._unanswered.append(block)
        self._go_on()

    def _go_on(self) -> None:
        self._reduce()
        if self._unanswered:
            self._answer_known()

    def _reduce(self) -> None:
        ready, failed_call = self._ready, self._count
        while ready:
            serial, (block, index) = ready[0]
            head = block.head
            if head.version != self._version and not self._use_version(head.version):
                return  # the ingester's word about these parameters is still on its way
            ready.popleft()
            if head.small_frames and (small := head.small_frames[index]) is not None:
                self.scalars.keep(head.event_numbers[index], small)
            payload = head.payloads[index]
            if payload is not None:
                failure = self._process(head, index, payload)
                if failure is not None:
                    failed_call(failure)
                    block.failed.append(serial)
            block.n_left -= 1
            if block.failed and serial in block.failed:
                self._failed.add(serial)
            if block.n_left:
                continue
            if block.has_known:
                self._unanswered.append(block)
            else:
                self._acknowledge(block.answer_to, head.block, block.failed)

    def _answer_known(self) -> None:
        """Acknowledge messages with results that came before in another one, once that one is reduced.

        Not sooner: until then it is not known which of them the user's reducer fails on.
        """
        reduced_to = self._ready[0][0] if self._ready else self._order.watermark
        waiting = []
        for block in self._unanswered:
            serials = block.head.serials
            if max(serials) >= reduced_to:
                waiting.append(block)
                continue
            forgotten = {serial for serial in block.head.failed if serial < self._restored}
            failed = [serial for serial in serials if serial in self._failed or serial in forgotten]
            self._acknowledge(block.answer_to, block.head.block, failed)
        self._unanswered = waiting

    def _process(self, head: ResultHead, index: int, payload: bytes) -> Failure | None:
        number = head.event_numbers[index]
        if self.runner is None:
            return Failure(number, "process_result", "there is no reducer: it could not be made", "")
        try:
            content = decode_result(payload)
        except ResultError as error:
            return Failure(number, "process_result", str(error), "")
        failure = self.runner.process(ResultData(number, head.worker, head.parameters_hash, content))
        self.n_results += failure is None
        return failure

    def _use_version(self, version: int) -> bool:
        data = self._versions.get(version)
        if data is None:
            return False
        self._parameters.update(data)
        self._version = version
        return True

    def checkpoint(self) -> None:
        """Keep the reducer's state in the place of the messages before, if it can say it.

        Messages of which a result still waits for one before it are kept with it: they are acknowledged as soon as that
        one comes, and then nobody else has them.
        """
        if self._hooks is None:
            return
        started = time.monotonic()
        waiting = {id(block): block.parts for _, (block, _) in self._order.waiting()}
        try:
            self._log.checkpoint(self._hooks.save(), self._order.watermark, list(waiting.values()))
            self._bytes_since = 0
        except GlimtError as error:
            trace = error.trace if isinstance(error, UserCodeError) else ""
            self._count(Failure(-1, "get_state", str(error), trace))
            self._hooks = None  # what cannot be kept now cannot be kept later: the messages are
        self._policy.done(started, time.monotonic())

    def _count(self, failure: Failure) -> None:
        self.n_failures += 1
        self._fail(failure)

    def finish(self) -> None:
        """Run the user's ``finish``."""
        if self.runner is not None:
            self.runner.stop_timer()
            failure = self.runner.finish()
            if failure is not None:
                self._count(failure)

    def dispose(self, *, keep_log: bool = False) -> None:
        """Stop the user's timer; forget the log unless it is still needed."""
        if self.runner is not None:
            self.runner.stop_timer()
        if not keep_log:
            self._log.discard()
