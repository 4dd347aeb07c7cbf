"""glimt's side of ``live.py``: one live run, steered by lines of JSON on standard input.

``{"do": "map", "map": {...}}`` begins a scan with a trigger map, ``{"do": "wait"}`` waits until the next scan is over.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from glimt.app.beamline_file import load_beamline
from glimt.app.live.live_run import LiveRun
from glimt.engines.placement import LocalPlacement


def _say(**what: Any) -> None:
    print(json.dumps(what), flush=True)


def _obey(run: LiveRun, order: dict[str, Any], n_scans: int) -> None:
    if order["do"] == "map":
        began = time.monotonic_ns()
        run.begin_scan(json.dumps(order["map"]).encode(), all_wrap=True)
        run.wait_for_report(lambda report: report.get("n_scans", 0) > n_scans and report["is_running"], 60)
        _say(seconds=(time.monotonic_ns() - began) * 1e-9)
        return
    run.wait_for_report(lambda report: report.get("n_scans", 0) > n_scans, order["limit_s"])
    done = run.wait_for_report(lambda report: not report["is_running"], order["limit_s"])
    report = run.report
    _say(
        finished_ns=time.monotonic_ns(),
        done=done,
        ledger=report["streams"][0]["ledger"],
        cpu_s={name: role.state.get("cpu_s", 0.0) for name, role in run.roles.items()},
    )


def main() -> None:
    """Start the run of a beamline file, do what is ordered, end it."""
    with LiveRun(load_beamline(Path(sys.argv[1])), LocalPlacement()) as run:
        _say(pids={name: role.process_id for name, role in run.roles.items()})
        n_scans = 0
        for line in sys.stdin:
            order = json.loads(line)
            _obey(run, order, n_scans)
            n_scans += order["do"] == "wait"


if __name__ == "__main__":
    main()
