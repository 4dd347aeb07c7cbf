"""Who keeps a scan from ending is named, once, and ended when the operator insists."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from glimt.engines.event_queue import EventQueue
from glimt.engines.frame_memory import FrameMemory
from glimt.engines.scan_dispatch import ScanDispatch
from glimt.engines.stuck_workers import PATIENCE_S, REMARK_S, StuckWorkers


class Watched:
    """Workers of a scan whose events are all processed, and a clock that is turned by hand."""

    def __init__(self, dispatch: ScanDispatch) -> None:
        self.dispatch = dispatch
        self.now = 1000.0
        self.remarks: list[str] = []
        self.ended: list[tuple[str, str]] = []
        self.stuck = StuckWorkers(
            remark=self.remarks.append, end=lambda *end: self.ended.append(end), now=lambda: self.now
        )
        self.stuck.begin_scan()

    def look(self, finishing: set[str] | None, *, after_s: float = 0.0) -> None:
        self.now += after_s
        self.stuck.look(self.dispatch, finishing)


@pytest.fixture
def watched() -> Iterator[Watched]:
    memory = FrameMemory(1 << 20)
    try:
        yield Watched(
            ScanDispatch(
                1,
                "scan",
                slots={},
                ledgers=[],
                queue=EventQueue(1 << 20, memory),
                send=lambda slot, parts: None,
                use_version=lambda slot, version: None,
                void=lambda serials: None,
            )
        )
    finally:
        memory.close()


def test_an_end_that_waits_for_workers_names_them_once(watched: Watched) -> None:
    watched.look({"worker-1", "worker-0"})
    watched.look({"worker-1", "worker-0"}, after_s=REMARK_S - 1)
    assert watched.remarks == []
    watched.look({"worker-1", "worker-0"}, after_s=1)
    watched.look({"worker-1"}, after_s=REMARK_S)
    (remark,) = watched.remarks
    assert "waits for finish of worker-0, worker-1; a second stop ends it" in remark


def test_an_end_that_waits_for_the_reducer_says_so_in_each_scan(watched: Watched) -> None:
    for _ in range(2):
        watched.stuck.begin_scan()
        watched.look(None, after_s=100)
        watched.look(set(), after_s=1)
        watched.look(set(), after_s=REMARK_S)
    assert len(watched.remarks) == 2
    assert all("waits for the reducer" in remark for remark in watched.remarks)


def test_workers_that_do_not_finish_are_ended_only_when_the_operator_insists(watched: Watched) -> None:
    watched.look({"worker-0"})
    watched.look({"worker-0"}, after_s=10 * PATIENCE_S)
    assert watched.ended == []
    watched.stuck.insist()
    watched.look({"worker-0"}, after_s=PATIENCE_S / 2)
    assert watched.ended == []
    watched.look({"worker-0"}, after_s=PATIENCE_S)
    ((slot, why),) = watched.ended
    assert slot == "worker-0"
    assert "did not come back from finish" in why
    assert watched.stuck.has_ended("worker-0")
    assert not watched.stuck.has_ended("worker-0")
