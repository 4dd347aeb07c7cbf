"""What happens to the page of `glimt serve` when somebody it asks does not answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import pytest

from glimt.app.serve_page_poll import Poller
from glimt.model.errors import BrokerError


class Desk:
    """Answers or raises what a test says, and keeps what is shown."""

    def __init__(self) -> None:
        self.answer: Exception | dict[str, Any] = {}
        self.shown: list[Mapping[str, Any]] = []
        self.poller = Poller(
            "the broker", self.ask, self.shown.append, away=lambda why: {"waiting": why}, is_watched=lambda: True
        )

    def ask(self) -> Mapping[str, Any]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_broker_that_goes_away_is_told_once_and_its_return_too(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    caplog.set_level(logging.INFO, logger="glimt")
    for answer in ({"waiting": 1}, BrokerError("gone"), BrokerError("still gone"), {"waiting": 2}, {"waiting": 3}):
        desk.answer = answer
        desk.poller.ask_once()

    assert [shown["waiting"] for shown in desk.shown] == [1, "gone", "still gone", 2, 3]
    assert caplog.messages == ["the page: the broker does not answer: gone", "the page: the broker answers again"]


def test_mistake_of_ours_is_told_with_its_traceback_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.answer = ZeroDivisionError("ours")
    desk.poller.ask_once()

    (record,) = caplog.records
    assert record.exc_info is not None
    assert "ZeroDivisionError: ours" in record.getMessage()
    assert desk.shown == [{"waiting": "ZeroDivisionError: ours"}]


def test_poller_that_never_ran_can_be_ended() -> None:
    Desk().poller.end()
