"""Every engine gives the same result: the contract of `glimt.testing.engine_contract`, engine by engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from glimt.app.beamline import Beamline
from glimt.app.live.inline_run import InlineRun
from glimt.app.live.live_engine import LiveEngine
from glimt.app.live.live_run import LiveRun
from glimt.engines.placement import LocalPlacement
from glimt.testing.engine_contract import EngineContract
from glimt.testing.engine_rig import LIMIT_S, MakeEngine, captured, has_ended, two_stream_capture, write_beamline


def inline(beamline: Beamline) -> LiveEngine:
    return InlineRun(beamline)


def local(beamline: Beamline) -> LiveEngine:
    return LiveRun(beamline, LocalPlacement())


class TestInline(EngineContract):
    use: ClassVar[str] = "inline:"

    def make(self, beamline: Beamline) -> LiveEngine:
        return inline(beamline)


class TestLocalOneWorker(EngineContract):
    use: ClassVar[str] = "local:1"

    def make(self, beamline: Beamline) -> LiveEngine:
        return local(beamline)


class TestLocalFourWorkers(EngineContract):
    use: ClassVar[str] = "local:4"

    def make(self, beamline: Beamline) -> LiveEngine:
        return local(beamline)


def test_every_engine_reports_the_same_things(tmp_path: Path) -> None:
    capture = two_stream_capture(tmp_path / "two.cbors", 20)
    found = [_told(make, _one_stream(tmp_path / use[:5], use, capture)) for use, make in ENGINES.items()]
    assert found[0] == found[1]
    assert {"ingester", "reducer", "worker-0", "report", "streams"} == found[0].keys()


ENGINES: Mapping[str, MakeEngine] = {"inline:": inline, "local:1": local}


def _one_stream(folder: Path, use: str, capture: Path) -> Beamline:
    return write_beamline(folder, use, {"det": captured(capture, "stins", "det")})


def _told(make: MakeEngine, beamline: Beamline) -> dict[str, set[str]]:
    """Return the keys of everything that a run tells of itself after a scan."""
    with make(beamline) as run:
        assert run.wait_for_report(has_ended(), LIMIT_S)
        assert run.wait_for_report(lambda _: "scan" in run.roles["reducer"].state, LIMIT_S)
        assert run.problem == ""
        states: dict[str, Mapping[str, Any]] = {name: role.state for name, role in run.roles.items()}
        stream = run.report["streams"][0]
        keys = {name: set(state) for name, state in states.items()}
        return keys | {"report": set(run.report), "streams": set(stream) | set(stream["source"])}
