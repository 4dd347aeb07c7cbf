"""What is made of the health of a run: accounts, metrics, pages."""

from __future__ import annotations

import re

import pytest

from glimt.model.health import Health
from glimt.web.control_page import control_page, docs_page
from glimt.web.metrics import metrics_text

HEALTH: Health = {
    "name": "balder",
    "version": "0.1.0",
    "state": "running",
    "reason": "",
    "mode": "automatic",
    "uptime_s": 120.0,
    "scan": {
        "scan_id": "f6a5a1a0-54ab-4a9d-a9d5-1f1a8a7b0c11",
        "scan_number": 3,
        "last_assigned": 40,
        "completed_events": 30,
        "total_events": 60,
        "finished": False,
        "n_failures": 2,
        "event_rate": 512.5,
        "elapsed_s": 1.0,
    },
    "streams": {
        "eiger": {
            "protocol": "stins",
            "transport": "zmq-pull",
            "address": "tcp://127.0.0.1:9999",
            "connection": "connected",
            "reason": "",
            "silent_s": 0.5,
            "n_messages": 50,
            "n_bytes": 12345,
            "message_rate": 100.0,
            "n_bad": 1,
            "first_bad": "no JSON",
            "last_bad": "no JSON",
            "sample_of_bad": [{"parts": ["eA=="], "lengths": [1]}],
            "series": "open",
            "n_series": 1,
            "gaps": {"first": 3, "last": 9, "n_missing": 4, "step": 2},
            "header_shape": [10, 10],
            "frame_shape": [10, 10],
            "header_type": "uint16",
            "frame_type": "uint16",
            "last_event": 49,
            "n_awaited": 0,
            "queue": {"used_bytes": 10, "limit_bytes": 100, "policy": "block", "full_s": 0.0},
            "ledger": {
                "received": 50,
                "reduced": 30,
                "failed": 2,
                "dropped": {"bad": 1, "late": 7},
                "pending": 10,
                "n_missing": 4,
            },
        },
        'i"0\n': {"ledger": {"received": 1, "pending": 1}},
    },
    "workers": {
        "worker-0": {
            "state": "busy",
            "tags": ["generic"],
            "n_restarts": 1,
            "last_exit": "killed by SIGKILL",
            "n_events": 20,
            "n_failures": 2,
            "last_failure": "ValueError: <b>&",
            "event_rate": 250.0,
            "busy": 0.5,
        },
        "worker-1": {"state": "failed"},
    },
    "reducer": {
        "state": "ready",
        "n_restarts": 0,
        "n_results": 30,
        "n_failures": 0,
        "last_failure": "",
        "result_rate": 500.0,
        "busy": 0.25,
        "backlog": {"used_bytes": 5, "limit_bytes": 50},
        "n_waiting": 2,
    },
    "ingester": {"used_bytes": 7, "limit_bytes": 70, "full_s": 0.0},
    "disks": {
        "/data": {"what": "results", "free_bytes": 10**12, "total_bytes": 10**13, "write_rate": 0.0, "error": None}
    },
    "latency_s": {"0.5": 0.003, "0.99": 0.012},
}

_SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? (\S+)')


def samples(text: str) -> dict[tuple[str, str], float]:
    """Return every sample, once each line has been found to be in the format."""
    found: dict[tuple[str, str], float] = {}
    for line in text.splitlines():
        if line.startswith("# "):
            assert re.match(r"# (HELP glimt_\w+ \S|TYPE glimt_\w+ (counter|gauge|summary)$)", line)
            continue
        match = _SAMPLE.fullmatch(line)
        assert match is not None, line
        key = (match[1], match[2] or "")
        assert key not in found
        found[key] = float(match[3])
    return found


def test_metrics_count_packets_by_outcome_and_reason() -> None:
    found = samples(metrics_text(HEALTH))
    assert found["glimt_packets_total", 'stream="eiger",outcome="reduced",reason=""'] == 30
    assert found["glimt_packets_total", 'stream="eiger",outcome="dropped",reason="late"'] == 7
    assert found["glimt_packets_received_total", 'stream="eiger"'] == 50
    assert found["glimt_packets_missing_total", 'stream="eiger"'] == 4
    assert found["glimt_bytes_total", 'stream="eiger"'] == 12345
    assert found["glimt_backlog_bytes", 'process="reducer"'] == 5
    assert found["glimt_workers_up", ""] == 1
    assert found["glimt_workers", 'state="failed"'] == 1
    assert found["glimt_worker_restarts_total", 'worker="worker-0"'] == 1
    assert found["glimt_latency_seconds", 'quantile="0.99"'] == 0.012
    assert found["glimt_scan_number", ""] == 3


def test_metrics_escape_names() -> None:
    assert ("glimt_packets_received_total", r'stream="i\"0\n"') in samples(metrics_text(HEALTH))


def test_every_metric_says_its_type_once_before_its_samples() -> None:
    lines = metrics_text(HEALTH).splitlines()
    types = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(types) == len(set(types))
    for number, line in enumerate(lines):
        name = line.split("{")[0].split(" ")[0]
        if not line.startswith("#"):
            assert any(before.startswith(f"# TYPE {name} ") for before in lines[:number])


def test_metrics_of_a_run_that_knows_nothing_are_valid() -> None:
    assert samples(metrics_text({})) == {("glimt_up", ""): 1.0}
    assert samples(metrics_text({"state": "failed"}))["glimt_up", ""] == 0


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_metrics_write_numbers_that_are_not_finite_as_prometheus_reads_them(value: float) -> None:
    (line,) = [line for line in metrics_text({"uptime_s": value}).splitlines() if line.startswith("glimt_uptime")]
    assert line.split()[1] in {"Inf", "NaN"}


def test_the_page_shows_progress_ledger_and_workers() -> None:
    page = control_page(HEALTH)
    assert "30 of 60 events" in page
    assert "1 bad, 7 late" in page
    assert "worker-1" in page
    assert "<script" not in page
    assert "http:" not in page.replace("http-equiv", "")


def test_the_page_escapes_what_comes_from_elsewhere() -> None:
    assert "ValueError: &lt;b&gt;&amp;" in control_page(HEALTH)
    assert "<x>" not in control_page({"name": "<x>", "reason": "<x>", "streams": {"<x>": {}}})


def test_the_page_of_a_run_that_knows_nothing_is_whole() -> None:
    assert control_page({}).endswith("</body></html>\n")


def test_docs_list_routes_with_queries() -> None:
    schema = {"paths": {"/a": {"get": {"description": "Do <it>.", "parameters": [{"in": "query", "name": "level"}]}}}}
    page = docs_page(schema)
    assert "GET" in page
    assert "level" in page
    assert "Do &lt;it&gt;." in page
