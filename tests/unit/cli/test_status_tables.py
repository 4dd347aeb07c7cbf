"""What ``glimt status`` shows of a run."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from glimt.app.doctor import diagnose
from glimt.app.finding import Finding
from glimt.cli.status_tables import count_text, plain, status_view
from glimt.model.health import Health

BUSY: Health = {
    "name": "a-beamline-with-a-long-name",
    "state": "running",
    "uptime_s": 93_784.0,
    "scan": {
        "scan_number": 12,
        "completed_events": 1_234_567,
        "total_events": 2_000_000,
        "finished": False,
        "n_failures": 12,
        "event_rate": 12_345.6,
    },
    "streams": {
        name: {
            "connection": "connecting",
            "series": "ended",
            "n_messages": 123_456_789_012,
            "message_rate": 123_456.0,
            "n_bad": 123_456_789,
            "queue": {"used_bytes": 99, "limit_bytes": 100},
            "ledger": {
                "received": 123_456_789,
                "reduced": 9_999_999,
                "failed": 9_999_999,
                "dropped": {"late": 12_345_678, "full": 1},
                "pending": 9_999_999,
                "n_missing": 9_999_999,
            },
        }
        for name in ("a_stream_with_a_long_name", "i0")
    },
    "workers": {
        "worker-10": {
            "state": "restarting",
            "n_events": 123_456_789,
            "event_rate": 12_345.0,
            "busy": 1.0,
            "n_failures": 123_456,
            "n_restarts": 123,
        }
    },
    "reducer": {"state": "ready", "n_results": 5, "result_rate": 0.5, "busy": 0.25},
    "disks": {"/data": {"what": "results", "free_bytes": 5 * 10**9}},
    "latency_s": {"0.99": 0.0123, "0.5": 0.004, "odd": 1.0},
}


def shown(health: Health, findings: list[Finding] | None = None, *, width: int = 80) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=width, highlight=False, color_system=None)
    console.print(status_view(health, findings or []))
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_the_widest_run_is_whole_at_80_columns() -> None:
    lines = shown(BUSY)
    assert all(len(line) <= 80 for line in lines)
    (ledger,) = [line.split() for line in lines if line.startswith("i0") and "M" in line and "/s" not in line]
    assert ledger == ["i0", "123.5", "M", "9,999,999", "9,999,999", "12.3", "M", "9,999,999", "9,999,999"]
    (connection,) = [line for line in lines if line.startswith("i0") and "/s" in line]
    assert connection.split() == ["i0", "connecting", "ended", "123.5", "G", "123,456/s", "99%", "123.5", "M"]


def test_the_head_tells_state_progress_and_latency() -> None:
    lines = shown(BUSY)
    assert lines[0] == "a-beamline-with-a-long-name: running, up 1 d 2 h"
    assert lines[1] == "scan 12: 1,234,567 of 2,000,000 events (62%), 12,346/s, 12 failed"
    assert lines[2] == "latency: 50% 4.0 ms, 99% 12.3 ms"
    assert "results in /data: 5.0 GB free" in lines


def test_reasons_of_drops_are_added_up() -> None:
    assert "dropped: full 2, late 24,691,356" in shown(BUSY)


def test_the_reducer_is_among_the_processes() -> None:
    (line,) = [line for line in shown(BUSY) if line.startswith("reducer")]
    assert line.split() == ["reducer", "ready", "5", "0.5/s", "25%", "0", "0"]


def test_a_run_without_a_scan_says_so() -> None:
    assert shown({"state": "waiting", "uptime_s": 5.0})[:2] == ["glimt run: waiting, up 5 s", "no scan yet"]


def test_findings_are_listed_without_notes() -> None:
    health: Health = {"state": "failed", "reason": "disk"}
    note = Finding("note", "all is well", "", "")
    lines = shown(health, [*diagnose(health), note])
    assert "error: the run has failed: disk" in lines
    assert lines[-1] == "glimt doctor says why, and what to do"
    assert "all is well" not in "\n".join(lines)


def test_many_findings_are_cut() -> None:
    lines = shown({}, [Finding("error", f"number {number}", "", "") for number in range(30)])
    assert lines[-1].startswith("and 20 more; ")


def test_text_from_elsewhere_does_not_steer_the_terminal_or_the_markup() -> None:
    lines = "\n".join(shown({"name": "\x1b[2J\r\n[red]x", "streams": {"[bold]e": {}}}))
    assert "\x1b" not in lines
    assert "?[2J??[red]x" in lines
    assert "[bold]e" in lines
    assert plain("x" * 600) == "x" * 500 + "…"


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (9_999_999, "9,999,999"), (10_000_000, "10.0 M"), (123_456_789_012, "123.5 G"), (10**15, "1.00e+15")],
)
def test_counts_fit_in_nine_characters(number: int, text: str) -> None:
    assert count_text(number) == text
    assert len(text) <= 9
