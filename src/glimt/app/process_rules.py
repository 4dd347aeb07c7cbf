"""Rules of the doctor about the run, its processes and its disks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from glimt.app.finding import Finding
from glimt.model.health import DiskHealth, Health

ProcessRule = Callable[[Health], Iterator[Finding]]

BUSY = 0.95
"""A process that spends this part of its time in user code has no time left."""

LOW_DISK_BYTES = 1 << 30
FULL_DISK_BYTES = 64 << 20
DISK_ENDS_S = 600.0
"""A disk that is full in this time at the present rate is worth a word [s]."""

_BACKLOG = 0.5


def failed_run(health: Health) -> Iterator[Finding]:
    """Say that the run has ended by an error."""
    if health.get("state") == "failed":
        yield Finding(
            "error",
            f"the run has failed: {health.get('reason') or 'the log says why'}",
            "Something that it cannot go on without broke.",
            "Read the last lines of the log (`/api/v1/logs?level=ERROR`), then start it again.",
        )


def missing_map(health: Health) -> Iterator[Finding]:
    """Say that the run waits for a trigger map."""
    if health.get("mode") == "map" and health.get("state") == "waiting":
        yield Finding(
            "note",
            "the run waits for a trigger map",
            'The beamline file says events.mode = "map".',
            "Send one with POST /api/v1/sequence.",
        )


def dying_workers(health: Health) -> Iterator[Finding]:
    """Say which workers die, and whether any is left."""
    workers = health.get("workers", {})
    gone = [name for name, worker in workers.items() if worker.get("state") in {"failed", "stopped"}]
    if workers and len(gone) == len(workers) and health.get("state") not in {"stopping", "stopped"}:
        yield Finding(
            "error",
            "no worker is left",
            "All of them failed too often, or were stopped.",
            "Read why below or in the log, correct it, and start the run again.",
        )
    for name, worker in workers.items():
        n_restarts, state = worker.get("n_restarts", 0), worker.get("state")
        if not n_restarts and state != "failed":
            continue
        end = f"; last: {worker['last_exit']}" if worker.get("last_exit") else ""
        after = " and is not started again" if state == "failed" else ""
        yield Finding(
            "error" if state == "failed" or n_restarts >= 3 else "warning",
            f"{name} died {_times(n_restarts)}{after}{end}",
            _why_died(worker.get("last_exit", "")),
            "Its events were given to others. Replay the same data with `glimt replay` to find the cause.",
        )


def _times(number: int) -> str:
    return f"{number:,} times" if number > 1 else "once"


def _why_died(last_exit: str) -> str:
    if "SIGKILL" in last_exit:
        return "It was killed from outside: usually the machine ran out of memory (see `dmesg`)."
    if "SIGSEGV" in last_exit or "SIGABRT" in last_exit or "SIGBUS" in last_exit:
        return "A compiled library that the analysis uses crashed."
    return "The analysis ended its process, or raised where there is no event to blame; the log has the traceback."


def failing_analysis(health: Health) -> Iterator[Finding]:
    """Say that user code raises."""
    reducer = health.get("reducer", {})
    counts = [(name, worker.get("n_failures", 0), worker.get("last_failure")) for name, worker in
              health.get("workers", {}).items()]  # fmt: skip
    counts.append(("reducer", reducer.get("n_failures", 0), reducer.get("last_failure")))
    n_failures = sum(number for _, number, _ in counts)
    if n_failures:
        where = ", ".join(f"{name} {number:,}" for name, number, _ in counts if number)
        error = next((text for _, _, text in counts if text), "the log has the traceback")
        yield Finding(
            "error",
            f"the analysis raised in {n_failures:,} events ({where})",
            f"Newest error: {error}",
            "Correct the worker or reducer; `glimt replay` on a capture of the same data shows the same error.",
        )


def busy_workers(health: Health) -> Iterator[Finding]:
    """Say that the workers have no time left."""
    shares = [worker["busy"] for worker in health.get("workers", {}).values() if "busy" in worker]
    if shares and min(shares) >= BUSY:
        yield Finding(
            "warning",
            f"all {len(shares)} workers are busy all the time",
            "The analysis of one event takes longer than the time between events, divided by the number of workers.",
            'Add workers (engine.use = "local:N"), or make process_event faster.',
        )


def slow_reducer(health: Health) -> Iterator[Finding]:
    """Say that results wait for the reducer, or that it dies."""
    reducer = health.get("reducer", {})
    if reducer.get("n_restarts") or reducer.get("state") == "failed":
        end = f"; last: {reducer['last_exit']}" if reducer.get("last_exit") else ""
        yield Finding(
            "error" if reducer.get("state") == "failed" else "warning",
            f"the reducer died {_times(reducer.get('n_restarts', 0))}{end}",
            _why_died(reducer.get("last_exit", "")),
            "It goes on from its last checkpoint. Look for what grows in it (lists, publish).",
        )
    backlog = reducer.get("backlog", {})
    limit = backlog.get("limit_bytes", 0)
    waits = limit > 0 and backlog.get("used_bytes", 0) >= _BACKLOG * limit
    if waits or (reducer.get("busy", 0.0) >= BUSY and reducer.get("n_waiting", 0) > 0):
        yield Finding(
            "warning",
            f"the reducer is slower than the workers: {reducer.get('n_waiting', 0):,} results wait for it",
            "There is one reducer, and process_result or timer takes too long, often by copying large arrays.",
            "Do more in the workers, return None for what is not needed, and publish less often.",
        )


def full_memory(health: Health) -> Iterator[Finding]:
    """Say that the ingester holds all the events it may hold."""
    queue = health.get("ingester", {})
    if queue.get("full_s", 0.0) > 0:
        yield Finding(
            "warning",
            f"events under way have filled the memory they may use for {queue['full_s']:,.0f} s",
            "Workers or reducer are slower than the detectors.",
            "Add workers, make the analysis faster, or raise engine.max_queue_bytes.",
        )


def full_disk(health: Health) -> Iterator[Finding]:
    """Say that a disk is full, will be soon, or cannot be written."""
    for folder, disk in health.get("disks", {}).items():
        yield from _disk(folder, disk)


def _disk(folder: str, disk: DiskHealth) -> Iterator[Finding]:
    what = disk.get("what", "files")
    do = f"Make room in {folder}, or set another folder under [output] in the beamline file."
    if disk.get("error"):
        yield Finding("error", f"{what} cannot be written to {folder}", f"{disk['error']}.", do)
        return
    free = disk.get("free_bytes")
    if free is None:
        return
    rate = disk.get("write_rate", 0.0)
    left_s = free / rate if rate > 0 else float("inf")
    if free < LOW_DISK_BYTES or left_s < DISK_ENDS_S:
        when = f", full in {left_s / 60:,.0f} min" if left_s < 1e6 else ""
        yield Finding(
            "error" if free < FULL_DISK_BYTES else "warning",
            f"the disk of {folder} ({what}) has {free / 1e6:,.0f} MB left{when}",
            "Results, spilled data or the journal fill it, or somebody else does.",
            do,
        )


PROCESS_RULES: tuple[ProcessRule, ...] = (
    failed_run,
    missing_map,
    dying_workers,
    failing_analysis,
    busy_workers,
    slow_reducer,
    full_memory,
    full_disk,
)
