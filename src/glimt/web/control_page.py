"""Pages of the control interface: the state of the run, and the list of routes; nothing is loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from glimt.model.health import Health, StreamHealth
from glimt.web.page import html_text

_SHOWN_ROWS = 500

_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>{refresh}
<meta name="viewport" content="width=device-width">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }}
table {{ border-collapse: collapse; margin-bottom: 1.5rem }} th {{ text-align: left; font-weight: 600 }}
td, th {{ padding: .15rem 1.2rem .15rem 0; vertical-align: top }}
td.n {{ text-align: right; font-variant-numeric: tabular-nums }}
progress {{ width: 100% }} .bad {{ color: #a00 }} code {{ font-size: 14px }}
</style></head><body>
"""


def control_page(health: Health) -> str:
    """Return state, progress, ledger and workers as they are now; the page renews itself every 2 seconds."""
    head = _HEAD.format(title="glimt run", refresh='<meta http-equiv="refresh" content="2">')
    links = (
        '<p><a href="/api/v1/health">health</a> · <a href="/api/v1/sequence">map</a> · '
        '<a href="/api/v1/parameters">parameters</a> · <a href="/api/v1/logs">logs</a> · '
        '<a href="/metrics">metrics</a> · <a href="/docs">interface</a></p>'
    )
    parts = [_state(health), _streams(health), _workers(health), links]
    return f"{head}{''.join(parts)}</body></html>\n"


def docs_page(schema: dict[str, Any]) -> str:
    """Return the list of routes that an OpenAPI description has."""
    rows = []
    for path, methods in schema.get("paths", {}).items():
        for method, operation in methods.items():
            query = [one["name"] for one in operation.get("parameters", []) if one.get("in") == "query"]
            what = operation.get("description", operation.get("summary", ""))
            old = " (deprecated)" if operation.get("deprecated") else ""
            rows.append([method.upper(), path, ", ".join(query), what + old])
    head = _HEAD.format(title="glimt run: interface", refresh="")
    table = _table(["method", "path", "query", "what it does"], rows)
    return f'{head}<h1>Interface</h1><p>As <a href="/openapi.json">OpenAPI</a>.</p>{table}</body></html>\n'


def _state(health: Health) -> str:
    scan = health.get("scan", {})
    reason = f": {html_text(health['reason'])}" if health.get("reason") else ""
    kind = ' class="bad"' if health.get("state") == "failed" else ""
    done, total = scan.get("completed_events", 0), scan.get("total_events")
    amount = f"{done:,} of {total:,} events" if total else f"{done:,} events"
    bar = f'<progress value="{min(done, total)}" max="{total}"></progress>' if total else ""
    failed = f', <span class="bad">{scan["n_failures"]:,} failed</span>' if scan.get("n_failures") else ""
    return (
        f"<h1>{html_text(health.get('name') or 'glimt run')}</h1>"
        f"<p{kind}>{html_text(health.get('state', 'unknown'))}{reason}; "
        f"scan {scan.get('scan_number', 0)}, {amount}{failed}, {scan.get('event_rate', 0.0):,.0f} events/s</p>{bar}"
    )


def _streams(health: Health) -> str:
    heads = ["stream", "connection", "received", "reduced", "failed", "dropped", "pending", "missing", "bad messages"]
    rows = [_stream_row(name, stream) for name, stream in health.get("streams", {}).items()]
    return f"<h2>Streams</h2>{_table(heads, rows)}"


def _stream_row(name: str, stream: StreamHealth) -> list[object]:
    ledger = stream.get("ledger", {})
    dropped = ", ".join(f"{number:,} {reason}" for reason, number in ledger.get("dropped", {}).items() if number)
    counts = [ledger.get("received", 0), ledger.get("reduced", 0), ledger.get("failed", 0)]
    rest = [ledger.get("pending", 0), ledger.get("n_missing", 0), stream.get("n_bad", 0)]
    return [name, stream.get("connection", ""), *counts, dropped, *rest]


def _workers(health: Health) -> str:
    rows: list[list[object]] = []
    for name, worker in health.get("workers", {}).items():
        counts = [worker.get("n_events", 0), worker.get("n_failures", 0), worker.get("n_restarts", 0)]
        rows.append(
            [name, worker.get("state", ""), *counts, f"{worker.get('busy', 0.0):.0%}", worker.get("last_failure", "")]
        )
    reducer = health.get("reducer")
    if reducer is not None:
        counts = [reducer.get("n_results", 0), reducer.get("n_failures", 0), reducer.get("n_restarts", 0)]
        row = ["reducer", reducer.get("state", ""), *counts, f"{reducer.get('busy', 0.0):.0%}"]
        rows.append([*row, reducer.get("last_failure", "")])
    heads = ["process", "state", "done", "failed", "restarts", "busy", "newest error"]
    return f"<h2>Workers</h2>{_table(heads, rows)}"


def _table(heads: list[str], rows: Iterable[list[Any]]) -> str:
    shown = list(rows)
    head = "".join(f"<th>{html_text(text)}</th>" for text in heads)
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in shown[:_SHOWN_ROWS])
    more = f"<p>and {len(shown) - _SHOWN_ROWS} more</p>" if len(shown) > _SHOWN_ROWS else ""
    return f"<table><tr>{head}</tr>{lines}</table>{more}"


def _cell(content: object) -> str:
    return f'<td class="n">{content:,}</td>' if isinstance(content, int) else f"<td>{html_text(str(content))}</td>"
