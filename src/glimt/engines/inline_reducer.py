"""The reducer of a live run that is no process of its own: its user code runs where the caller is."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from glimt.engines.event_block import ResultHead, pack_results
from glimt.engines.live_messages import ScanStart
from glimt.engines.scan_reduction import ResultLog, ScanReduction
from glimt.pipeline.failure import Failure
from glimt.pipeline.kept_scalars import KeptScalars
from glimt.pipeline.parameter_set import ParameterSet
from glimt.pipeline.value_history import Changes

RETRY_OUTPUT_S = 2.0


class InlineReducer:
    """Reduces scan after scan.

    Parameters
    ----------
    cls : class
        The user's reducer.
    parameters : ParameterSet
        What the user's reducer is given.
    open_log : callable
        Returns the `ResultLog` of a scan, by its identity.
    write_output : callable or None
        Given the published tree, its lock, the scan's identity, its ledger and its parameters (see
        `glimt.pipeline.value_history.ValueHistory`), writes the output file
        and returns why it could not, or an empty text.
    fail : callable
        Told of every call of user code that raised.
    remark : callable
        Told what the operator should read.

    Attributes
    ----------
    output_problem : str
        Why the output file of the scan cannot be written at the moment; empty while nothing is wrong.
    """

    def __init__(
        self,
        cls: Any,
        *,
        parameters: ParameterSet,
        open_log: Callable[[str], ResultLog],
        write_output: Callable[[Mapping[str, Any], Any, str, dict[str, Any], Changes], str] | None,
        fail: Callable[[Failure], None],
        remark: Callable[[str], None],
    ) -> None:
        self.output_problem = ""
        self._class = cls
        self._parameters = parameters
        self._open_log = open_log
        self._write_output = write_output
        self._fail = fail
        self._remark = remark
        self._user_context: dict[str, Any] = {}
        self._scan: ScanReduction | None = None
        self._n_before = 0  # results of the scans before
        self._has_finished = False
        self._retry_at = 0.0

    def start_scan(self, start: ScanStart, acknowledge: Callable[[int, list[int]], None]) -> None:
        """Make the user's object anew.

        Parameters
        ----------
        start : ScanStart
            The scan.
        acknowledge : callable
            Told (block number, failed serials) when every result of a block is reduced.
        """
        if self._scan is not None:
            self._n_before += self._scan.n_results
            self._scan.dispose()
        self.output_problem, self._has_finished, self._retry_at = "", False, 0.0
        self._scan = ScanReduction(
            start,
            self._class,
            parameters=self._parameters,
            context=self._user_context,
            log=self._open_log(start.scan_id),
            acknowledge=lambda _, block, failed: acknowledge(block, failed),
            fail=self._fail,
            url="",
        )

    def add_version(self, version: int, data: dict[str, bytes]) -> None:
        """Take parameter values that results may name."""
        if self._scan is not None:
            self._scan.add_version(version, data)

    def void(self, serials: list[int]) -> None:
        """Do not wait for these serials."""
        if self._scan is not None:
            self._scan.void(serials)

    def take(self, results: ResultHead) -> None:
        """Reduce what is next in order."""
        if self._scan is not None:
            self._scan.take(b"", results, pack_results(results)[1:])

    def end(self, account: dict[str, Any], changes: Changes, *, give_up: bool) -> bool:
        """Run ``finish`` once and write the output; False if that is to be tried again later, as with a full disk."""
        scan = self._scan
        if scan is None:
            return True
        if time.monotonic() < self._retry_at and not give_up:
            return False
        if not self._has_finished:
            self._has_finished = True
            scan.finish()
        if self._write_output is not None and not give_up:
            tree, lock = self.tree()
            problem = self._write_output(tree, lock, scan.scan_id, account, changes)
            if problem and problem != self.output_problem:
                self._remark(problem)
            elif self.output_problem and not problem:
                self._remark("the output file is written now")
            self.output_problem = problem
            if problem:
                self._retry_at = time.monotonic() + RETRY_OUTPUT_S
                return False
        self.output_problem = ""
        scan.dispose()
        return True

    def tree(self) -> tuple[Mapping[str, Any], AbstractContextManager[Any]]:
        """Return what the reducer of the newest scan publishes, and the lock to hold while reading it."""
        scan = self._scan
        if scan is None or scan.runner is None:
            return {}, nullcontext()
        return scan.runner.tree()

    @property
    def newest_event(self) -> int | None:
        """Highest event number that the reducer of the newest scan took."""
        scan = self._scan
        return None if scan is None or scan.runner is None else scan.runner.newest_event

    @property
    def scalars(self) -> KeptScalars | None:
        """Scalars of the streams in the newest scan; ``None`` before the first."""
        return None if self._scan is None else self._scan.scalars

    def state(self) -> dict[str, Any]:
        """Return counters as plain values, as a reducer process tells them."""
        state: dict[str, Any] = {
            "address": "",
            "cpu_s": time.process_time(),
            "output_problem": self.output_problem,
            "parameters_hash": self._parameters.content_hash,
        }
        if (scan := self._scan) is not None:
            state |= {
                "scan": scan.scan,
                "n_results": scan.n_results,
                "n_all_results": self._n_before + scan.n_results,
                "n_failures": scan.n_failures,
                "n_waiting": scan.n_waiting,
                "n_duplicates": scan.n_duplicates,
                "watermark": scan.watermark,
                "journal_problem": "",  # nothing is kept, because nobody could read it: this process is all there is
            }
        return state

    def close(self) -> None:
        """Run the user's ``close``."""
        if self._scan is not None:
            self._scan.dispose()
            if self._scan.runner is not None and (failure := self._scan.runner.close()) is not None:
                self._fail(failure)
