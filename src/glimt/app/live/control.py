"""A live run as the control interface sees it: maps, stop, parameters, progress, in dranspose's words."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from glimt import __version__
from glimt.app.live.health import describe_health, describe_scan
from glimt.model.errors import UsageError
from glimt.model.trigger_map import TriggerMap
from glimt.pipeline.parameter_changes import TakenValue
from glimt.web.run_control import ConflictError, RunEndingError

if TYPE_CHECKING:
    from glimt.app.live.live_engine import LiveEngine
    from glimt.engines.supervisor import RoleState
    from glimt.model.health import Health
    from glimt.web.log_ring import LogRing

log = logging.getLogger("glimt")

_BEGIN_S = 10.0
_END_S = 20.0
_NO_MAP = b'{"parts":{},"sequence":[]}'
_NO_TCP = "tcp://127.0.0.1:0"
"""What dranspose's clients are told of a socket that is not theirs to connect to; they accept no other scheme."""


class Control:
    """Steers a run; see `glimt.web.run_control.RunControl` for what each method returns.

    Parameters
    ----------
    run : LiveEngine
        The run.
    logs : LogRing
        Its newest log records.
    """

    def __init__(self, run: LiveEngine, logs: LogRing) -> None:
        self._run = run
        self._logs = logs
        self._map: TriggerMap | None = None
        self._beginning = threading.Lock()
        self._stopped = ""
        self._versions: dict[str, str] = {}
        self._identities: dict[tuple[str, int], str] = {}

    @property
    def logs(self) -> LogRing:
        """Newest log records of all processes."""
        return self._logs

    # Scans --------------------------------------------------------------------------------------------------

    def upload_map(self, data: bytes, *, all_wrap: bool) -> str:
        """Begin a scan with a trigger map; one that still runs is ended first."""
        self._refuse_automatic()
        return self._begin(TriggerMap.from_json(data, all_wrap=all_wrap), data, all_wrap=all_wrap)

    def upload_sardana(self, info: dict[str, Any]) -> str:
        """Begin a scan with the uniform map that Sardana's hook announces."""
        self._refuse_automatic()
        trigger_map = TriggerMap.from_sardana_hook(info, list(self._run.beamline.streams))
        return self._begin(trigger_map, b"".join(trigger_map.json_pieces()), all_wrap=False)

    def _refuse_automatic(self) -> None:
        if self._run.beamline.events.mode == "automatic":
            raise ConflictError(
                'this run makes its events by itself (events.mode = "automatic"); '
                'set events.mode = "map" in the beamline file to send trigger maps'
            )

    def _begin(self, trigger_map: TriggerMap, data: bytes, *, all_wrap: bool) -> str:
        run = self._run
        alive = [tags for slot, tags in run.slots.items() if not run.roles[slot].is_retired]
        trigger_map.check(list(run.beamline.streams), alive)
        with self._beginning:
            if run.report.get("is_running"):
                self._end_running()
            scan_id = run.begin_scan(data, all_wrap=all_wrap)
            run.wait_for_report(
                lambda report: scan_id in (report.get("scan_id"), report.get("refused_scan_id")), _BEGIN_S
            )
            if run.report.get("refused_scan_id") == scan_id:
                raise ConflictError(run.report["problem"])
            if run.report.get("scan_id") != scan_id:
                raise RunEndingError(f"no process took the trigger map within {_BEGIN_S:.0f} s; see the log")
            self._map = trigger_map
            return scan_id

    def _end_running(self) -> None:
        self._run.stop_scan()
        if not self._run.wait_for_report(lambda report: not report.get("is_running"), _END_S):
            problem = self._run.report.get("output_problem")
            raise ConflictError(
                f"the last scan has not ended within {_END_S:.0f} s"
                + (f" ({problem}); POST /api/v1/stop once more gives its results up" if problem else "")
            )

    def current_map(self) -> Iterable[bytes]:
        """Return the newest map in dranspose's form, in pieces."""
        return [_NO_MAP] if self._map is None else self._map.json_pieces()

    def stop(self) -> None:
        """End the scan with what has come; said again, also if a worker does not come back from user code."""
        scan_id = self._run.report.get("scan_id", "")
        self._run.stop_scan(insist=self._stopped == scan_id != "")
        self._stopped = scan_id

    # What it does -------------------------------------------------------------------------------------------

    def progress(self) -> dict[str, Any]:
        """Return how far the scan is."""
        scan = describe_scan(self._run)
        total = scan.get("total_events")
        return {
            "last_assigned": scan.get("last_assigned", 0),
            "completed_events": scan.get("completed_events", 0),
            "total_events": total if total is not None else scan.get("last_assigned", 0),
            "finished": scan.get("finished", False),
        }

    def status(self) -> dict[str, Any]:
        """Return dranspose's status; of lists that grow with the scan only their end."""
        progress = self.progress()
        n_completed = progress["completed_events"]
        return {
            "work_completed": {},
            "last_assigned": progress["last_assigned"],
            "assignment": [],
            "completed_events": list(range(max(0, n_completed - 100), n_completed)),
            "finished": progress["finished"],
            "processing_times": {},
        }

    def load(self, intervals: list[int], *, scan: bool) -> dict[str, Any]:
        """Return how busy the workers were."""
        found: dict[str, Any] = {}
        for slot in self._run.slots:
            role = self._run.roles[slot]
            n_events = role.state.get("n_events", 0)
            if not n_events or not role.history:
                continue
            samples = {str(interval): _load_since(role, n_events - interval) for interval in intervals}
            if scan:
                samples["scan"] = _load_since(role, 0)
            found[slot] = {"last_event": n_events, "intervals": samples}
        return found

    def config(self) -> dict[str, Any]:
        """Return dranspose's ``EnsembleState``."""
        run = self._run
        report = run.report
        ingester = self._service("ingester", "glimt-ingester") | {
            "url": _tcp(report.get("address", "")),
            "connected_workers": {
                self._uuid(slot): {
                    "name": slot,
                    "service_uuid": self._uuid(slot),
                    "last_seen": time.time() - (time.monotonic() - run.roles[slot].heard_at),
                }
                for slot in run.slots
                if not run.roles[slot].is_new
            },
            "streams": list(run.beamline.streams),
        }
        workers = [
            self._service(slot, slot) | {"ingesters": [ingester], "tags": sorted(tags)}
            for slot, tags in run.slots.items()
            if not run.roles[slot].is_new
        ]
        reducer = self._service("reducer", "reducer") | {"url": _tcp(run.roles["reducer"].state.get("address", ""))}
        return {
            "ingesters": [ingester],
            "workers": workers,
            "reducer": reducer,
            "controller_version": f"glimt {__version__}",
            "parameters_version": {name: self._version(name) for name in run.parameters.values},
            "parameters_hash": run.parameters.content_hash,
        }

    def _service(self, role: str, name: str) -> dict[str, Any]:
        state = self._run.roles[role].state
        return {
            "service_uuid": self._uuid(role),
            "mapping_uuid": self._run.report.get("scan_id") or None,
            "dranspose_version": f"glimt {__version__}",
            "mapreduce_version": None,
            "parameters_hash": state.get("parameters_hash", self._run.parameters.content_hash),
            "processed_events": state.get("n_events", state.get("n_results", state.get("n_finished", 0))),
            "event_rate": 0.0,
            "name": name,
        }

    def _uuid(self, role: str) -> str:
        """Return an identity of a process: another one has another."""
        return self._identities.setdefault((role, self._run.roles[role].process_id), str(uuid.uuid4()))

    def _version(self, name: str) -> str:
        return self._versions.setdefault(name, str(uuid.uuid4()))

    # Parameters ---------------------------------------------------------------------------------------------

    def get(self, name: str) -> bytes:
        """Return a parameter's value as sent."""
        return self._run.parameters.values[name].data

    def set(self, name: str, data: bytes) -> str:
        """Change a parameter from the next event on; return the new content hash."""
        return self.set_from_event(name, data).content_hash

    def set_from_event(self, name: str, data: bytes) -> TakenValue:
        """Change a parameter; return the new content hash, the first event with the new value, and the scan of that.

        Event and scan are ``None`` where they were not told within a second.
        """
        if not name or len(name) > 200:
            raise UsageError("a parameter has a name of 1 to 200 characters")
        content_hash, number = self._run.set_parameter(name, data)
        self._versions[name] = str(uuid.uuid4())
        bound = self._run.wait_for_report(lambda report: report.get("bound", [-1])[0] >= number, 1.0)
        taken = _taken(content_hash, self._run.report if bound else {})
        place = "?" if taken.event_number is None else f"{taken.event_number} of scan {taken.scan_number}"
        log.info("parameter %s is changed for all workers from event %s on", name, place)
        if name not in {entry["name"] for entry in self.describe()}:
            log.warning("parameter %s is described by neither class: it has bytes but no value", name)
        return taken

    def describe(self) -> list[dict[str, Any]]:
        """Return the descriptions of the parameters."""
        return self._run.parameters.describe()

    def health(self) -> Health:
        """Return how the run is."""
        return describe_health(self._run)


def _taken(content_hash: str, report: dict[str, Any]) -> TakenValue:
    """Return from where on a value holds that a report has; if no scan runs, that is from the next one on."""
    if not report:
        return TakenValue(content_hash, None)
    event = report["bound"][1]
    return TakenValue(content_hash, event, report["n_scans"] + (event == 0 and not report["is_running"]))


def _tcp(address: str) -> str:
    return address if address.startswith("tcp:") else _NO_TCP


def _load_since(role: RoleState, n_before: int) -> dict[str, Any]:
    """Return how busy a worker was since it had had so many events, as far as is remembered."""
    now_at, now = role.history[-1]
    at, state = next(
        ((at, state) for at, state in reversed(role.history) if state.get("n_events", 0) <= n_before), role.history[0]
    )
    return {
        "total": now_at - at,
        "active": now.get("busy_s", 0.0) - state.get("busy_s", 0.0),
        "events": now.get("n_events", 0) - state.get("n_events", 0),
    }
