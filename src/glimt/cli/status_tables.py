"""What ``glimt status`` shows, at 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from glimt.cli.amounts import size_text

if TYPE_CHECKING:
    from glimt.app.doctor import Finding
    from glimt.model.health import Health, QueueHealth, StreamHealth

_STYLES = {"error": "bold red", "warning": "yellow", "note": "dim"}
_SHOWN_FINDINGS = 10
_GOOD = frozenset({"running", "ready", "busy", "connected", "listening", "waiting", "finishing", "ended"})


def status_view(health: Health, findings: Sequence[Finding]) -> RenderableType:
    """Return what is shown of a run."""
    parts: list[RenderableType] = [*_head(health), Text("")]
    if health.get("streams"):
        parts += [_connections(health), Text(""), _ledger(health), Text("")]
    parts += [_processes(health), *_disks(health), *_findings(findings)]
    return Group(*parts)


def plain(text: str, *, limit: int = 500) -> str:
    """Return text from elsewhere without what would steer a terminal."""
    shown = "".join(character if character.isprintable() else "?" for character in text[:limit])
    return shown if len(text) <= limit else shown + "…"


def _head(health: Health) -> list[Text]:
    state = health.get("state", "unknown")
    first = Text.assemble(
        plain(health.get("name", "glimt run")), ": ", (state, "green" if state in _GOOD else "bold red")
    )
    if health.get("reason"):
        first.append(f" ({plain(health.get('reason', ''))})")
    if "uptime_s" in health:
        first.append(f", up {_duration(health['uptime_s'])}")
    scan = health.get("scan", {})
    if not scan.get("scan_number"):
        return [first, Text("no scan yet")]
    done, total = scan.get("completed_events", 0), scan.get("total_events")
    part = f" of {total:,} events ({done / total:.0%})" if total else " events"
    second = Text(f"scan {scan.get('scan_number', 0)}: {done:,}{part}, {_rate(scan.get('event_rate', 0.0))}")
    if scan.get("finished"):
        second.append(", finished")
    if scan.get("n_failures"):
        second.append(f", {scan['n_failures']:,} failed", "bold red")
    latencies = [f"{float(key):.0%} {1e3 * value:,.1f} ms" for key, value in _quantiles(health)]
    return [first, second, *([Text(f"latency: {', '.join(latencies)}")] if latencies else [])]


def _quantiles(health: Health) -> list[tuple[str, float]]:
    known = health.get("latency_s", {})
    return [(key, known[key]) for key in sorted(known) if key.replace(".", "", 1).isdecimal()]


def _table(first: str, *others: str, last: str = "") -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True, max_width=16)
    for other in others:
        table.add_column(other, justify="right", no_wrap=True)
    if last:
        table.add_column(last, overflow="fold")
    return table


def _connections(health: Health) -> Table:
    table = _table("stream", "connection", "series", "messages", "rate", "queue", last="bad")
    for name, stream in health.get("streams", {}).items():
        connection = stream.get("connection", "")
        table.add_row(
            Text(plain(name)),
            Text(connection, style="" if connection in _GOOD else "bold red"),
            Text(stream.get("series", "")),
            count_text(stream.get("n_messages", 0)),
            _rate(stream.get("message_rate", 0.0)),
            _queue(stream.get("queue", {})),
            Text(count_text(stream["n_bad"]) if stream.get("n_bad") else "", style="bold red"),
        )
    return table


def _queue(queue: QueueHealth) -> str:
    used, limit = queue.get("used_bytes", 0), queue.get("limit_bytes", 0)
    return f"{used / limit:.0%}" if limit else size_text(used)


def _ledger(health: Health) -> Table:
    table = _table("packets of", "received", "reduced", "failed", "dropped", "pending", "missing")
    reasons: dict[str, int] = {}
    for name, stream in health.get("streams", {}).items():
        table.add_row(Text(plain(name)), *_ledger_row(stream))
        for reason, number in stream.get("ledger", {}).get("dropped", {}).items():
            reasons[reason] = reasons.get(reason, 0) + number
    why = ", ".join(f"{plain(reason)} {number:,}" for reason, number in sorted(reasons.items()) if number)
    if why:
        table.caption = Text(f"dropped: {why}")
        table.caption_justify = "left"
    return table


def _ledger_row(stream: StreamHealth) -> list[RenderableType]:
    ledger = stream.get("ledger", {})
    n_failed, n_missing = ledger.get("failed", 0), ledger.get("n_missing", 0)
    return [
        count_text(ledger.get("received", 0)),
        count_text(ledger.get("reduced", 0)),
        Text(count_text(n_failed), style="bold red" if n_failed else ""),
        count_text(sum(ledger.get("dropped", {}).values())),
        count_text(ledger.get("pending", 0)),
        Text(count_text(n_missing), style="yellow" if n_missing else ""),
    ]


def _processes(health: Health) -> Table:
    table = _table("process", "state", "done", "rate", "busy", "failed", "restarts")
    for name, worker in health.get("workers", {}).items():
        done, rate = worker.get("n_events", 0), worker.get("event_rate", 0.0)
        failures, restarts = worker.get("n_failures", 0), worker.get("n_restarts", 0)
        _add_process(table, name, worker.get("state", ""), (done, rate, worker.get("busy", 0.0), failures, restarts))
    reducer = health.get("reducer")
    if reducer is not None:
        done, rate = reducer.get("n_results", 0), reducer.get("result_rate", 0.0)
        failures, restarts = reducer.get("n_failures", 0), reducer.get("n_restarts", 0)
        _add_process(
            table, "reducer", reducer.get("state", ""), (done, rate, reducer.get("busy", 0.0), failures, restarts)
        )
    return table


def _add_process(table: Table, name: str, state: str, amounts: tuple[int, float, float, int, int]) -> None:
    done, rate, busy, n_failures, n_restarts = amounts
    table.add_row(
        Text(plain(name)),
        Text(state, style="" if state in _GOOD else "bold red"),
        count_text(done),
        _rate(rate),
        f"{busy:.0%}",
        Text(count_text(n_failures), style="bold red" if n_failures else ""),
        Text(count_text(n_restarts), style="yellow" if n_restarts else ""),
    )


def _disks(health: Health) -> list[Text]:
    lines = [
        f"{plain(disk.get('what', 'files'))} in {plain(folder)}: {size_text(disk['free_bytes'])} free"
        for folder, disk in health.get("disks", {}).items()
        if "free_bytes" in disk
    ]
    return [Text(""), *map(Text, lines)] if lines else []


def _findings(findings: Sequence[Finding]) -> list[Text]:
    worth = [finding for finding in findings if finding.severity != "note"]
    if not worth:
        return []
    lines = [
        Text.assemble((finding.severity, _STYLES[finding.severity]), ": ", plain(finding.what))
        for finding in worth[:_SHOWN_FINDINGS]
    ]
    more = f"and {len(worth) - _SHOWN_FINDINGS} more; " if len(worth) > _SHOWN_FINDINGS else ""
    return [Text(""), *lines, Text(f"{more}glimt doctor says why, and what to do")]


def count_text(number: int) -> str:
    """Return a count in at most nine characters, exact below ten million."""
    for limit, scale, unit in ((10**7, 1, ""), (10**10, 10**6, " M"), (10**13, 10**9, " G")):
        if number < limit:
            return f"{number:,}" if scale == 1 else f"{number / scale:,.1f}{unit}"
    return f"{number:.2e}"


def _rate(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 10 or not rate else f"{rate:.1f}/s"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
