"""The lines that tell the progress of a run where there is no terminal."""

from __future__ import annotations

import pytest

from glimt.cli import progress
from glimt.cli.progress import ProgressDisplay


class Clock:
    """Stands still until it is moved."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_what_comes_before_the_first_event_is_not_in_the_estimate(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressDisplay("replay") as display:
        display(0, 0.0)
        clock.now += 12
        display(1, 0.03)
        assert capsys.readouterr().err == "replay: 1 event, 3%\n"
        clock.now += 5
        display(11, 0.53)
        assert capsys.readouterr().err == "replay: 11 events, 2.0/s, 53%, 5 s left\n"


def test_where_the_fraction_is_not_known_there_is_a_rate_and_no_estimate(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with ProgressDisplay("analyse", things="images") as display:
        display(1, None)
        clock.now += 5
        display(1001, None)
    assert capsys.readouterr().err == "analyse: 1,001 images, 200/s\n"


def test_a_fraction_that_does_not_grow_gives_no_estimate(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay("replay") as display:
        display(1, 0.5)
        clock.now += 5
        display(2, 0.5)
    assert capsys.readouterr().err == "replay: 2 events, 0.2/s, 50%\n"
