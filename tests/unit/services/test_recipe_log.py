"""Lines of the services' log, with texts that come from messages."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

from centering_scans import gridinfo, scan_steps
from centering_service import services
from glimt.services.recipe_log import RecipeLogFilter, about_recipe, log_handler
from set_clock import Clock

HOSTILE = "/x\n11:00:00 ERROR ispyb: erased\x1b[2J\r\u202e\u2028 é"


def line_of(text: str, *, recipe_id: str = "", error: Exception | None = None) -> str:
    handler = log_handler("images")
    trace = None if error is None else (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s", (text,), trace)
    with about_recipe(recipe_id):
        handler.filter(record)
    return handler.format(record)


def test_message_cannot_write_lines_or_terminal_escapes() -> None:
    line = line_of(HOSTILE)
    assert line.isprintable()
    assert line.endswith(r"INFO images: /x\n11:00:00 ERROR ispyb: erased\x1b[2J\r\u202e\u2028 é")


def test_recipe_identity_cannot_write_lines() -> None:
    line = line_of("text", recipe_id="r1]: ok\n11:00:00 CRITICAL images: fake")
    assert line.isprintable()
    assert r"[recipe r1]: ok\n11:00:00 CRITICAL images: fake]: text" in line


def test_lone_surrogates_can_be_written() -> None:
    assert line_of("a\udcff").endswith(r"a\udcff")


def test_traceback_keeps_its_lines_and_each_is_indented() -> None:
    try:
        raise ValueError(HOSTILE)
    except ValueError as error:
        lines = line_of("failed", error=error).split("\n")
    assert lines[0].endswith("INFO images: failed")
    assert len(lines) > 3
    assert all(line.startswith("  ") and line.isprintable() for line in lines[1:])


def test_ordinary_lines_are_as_they_were(capsys: pytest.CaptureFixture[str]) -> None:
    handler = log_handler("a%b")
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(sys.stderr)
    handler.handle(logging.LogRecord("x", logging.WARNING, "", 0, "all %d seen", (3,), None))
    assert capsys.readouterr().err.endswith(" WARNING a%b: all 3 seen\n")


def test_line_about_a_result_says_which_run_it_is_of_where_messages_of_two_came_together(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.addFilter(RecipeLogFilter())
    caplog.set_level(logging.INFO)
    steps = [
        step
        for dcid, run in (("1", "run-one"), ("2", "run-two"))
        for step in scan_steps([1, 9, 1, 1, 1, 1], grid=gridinfo((3, 2)), dcid=dcid, run=run)
    ]
    clock = Clock()
    with services(tmp_path, clock) as make:
        service = make(missing_after_s=60.0)
        service.handle_batch([*steps, *scan_steps([1], grid=gridinfo((3, 2)), dcid="3", run="run-three")])
        clock.now += 61
        service.idle()
    about = {record.getMessage().partition(":")[0]: record.recipe_ID for record in caplog.records}  # type: ignore[attr-defined]  # the filter adds it
    assert about == {
        "X-ray centering of 1": "run-one",
        "X-ray centering of 2": "run-two",
        "data collection 3": "run-three",
    }
