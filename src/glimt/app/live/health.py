"""How a live run is, in the words that status, doctor, metrics and pages read (`glimt.model.health`)."""

from __future__ import annotations

import itertools
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glimt import __version__
from glimt.app.bad_sample import sample_message

if TYPE_CHECKING:
    from glimt.app.live.live_engine import LiveEngine
    from glimt.engines.supervisor import RoleState
    from glimt.model.health import (
        ConnectionState,
        DiskHealth,
        GapPattern,
        Health,
        ProcessState,
        ReducerHealth,
        RunState,
        ScanHealth,
        StreamHealth,
        WorkerHealth,
    )

_RATE_S = 5.0
_BUSY = 0.5
_QUIET_S = 3.0
_MIN_GAPS = 3


def describe_health(run: LiveEngine) -> Health:
    """Return how a run is, from the newest reports of its processes."""
    report = run.report
    reducer = run.roles["reducer"]
    health: Health = {
        "name": run.beamline.name,
        "version": __version__,
        "state": _state(run),
        "reason": report.get("output_problem") or report.get("problem") or run.problem,
        "mode": run.beamline.events.mode,
        "uptime_s": time.monotonic() - run.began_at,
        "scan": describe_scan(run),
        "streams": {stream["name"]: _stream(run, stream) for stream in report.get("streams", [])},
        "workers": {slot: _worker(run, slot) for slot in run.slots},
        "reducer": _reducer(run, reducer),
        "disks": _disks(run),
        "latency_s": report.get("latency_s", {}),
    }
    if "queue" in report:
        health["ingester"] = {
            "used_bytes": report["queue"]["used_bytes"],
            "limit_bytes": report["queue"]["limit_bytes"],
            "full_s": report.get("full_s", 0.0),
        }
    return health


def _state(run: LiveEngine) -> RunState:
    report = run.report
    if run.problem:
        return "failed"
    if not report:
        return "starting"
    if report.get("is_finishing"):
        return "finishing"
    if report.get("is_stopping"):
        return "stopping"
    return "running" if report.get("is_running") else "waiting"


def describe_scan(run: LiveEngine) -> ScanHealth:
    """Return how far the scan is that runs, or the last one was."""
    report = run.report
    if not report.get("n_scans"):
        return {"scan_id": None, "scan_number": 0, "last_assigned": 0, "completed_events": 0, "finished": False}
    n_open = report.get("n_offered", 0) - report.get("n_finished", 0)
    n_completed = max(0, report.get("n_closed", 0) - n_open - report.get("n_ready", 0))
    ended_ns = report.get("ended_ns") or time.time_ns()
    finished = not report.get("is_running", False)
    return {
        "scan_id": report["scan_id"],
        "scan_number": report["n_scans"],
        "last_assigned": report.get("last_offered", -1) + 1,
        "completed_events": n_completed,
        "total_events": report.get("total_events") or (n_completed if finished else None),
        "finished": finished,
        "n_failures": report.get("n_failed", 0),
        "event_rate": _rate(run.roles["ingester"], "n_finished"),
        "elapsed_s": max(0.0, (ended_ns - report.get("began_ns", ended_ns)) * 1e-9),
    }


def _rate(role: RoleState, counter: str) -> float:
    """Return how fast a counter of a role grows, over the last seconds [1/s]."""
    history = [entry for entry in role.history if entry[0] >= role.heard_at - _RATE_S]
    if len(history) < 2:
        return 0.0
    (first_at, first), (last_at, last) = history[0], history[-1]
    grown = last.get(counter, 0) - first.get(counter, 0)
    return max(0.0, grown / (last_at - first_at)) if last_at > first_at else 0.0


def _stream(run: LiveEngine, report: dict[str, Any]) -> StreamHealth:
    name = report["name"]
    ledger, source = report["ledger"], report["source"]
    settings = run.beamline.streams[name]
    last_ns = source["last_message_ns"]
    silent_s = time.monotonic() - run.began_at if not last_ns else max(0.0, time.time() - last_ns * 1e-9)
    described = report["described"]
    health: StreamHealth = {
        "protocol": settings.protocol,
        "transport": settings.transport,
        "address": report["address"],
        "connection": _connection(source, listens=settings.bind or settings.transport == "http"),
        "reason": source["last_error"],
        "silent_s": silent_s,
        "n_messages": source["n_messages"],
        "n_bytes": source["n_bytes"],
        "message_rate": _stream_rate(run, name),
        "n_bad": ledger["dropped"].get("bad", 0) + source["n_refused"],
        "first_bad": ledger["first_bad"],
        "sample_of_bad": [sample_message(parts) for parts in run.bad_messages.get(name, [])],
        "series": "open" if report["is_open"] else "ended" if ledger["n_series"] else "none",
        "n_series": ledger["n_series"],
        "gaps": _gap_pattern(ledger),
        "header_shape": described.get("header_shape"),
        "frame_shape": described.get("frame_shape"),
        "frame_type": described.get("frame_type"),
        "n_awaited": max((other["n_held"] for other in run.report["streams"]), default=0) - report["n_held"],
        "queue": {
            "used_bytes": report["held_bytes"],
            "limit_bytes": settings.queue,
            "policy": settings.when_full,
            "full_s": run.report.get("full_s", 0.0) if not report["is_read"] else 0.0,
        },
        "ledger": {
            "received": ledger["received"],
            "reduced": ledger["reduced"],
            "failed": ledger["failed"],
            "dropped": ledger["dropped"],
            "pending": ledger["pending"],
            "n_missing": ledger["n_missing"],
        },
    }
    if connected_ns := report.get("connected_ns"):
        health["connected_s"] = max(0.0, time.time() - connected_ns * 1e-9)
    return health


def _connection(source: dict[str, Any], *, listens: bool) -> ConnectionState:
    if source["is_ended"]:
        return "ended"
    if source["connected"] is None or source["connected"]:
        return "connected" if source["connected"] or source["n_messages"] else "listening"
    if source["n_messages"] or source["n_reconnects"]:
        return "lost"
    return "listening" if listens else "connecting"


def _stream_rate(run: LiveEngine, name: str) -> float:
    role = run.roles["ingester"]
    found = [
        (at, stream["source"]["n_messages"])
        for at, state in role.history
        if at >= role.heard_at - _RATE_S
        for stream in state.get("streams", [])
        if stream["name"] == name
    ]
    if len(found) < 2 or found[-1][0] <= found[0][0]:
        return 0.0
    return max(0.0, float(found[-1][1] - found[0][1]) / (found[-1][0] - found[0][0]))


def _gap_pattern(ledger: dict[str, Any]) -> GapPattern | None:
    """Return which numbers are missing; a step where the gaps follow each other regularly."""
    gaps = ledger["gaps"]
    if not gaps:
        return None
    lengths = {last - first + 1 for first, last in gaps}
    spacings = {after[0] - before[0] for before, after in itertools.pairwise(gaps)}
    step = None
    if len(gaps) >= _MIN_GAPS and len(lengths) == len(spacings) == 1 and spacings == {max(lengths) + 1}:
        step = max(spacings)
    return {"first": gaps[0][0], "last": gaps[-1][1], "n_missing": ledger["n_missing"], "step": step}


def _process_state(role: RoleState, busy: float) -> ProcessState:
    if role.is_retired:
        return "failed"
    if role.restart_at:
        return "restarting"
    if role.is_new:
        return "starting" if not role.n_restarts else "restarting"
    return "busy" if busy > _BUSY else "ready"


def _last_failure(run: LiveEngine, name: str) -> str:
    mine = [failure for failure in run.failures if failure.startswith(f"{name}: ")]
    return mine[-1].removeprefix(f"{name}: ") if mine else ""


def _worker(run: LiveEngine, slot: str) -> WorkerHealth:
    role = run.roles[slot]
    busy = _rate(role, "busy_s")
    return {
        "state": _process_state(role, busy),
        "tags": sorted(run.slots[slot]),
        "n_restarts": role.n_restarts,
        "last_exit": role.last_death,
        "n_events": role.state.get("n_events", 0),
        "n_failures": run.n_failures.get(slot, 0),
        "last_failure": _last_failure(run, slot),
        "event_rate": _rate(role, "n_events"),
        "busy": min(1.0, busy),
    }


def _reducer(run: LiveEngine, role: RoleState) -> ReducerHealth:
    busy = _rate(role, "cpu_s")
    return {
        "state": _process_state(role, busy),
        "n_restarts": role.n_restarts,
        "last_exit": role.last_death,
        "n_results": role.state.get("n_results", 0),
        "n_all_results": role.state.get("n_all_results", 0),
        "n_failures": run.n_failures.get("reducer", 0),
        "last_failure": _last_failure(run, "reducer"),
        "result_rate": _rate(role, "n_results"),
        "busy": min(1.0, busy),
        "n_waiting": role.state.get("n_waiting", 0),
    }


def _disks(run: LiveEngine) -> dict[str, DiskHealth]:
    output = run.beamline.output
    reducer = run.roles["reducer"].state
    wanted: list[tuple[str, Path, str]] = []
    if output.file is not None:
        wanted.append(("results", output.file.parent, reducer.get("output_problem", "")))
    if output.journal:
        wanted.append(("journal", output.journal_folder, reducer.get("journal_problem", "")))
    if any(stream.when_full == "spill" for stream in run.beamline.streams.values()):
        wanted.append(("spill", output.spill_folder, ""))
    found: dict[str, DiskHealth] = {}
    for what, folder, problem in wanted:
        disk: DiskHealth = {"what": what, "error": problem or None}
        existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
        if existing is not None:
            usage = shutil.disk_usage(existing)
            disk["free_bytes"], disk["total_bytes"] = usage.free, usage.total
        found[str(folder)] = disk
    return found
