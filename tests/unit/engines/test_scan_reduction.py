"""One scan in the reducer: order, duplicates, parameters, failures, and what a killed reducer finds again."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glimt.app.result_log import JournalLog, NoLog
from glimt.engines.event_block import ResultHead, pack_results, unpack_results
from glimt.engines.live_messages import ScanStart
from glimt.engines.scan_reduction import ResultLog, ScanReduction
from glimt.model.event import ResultData
from glimt.model.parameters import IntParameter
from glimt.pipeline.failure import Failure
from glimt.pipeline.parameter_set import ParameterSet
from glimt.pipeline.result_codec import encode_result

A, B = b"worker-a", b"worker-b"


class Listing:
    """A reducer that keeps what it is given."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, Any, int]] = []
        self.is_finished = False

    def process_result(self, result: ResultData, parameters: Any) -> None:
        if result.payload == "bad":
            raise ValueError("cannot use this")
        self.seen.append((result.event_number, result.payload, parameters["scale"].value))

    def finish(self) -> None:
        self.is_finished = True


class Resuming(Listing):
    """One that can be brought back."""

    def get_state(self) -> Any:
        return self.seen

    def set_state(self, state: Any) -> None:
        self.seen = [(number, payload, scale) for number, payload, scale in state]


class NeverMade:
    def __init__(self) -> None:
        raise RuntimeError("no detector calibration")

    def process_result(self, result: ResultData) -> None: ...


def as_after_a_kill(folder: Path) -> JournalLog:
    """Return the log of a new process; the journal of one that was killed has no owner, as a copy has none."""
    copy = folder.with_name(f"{folder.name}-after")
    shutil.copytree(folder, copy)
    return JournalLog(copy, "scan")


class Bench:
    """A reduction with everything that it says."""

    parameter: ClassVar[IntParameter] = IntParameter(name="scale", default=1)

    def __init__(self, cls: type = Listing, log: ResultLog | None = None) -> None:
        self.acknowledged: list[tuple[bytes, int, list[int]]] = []
        self.failures: list[Failure] = []
        self.reduction = ScanReduction(
            ScanStart(1, "scan", 0, {"scale": b"1"}),
            cls,
            parameters=ParameterSet([self.parameter]),
            context={},
            log=NoLog() if log is None else log,
            acknowledge=lambda identity, block, failed: self.acknowledged.append((identity, block, sorted(failed))),
            fail=self.failures.append,
            url="",
        )

    def take(self, who: bytes, block: int, serials: Sequence[int], **changes: Any) -> None:
        """Hand over a message of results whose payloads are their serials."""
        payloads = changes.pop("payloads", list(serials))
        head = ResultHead(
            1,
            block,
            changes.pop("version", 0),
            who.decode(),
            "hash",
            list(serials),
            [serial + 1 for serial in serials],
            [None if payload is None else encode_result(payload) for payload in payloads],
            changes.pop("failed", []),
        )
        parts = pack_results(head)[1:]
        self.reduction.take(who, unpack_results(parts), parts)

    @property
    def user(self) -> Any:
        assert self.reduction.runner is not None
        return self.reduction.runner.reducer

    @property
    def payloads(self) -> list[Any]:
        return [payload for _, payload, _ in self.user.seen]


def test_results_are_reduced_in_the_order_of_their_serials_and_then_acknowledged() -> None:
    bench = Bench()
    bench.take(B, 1, [2, 3])
    assert bench.payloads == []
    assert bench.acknowledged == []
    assert bench.reduction.n_waiting == 2
    bench.take(A, 0, [0, 1])
    assert bench.payloads == [0, 1, 2, 3]
    assert bench.acknowledged == [(A, 0, []), (B, 1, [])]
    assert (bench.reduction.watermark, bench.reduction.n_waiting, bench.reduction.n_results) == (4, 0, 4)


def test_a_message_is_acknowledged_when_its_last_result_is_reduced() -> None:
    bench = Bench()
    bench.take(A, 0, [0, 2])
    assert bench.payloads == [0]
    assert bench.acknowledged == []
    bench.take(B, 1, [1])
    assert bench.payloads == [0, 1, 2]
    assert bench.acknowledged == [(B, 1, []), (A, 0, [])]


def test_no_result_and_a_failed_event_are_acknowledged_without_the_users_code() -> None:
    bench = Bench()
    bench.take(A, 0, [0, 1, 2], payloads=[None, None, 5], failed=[1])
    assert bench.payloads == [5]
    assert bench.acknowledged == [(A, 0, [1])]
    assert bench.failures == []  # the worker has told it


def test_a_result_that_the_reducer_cannot_take_fails_its_event() -> None:
    bench = Bench()
    bench.take(A, 0, [0, 1, 2], payloads=[0, "bad", 2])
    assert bench.payloads == [0, 2]
    assert bench.acknowledged == [(A, 0, [1])]
    assert [(failure.event_number, "cannot use this" in failure.error) for failure in bench.failures] == [(2, True)]
    assert (bench.reduction.n_results, bench.reduction.n_failures) == (2, 1)


def test_a_payload_that_is_damaged_fails_its_event() -> None:
    bench = Bench()
    head = ResultHead(1, 0, 0, "a", "hash", [0], [1], [b"\xc1"], [])
    bench.reduction.take(A, head, pack_results(head)[1:])
    assert bench.acknowledged == [(A, 0, [0])]
    assert [failure.event_number for failure in bench.failures] == [1]


def test_what_was_reduced_is_acknowledged_again_but_not_reduced_again() -> None:
    bench = Bench()
    bench.take(A, 0, [0, 1], payloads=[0, "bad"])
    bench.take(B, 7, [0, 1], payloads=[0, "bad"])
    bench.take(B, 8, [1, 2], payloads=["bad", 2])
    assert bench.payloads == [0, 2]
    assert bench.acknowledged == [(A, 0, [1]), (B, 7, [1]), (B, 8, [1])]
    assert bench.reduction.n_duplicates == 3


def test_what_comes_again_while_it_waits_is_acknowledged_only_when_it_is_reduced() -> None:
    bench = Bench()
    bench.take(A, 0, [1, 2], payloads=["bad", 2])  # and then this worker dies
    bench.take(B, 7, [1, 2], payloads=["bad", 2])
    assert bench.acknowledged == []
    bench.take(B, 8, [0])
    assert bench.payloads == [0, 2]
    assert sorted(bench.acknowledged) == [(A, 0, [1]), (B, 7, [1]), (B, 8, [])]
    assert bench.reduction.n_failures == 1


def test_serials_that_are_void_are_not_waited_for() -> None:
    bench = Bench()
    bench.take(A, 0, [2])
    bench.reduction.void([0, 1])
    assert bench.payloads == [2]
    assert bench.acknowledged == [(A, 0, [])]
    bench.take(B, 1, [1])  # it comes all the same
    assert bench.payloads == [2]
    assert bench.acknowledged[-1] == (B, 1, [])


def test_results_wait_for_the_parameters_that_they_were_made_with() -> None:
    bench = Bench()
    bench.take(A, 0, [0])
    bench.take(A, 1, [1], version=2)
    bench.take(A, 2, [2], version=2)
    assert bench.payloads == [0]
    assert bench.reduction.n_waiting == 2
    bench.reduction.add_version(2, {"scale": b"7"})
    assert bench.user.seen == [(1, 0, 1), (2, 1, 7), (3, 2, 7)]
    assert [block for _, block, _ in bench.acknowledged] == [0, 1, 2]


def test_a_late_result_of_older_parameters_is_reduced_with_those() -> None:
    bench = Bench()
    bench.reduction.add_version(1, {"scale": b"5"})
    bench.take(A, 1, [1], version=1)
    bench.take(B, 0, [0], version=0)
    assert [scale for _, _, scale in bench.user.seen] == [1, 5]


def test_without_a_reducer_every_result_fails() -> None:
    bench = Bench(NeverMade)
    bench.take(A, 0, [0, 1], payloads=[0, None])
    assert bench.acknowledged == [(A, 0, [0])]
    assert "no detector calibration" in bench.failures[0].error
    assert bench.failures[1].event_number == 1
    bench.reduction.finish()
    bench.reduction.dispose()


def test_the_end_runs_finish() -> None:
    bench = Bench()
    bench.reduction.finish()
    assert bench.user.is_finished


@pytest.mark.parametrize("cls", [Listing, Resuming])
def test_a_killed_reducer_finds_everything_again(tmp_path: Path, cls: type) -> None:
    first = Bench(cls, JournalLog(tmp_path, "scan"))
    first.take(A, 0, [0, 1])
    first.take(B, 1, [3, 4])
    second = Bench(cls, as_after_a_kill(tmp_path))
    assert second.payloads == [0, 1]
    assert second.reduction.recovered == 2
    second.take(B, 1, [3, 4])  # not acknowledged, so it comes again
    second.take(A, 5, [2])
    assert second.payloads == [0, 1, 2, 3, 4]
    assert (B, 1, []) in second.acknowledged


def test_a_killed_reducer_goes_on_from_its_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glimt.pipeline.checkpoint_policy.CheckpointPolicy.is_due", lambda *_: True)
    first = Bench(Resuming, JournalLog(tmp_path, "scan"))
    first.take(A, 0, [0, 1])
    log = as_after_a_kill(tmp_path)
    state, watermark, messages = log.recover()
    assert (state is not None, watermark, list(messages)) == (True, 2, [])
    second = Bench(Resuming, log)
    second.take(A, 1, [2])
    assert second.payloads == [0, 1, 2]


def test_what_was_acknowledged_is_never_lost_by_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glimt.pipeline.checkpoint_policy.CheckpointPolicy.is_due", lambda *_: True)
    first = Bench(Resuming, JournalLog(tmp_path, "scan"))
    first.take(A, 0, [1])  # and then this worker dies
    first.take(B, 7, [1])
    acknowledged = {block for identity, block, _ in first.acknowledged if identity == B}
    second = Bench(Resuming, as_after_a_kill(tmp_path))  # the reducer dies, too
    if 7 not in acknowledged:
        second.take(B, 7, [1])
    second.take(B, 8, [0])
    assert second.payloads == [0, 1]


def test_the_end_of_a_scan_forgets_its_journal(tmp_path: Path) -> None:
    bench = Bench(Listing, JournalLog(tmp_path, "scan"))
    bench.take(A, 0, [0])
    assert list(tmp_path.iterdir())
    bench.reduction.dispose()
    assert not list(tmp_path.iterdir())


@given(st.data())
def test_whatever_comes_twice_and_in_whatever_order_is_reduced_once_and_acknowledged(data: st.DataObject) -> None:
    bench = Bench()
    n = data.draw(st.integers(1, 20))
    cuts = sorted(data.draw(st.sets(st.integers(1, n), max_size=6)) | {0, n})
    blocks = [list(range(first, last)) for first, last in itertools.pairwise(cuts)]
    again = data.draw(st.lists(st.sets(st.integers(0, n - 1), min_size=1, max_size=5), max_size=4))
    messages = list(enumerate([*blocks, *map(sorted, again)]))
    bad = data.draw(st.sets(st.integers(0, n - 1), max_size=3))
    done: set[int] = set()
    for number, serials in data.draw(st.permutations(messages)):
        bench.take(A, number, serials, payloads=["bad" if serial in bad else serial for serial in serials])
        done.update(bench.payloads)
        acknowledged = {serial for _, block, _ in bench.acknowledged for serial in dict(messages)[block]}
        assert acknowledged <= done | bad
    assert bench.payloads == [serial for serial in range(n) if serial not in bad]
    assert sorted(block for _, block, _ in bench.acknowledged) == [number for number, _ in messages]
    for _, block, failed in bench.acknowledged:
        assert failed == sorted(bad & set(dict(messages)[block]))
