"""The account of a live run in the text format of Prometheus.

Format: Prometheus "Exposition formats", text version 0.0.4. Made from `glimt.model.health.Health` at each scrape, so
that nothing is counted twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from glimt.model.health import Health, ProcessState, QueueHealth, StreamHealth

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[Mapping[str, str], float | None]
"""Labels and value; ``None`` is not known, and left out."""

_STATES: tuple[ProcessState, ...] = ("starting", "ready", "busy", "restarting", "stopped", "failed")
_UP = frozenset({"starting", "ready", "busy"})
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class _Page:
    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(
        self, name: str, kind: Literal["counter", "gauge", "summary"], text: str, samples: Iterable[Sample]
    ) -> None:
        lines = [_line(name, labels, value) for labels, value in samples if value is not None]
        if lines:
            self._lines += [f"# HELP glimt_{name} {text}", f"# TYPE glimt_{name} {kind}", *lines]

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    inside = ",".join(f'{key}="{content.translate(_ESCAPES)}"' for key, content in labels.items())
    return f"glimt_{name}{{{inside}}} {_number(value)}" if inside else f"glimt_{name} {_number(value)}"


def _number(value: float) -> str:
    return (
        str(int(value))
        if isinstance(value, bool | int)
        else repr(float(value)).replace("inf", "Inf").replace("nan", "NaN")
    )


def metrics_text(health: Health) -> str:
    """Return all metrics; what ``health`` does not know is left out."""
    page = _Page()
    page.add("up", "gauge", "Whether the run takes data.", [({}, health.get("state") not in {"stopped", "failed"})])
    _add_scan(page, health)
    _add_streams(page, health.get("streams", {}))
    _add_ledger(page, health.get("streams", {}))
    _add_processes(page, health)
    quantiles = [({"quantile": quantile}, value) for quantile, value in health.get("latency_s", {}).items()]
    page.add("latency_seconds", "summary", "From receiving to reduced.", quantiles)
    disks = health.get("disks", {})
    free = [
        ({"folder": folder, "what": disk.get("what", "")}, disk.get("free_bytes")) for folder, disk in disks.items()
    ]
    page.add("disk_free_bytes", "gauge", "Free space where the run writes.", free)
    return page.text()


def _add_scan(page: _Page, health: Health) -> None:
    scan = health.get("scan", {})
    page.add("scan_number", "counter", "Scans begun in this run.", [({}, scan.get("scan_number"))])
    page.add("scan_events_completed", "gauge", "Events done in this scan.", [({}, scan.get("completed_events"))])
    page.add("scan_events", "gauge", "Events of this scan, where known.", [({}, scan.get("total_events"))])
    page.add("scan_events_failed", "gauge", "Events of this scan that raised.", [({}, scan.get("n_failures"))])
    page.add("scan_finished", "gauge", "Whether the scan is done.", [({}, scan.get("finished"))])
    page.add("uptime_seconds", "gauge", "Since the run began.", [({}, health.get("uptime_s"))])


def _of(label: str, things: Mapping[str, Mapping[str, Any]], key: str) -> list[Sample]:
    return [({label: name}, thing.get(key)) for name, thing in things.items()]


def _add_streams(page: _Page, streams: Mapping[str, StreamHealth]) -> None:
    page.add("messages_total", "counter", "Messages received.", _of("stream", streams, "n_messages"))
    page.add("bytes_total", "counter", "Bytes received.", _of("stream", streams, "n_bytes"))
    page.add("bad_messages_total", "counter", "Messages that break the protocol.", _of("stream", streams, "n_bad"))
    page.add("stream_connected", "gauge", "Whether the stream has its other end.", [
        ({"stream": name}, one["connection"] == "connected") for name, one in streams.items() if "connection" in one
    ])  # fmt: skip
    page.add("stream_silent_seconds", "gauge", "Since the last message.", _of("stream", streams, "silent_s"))
    _add_queues(page, "stream_queue", "stream", {name: one.get("queue") for name, one in streams.items()})


def _add_queues(page: _Page, name: str, label: str, queues: Mapping[str, QueueHealth | None]) -> None:
    known = {key: queue for key, queue in queues.items() if queue is not None}
    page.add(f"{name}_bytes", "gauge", "Bytes that wait.", _of(label, known, "used_bytes"))
    page.add(f"{name}_limit_bytes", "gauge", "Bytes that may wait.", _of(label, known, "limit_bytes"))


def _add_ledger(page: _Page, streams: Mapping[str, StreamHealth]) -> None:
    ledgers = {name: stream["ledger"] for name, stream in streams.items() if "ledger" in stream}
    outcomes: list[Sample] = []
    for name, ledger in ledgers.items():
        counts = [("reduced", "", ledger.get("reduced", 0)), ("failed", "", ledger.get("failed", 0))]
        counts += [("dropped", reason, number) for reason, number in ledger.get("dropped", {}).items()]
        outcomes += [({"stream": name, "outcome": what, "reason": reason}, n) for what, reason, n in counts]
    received = _of("stream", ledgers, "received")
    page.add("packets_received_total", "counter", "Packets received, the sum of all outcomes.", received)
    page.add("packets_total", "counter", "Packets by what became of them.", outcomes)
    page.add("packets_pending", "gauge", "Packets under way.", _of("stream", ledgers, "pending"))
    page.add("packets_missing_total", "counter", "Numbers never received.", _of("stream", ledgers, "n_missing"))


def _add_processes(page: _Page, health: Health) -> None:
    workers = health.get("workers", {})
    states = [worker.get("state") for worker in workers.values()]
    if workers:
        page.add("workers", "gauge", "Worker slots by state.", [({"state": one}, states.count(one)) for one in _STATES])
        page.add("workers_up", "gauge", "Workers that take events, or will.", [({}, sum(one in _UP for one in states))])
    page.add("worker_restarts_total", "counter", "Processes started anew.", _of("worker", workers, "n_restarts"))
    page.add("worker_events_total", "counter", "Events given to user code.", _of("worker", workers, "n_events"))
    page.add("worker_failures_total", "counter", "Events that raised.", _of("worker", workers, "n_failures"))
    page.add("worker_busy_ratio", "gauge", "Time spent in user code.", _of("worker", workers, "busy"))
    reducer = health.get("reducer", {})
    page.add("reducer_restarts_total", "counter", "Processes started anew.", [({}, reducer.get("n_restarts"))])
    page.add("reducer_results_total", "counter", "Results given to user code.", [({}, reducer.get("n_results"))])
    page.add("reducer_failures_total", "counter", "Results that raised.", [({}, reducer.get("n_failures"))])
    page.add("reducer_busy_ratio", "gauge", "Time spent in user code.", [({}, reducer.get("busy"))])
    backlogs = {"ingester": health.get("ingester"), "reducer": reducer.get("backlog")}
    _add_queues(page, "backlog", "process", backlogs)
