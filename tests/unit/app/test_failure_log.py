"""Failures of user code: all are counted, the first are told."""

from __future__ import annotations

import logging

import pytest

from glimt.app.live.failure_log import FailureLog
from glimt.pipeline.failure import Failure


def test_all_failures_are_counted_and_the_first_are_told(caplog: pytest.LogCaptureFixture) -> None:
    failures = FailureLog()
    with caplog.at_level(logging.ERROR, logger="glimt"):
        failures.take("worker-0", [Failure(n, "process_event", "ValueError: no", "the trace") for n in range(8)], 100)
        failures.take("reducer", [Failure(9, "process_result", "KeyError: 'q'", "")], 1)
    assert failures.n_failures == {"worker-0": 100, "reducer": 1}
    assert len(failures.failures) == 8
    assert failures.failures[0].startswith("worker-0: ")
    assert sum("the trace" in record.getMessage() for record in caplog.records) == 3
    assert len(caplog.records) == 8


def test_failures_beyond_the_first_ten_are_not_told_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    failures = FailureLog()
    with caplog.at_level(logging.WARNING, logger="glimt"):
        for number in range(30):
            failures.take("worker-0", [Failure(number, "process_event", "ValueError: no", "")], 1)
        failures.remark("the disk is full")
    assert failures.n_failures == {"worker-0": 30}
    assert len(failures.failures) == 10
    assert [record.getMessage() for record in caplog.records[10:]] == [
        "further failures are counted, not shown",
        "the disk is full",
    ]
    assert failures.remarks == ["the disk is full"]
