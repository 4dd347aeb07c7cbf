"""Rounds of watches: how much one tells, when the next one comes, several at once."""

from __future__ import annotations

import logging
from pathlib import Path

from glimt.services.recipe_log import RecipeLogFilter
from service_steps import sent, step_for
from set_clock import BEGAN, Clock
from watch_rounds import OUTPUT, Make, make_service, pattern, touch


def test_status_as_zocalo_writes_it_is_continued(tmp_path: Path, watch: Make) -> None:
    touch(tmp_path, 5, 6, 7)
    w = watch({"every": 11}, **pattern(tmp_path))
    w.payload = {"filewatcher-status": {"seen-files": 2, "start-time": BEGAN - 60, "last-seen": BEGAN - 1}}
    assert [payload["file-number"] for _, payload in w.round()] == [3]


def test_burst_limit_bounds_a_round(tmp_path: Path, watch: Make) -> None:
    touch(tmp_path, 5, 6, 7)
    w = watch({"every": 11}, **pattern(tmp_path, burst_limit="2"))
    assert len(w.round()) == 2
    assert (w.delay_s, w.is_over) == (0.0, False)
    assert len(w.round()) == 1
    assert w.is_over


def test_burst_wait_is_the_delay_of_the_next_round(tmp_path: Path, watch: Make) -> None:
    touch(tmp_path, 5)
    w = watch(**pattern(tmp_path, burst_wait=7))
    w.round()
    assert w.delay_s == 7
    w.round()
    assert w.delay_s == 7


def test_rounds_without_news_become_seldom_and_soon_again(tmp_path: Path, watch: Make, clock: Clock) -> None:
    w = watch(**pattern(tmp_path))
    delays = []
    for _ in range(40):
        w.round()
        delays.append(w.delay_s)
        clock.now += w.delay_s
    assert delays[0] == 0.002
    assert delays == sorted(delays)
    clock.now += 10
    w.round()
    assert w.delay_s == 0.512  # the longest power of two that is no more than Zocalo's second
    touch(tmp_path, 5)
    w.round()
    assert w.delay_s == 0
    w.round()
    assert w.delay_s == 0.002


def test_step_without_output_only_watches(tmp_path: Path, watch: Make) -> None:
    touch(tmp_path, 5, 6, 7)
    w = watch({}, **pattern(tmp_path))
    assert w.round() == []
    assert w.is_over


def test_several_watches_in_one_batch_are_told_each_its_own(tmp_path: Path, clock: Clock) -> None:
    touch(tmp_path, 5, 6, 7)
    steps = [
        step_for({"pattern": str(tmp_path / "x_%03d.cbf"), "pattern-start": n, "pattern-end": n}, [], {"every": 11})
        for n in (5, 6, 99)
    ]
    service = make_service(tmp_path, clock)
    service.handle_batch(steps)
    assert [[payload["file-pattern-index"] for to, payload in sent(step) if to == 11] for step in steps] == [
        [5],
        [6],
        [],
    ]
    assert sent(steps[2])[0][0] == 1


def test_lines_of_watches_that_are_handled_together_carry_their_own_recipe(tmp_path: Path, clock: Clock) -> None:
    lines: list[str] = []

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(f"{record.recipe_mark}: {record.getMessage()}")  # type: ignore[attr-defined]

    handler = Lines()
    handler.addFilter(RecipeLogFilter())
    logger = logging.getLogger("glimt.services")
    logger.addHandler(handler)
    before, logger.level = logger.level, logging.INFO
    service = make_service(tmp_path, clock)
    try:
        steps = []
        for name in ("one", "two"):
            (tmp_path / f"{name}_1.cbf").write_bytes(b"x")
            parameters = {"pattern": f"{tmp_path}/{name}_%d.cbf", "pattern-start": 1, "pattern-end": 1}
            steps.append(step_for(parameters, [], OUTPUT, environment={"ID": f"run-{name}"}))
        service.handle_batch(steps)
    finally:
        service.close()
        logger.removeHandler(handler)
        logger.level = before
    assert lines == [
        f" [recipe run-one]: watching for {tmp_path}/one_%d.cbf",
        f" [recipe run-two]: watching for {tmp_path}/two_%d.cbf",
        f" [recipe run-one]: all 1 of {tmp_path}/one_%d.cbf were seen",
        f" [recipe run-two]: all 1 of {tmp_path}/two_%d.cbf were seen",
    ]
