"""Results that come again, after a worker or the reducer died: when they are acknowledged, and as what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glimt.app.result_log import JournalLog
from glimt.engines.event_block import RESULT_MARK, ResultHead, pack_results
from glimt.engines.live_messages import ScanStart
from glimt.engines.scan_reduction import ScanReduction
from glimt.pipeline.parameter_set import ParameterSet
from glimt.pipeline.result_codec import encode_result

SCAN = 7


class Numbers:
    """A user's reducer that can be brought back."""

    def __init__(self) -> None:
        self.publish: dict[str, Any] = {}
        self.numbers: list[int] = []

    def process_result(self, result: Any) -> None:
        self.numbers.append(result.event_number)

    def get_state(self) -> list[int]:
        return self.numbers

    def set_state(self, state: list[int]) -> None:
        self.numbers = list(state)


class Reducing:
    """One reducer process of a scan whose log is in a folder."""

    def __init__(self, folder: Path) -> None:
        self.answers: list[tuple[bytes, int, list[int]]] = []
        self.log = JournalLog(folder, "scan")
        self.scan = ScanReduction(
            ScanStart(SCAN, "scan", 0, {}),
            Numbers,
            parameters=ParameterSet([]),
            context={},
            log=self.log,
            acknowledge=lambda *answer: self.answers.append(answer),
            fail=lambda failure: None,
            url="",
        )

    def take(self, worker: str, block: int, serials: list[int], failed: list[int] | None = None) -> None:
        """Take a message of a worker."""
        payloads: list[bytes | None] = [encode_result(serial) for serial in serials]
        parameters_hash = ""
        head = ResultHead(SCAN, block, 0, worker, parameters_hash, serials, serials, payloads, failed or [])
        mark, *parts = pack_results(head)
        assert mark == RESULT_MARK
        self.scan.take(worker.encode(), head, parts)

    def checkpoint(self) -> None:
        """Make a checkpoint, as its policy does every few seconds."""
        self.scan.checkpoint()

    def killed(self, folder: Path) -> Reducing:
        """Return the next process, which finds the journal as this one left it."""
        content = (folder / "scan.journal").read_bytes()
        self.scan.dispose()
        (folder / "scan.journal").write_bytes(content)
        return Reducing(folder)

    @property
    def numbers(self) -> list[int]:
        assert self.scan.runner is not None
        numbers: list[int] = self.scan.runner.reducer.numbers
        return numbers

    def is_answered(self, worker: str) -> bool:
        return any(identity == worker.encode() for identity, _, _ in self.answers)


def test_a_duplicate_of_a_result_that_still_waits_is_not_acknowledged_before_that_is_reduced(tmp_path: Path) -> None:
    before = Reducing(tmp_path)
    before.take("worker-0", 1, [1])  # waits for 0; then worker-0 dies, and its event goes to worker-1
    before.take("worker-1", 2, [1])
    assert not before.is_answered("worker-1")
    before.take("worker-2", 0, [0])
    assert before.numbers == [0, 1]
    assert (b"worker-1", 2, []) in before.answers


def test_a_reducer_that_dies_after_a_checkpoint_loses_no_result_that_waited(tmp_path: Path) -> None:
    before = Reducing(tmp_path)
    before.take("worker-0", 1, [1])
    before.take("worker-1", 2, [1])
    before.checkpoint()
    after = before.killed(tmp_path)
    if not before.is_answered("worker-1"):
        after.take("worker-1", 2, [1])
    after.take("worker-2", 0, [0])
    assert after.numbers == [0, 1]


def test_a_result_that_waited_at_a_checkpoint_and_was_acknowledged_later_is_not_lost(
    tmp_path: Path,
) -> None:
    before = Reducing(tmp_path)
    before.take("worker-0", 0, [0, 2])
    before.take("worker-1", 1, [3, 4])
    before.checkpoint()
    before.take("worker-2", 2, [1])
    assert before.numbers == [0, 1, 2, 3, 4]
    assert [block for _, block, _ in before.answers] == [2, 0, 1]
    after = before.killed(tmp_path)  # nobody sends what was acknowledged again
    assert after.numbers == [0, 1, 2, 3, 4]
    after.checkpoint()
    assert after.killed(tmp_path).numbers == [0, 1, 2, 3, 4]


def test_what_a_killed_reducer_left_waiting_is_kept_by_the_next_ones_checkpoint(tmp_path: Path) -> None:
    before = Reducing(tmp_path)
    before.take("worker-0", 0, [0])
    before.take("worker-0", 1, [2])
    after = before.killed(tmp_path)
    after.checkpoint()
    after.take("worker-0", 1, [2])
    after.take("worker-1", 0, [1])
    assert after.killed(tmp_path).numbers == [0, 1, 2]


def test_a_message_of_old_and_new_results_says_which_of_the_new_failed(tmp_path: Path) -> None:
    reducing = Reducing(tmp_path)
    reducing.take("worker-0", 0, [0, 1], failed=[1])
    reducing.take("worker-1", 1, [1, 2, 3], failed=[3])
    assert reducing.answers == [(b"worker-0", 0, [1]), (b"worker-1", 1, [1, 3])]


def test_what_failed_once_is_not_what_another_worker_says_of_it_later(tmp_path: Path) -> None:
    reducing = Reducing(tmp_path)
    reducing.take("worker-0", 0, [0])
    reducing.take("worker-1", 1, [0], failed=[0])
    assert reducing.answers == [(b"worker-0", 0, []), (b"worker-1", 1, [])]


def test_a_failure_from_before_the_checkpoint_is_still_a_failure_when_it_comes_again(tmp_path: Path) -> None:
    before = Reducing(tmp_path)
    before.take("worker-0", 0, [0, 1, 2], failed=[1])
    before.checkpoint()
    after = before.killed(tmp_path)
    after.take("worker-0", 0, [0, 1, 2], failed=[1])
    assert after.answers == [(b"worker-0", 0, [1])]
    assert after.numbers == [0, 1, 2]
