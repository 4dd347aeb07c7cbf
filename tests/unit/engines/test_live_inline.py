"""A live run in one loop: what the engine contract does not show, such as the debugger, threads and full disks."""

from __future__ import annotations

import bdb
import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from glimt.app.beamline import Beamline
from glimt.app.live.control import Control
from glimt.app.live.health import describe_health
from glimt.app.live.inline_run import InlineRun
from glimt.model.errors import ParameterError, UsageError
from glimt.model.event import EventData, ResultData
from glimt.testing.engine_rig import (
    ANALYSIS,
    LIMIT_S,
    captured,
    has_ended,
    run_once,
    two_stream_capture,
    write_beamline,
)
from glimt.web.log_ring import LogRing
from open_files import open_files

HERE = "test_live_inline"
REDUCER = f"{ANALYSIS}:OrderedReducer"
N_EVENTS = 40


class Leaving:
    """A worker whose author leaves the debugger at event 7."""

    def process_event(self, event: EventData) -> None:
        if event.event_number == 7:
            raise bdb.BdbQuit


class LeavingReducer:
    """A reducer whose author leaves the debugger."""

    def process_result(self, result: ResultData) -> None:
        raise bdb.BdbQuit


class NeverMade:
    def __init__(self) -> None:
        raise RuntimeError("no calibration")

    def process_event(self, event: EventData) -> None: ...


class Threads:
    """A worker that says in which threads it was called, and with what context."""

    names: ClassVar[set[str]] = set()
    contexts: ClassVar[list[dict[str, Any]]] = []
    closed: ClassVar[list[bool]] = []

    def __init__(self, context: dict[str, Any]) -> None:
        context["scans"] = context.get("scans", 0) + 1
        self.contexts.append(context)

    def process_event(self, event: EventData) -> int:
        self.names.add(threading.current_thread().name)
        return event.event_number

    def close(self, context: dict[str, Any]) -> None:
        self.closed.append(True)


class Quiet:
    """A reducer that publishes how much came."""

    def __init__(self) -> None:
        self.publish = {"n": 0}

    def process_result(self, result: ResultData) -> None:
        self.publish["n"] += 1


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return two_stream_capture(tmp_path / "two.cbors", N_EVENTS)


def beamline(folder: Path, capture: Path, worker: str = "", reducer: str = REDUCER, **options: Any) -> Beamline:
    stream = captured(capture, "stins", "det") | options.pop("stream", {})
    names = (f"{HERE}:{worker}" if worker else f"{ANALYSIS}:OrderedWorker", reducer)
    return write_beamline(folder, "inline:", {"det": stream}, analysis=names, **options)


@pytest.mark.parametrize(("worker", "reducer"), [("Leaving", REDUCER), ("", f"{HERE}:LeavingReducer")])
def test_leaving_the_debugger_ends_the_run(tmp_path: Path, capture: Path, worker: str, reducer: str) -> None:
    with InlineRun(beamline(tmp_path, capture, worker, reducer)) as run, pytest.raises(KeyboardInterrupt):
        run.wait_for_report(has_ended(), LIMIT_S)
    assert run.failures == []
    assert not list(tmp_path.glob("out_*.h5"))


def test_all_code_of_the_user_runs_in_the_thread_of_the_loop(tmp_path: Path, capture: Path) -> None:
    Threads.names.clear()
    stop = threading.Event()
    with InlineRun(beamline(tmp_path, capture, "Threads")) as run:
        loop = threading.Thread(target=run.run_until, args=(stop,), name="the loop")
        loop.start()
        assert run.wait_for_report(has_ended(), LIMIT_S)  # this thread only waits
        stop.set()
        loop.join(LIMIT_S)
        assert not loop.is_alive()
    assert Threads.names <= {"the loop", threading.current_thread().name}
    assert Threads.names


def test_a_context_lives_as_long_as_the_run_and_close_is_called_at_its_end(tmp_path: Path, capture: Path) -> None:
    Threads.contexts.clear()
    Threads.closed.clear()
    with InlineRun(beamline(tmp_path, capture, "Threads", stream={"loops": 2})) as run:
        assert run.wait_for_report(has_ended(2), LIMIT_S)
        assert Threads.closed == []
    assert [context["scans"] for context in Threads.contexts] == [2, 2]
    assert Threads.contexts[0] is Threads.contexts[1]
    assert Threads.closed == [True]


def test_a_worker_that_cannot_be_made_fails_every_event_and_the_scan_ends(tmp_path: Path, capture: Path) -> None:
    with InlineRun(beamline(tmp_path, capture, "NeverMade")) as run:
        assert run.wait_for_report(has_ended(), LIMIT_S)
        assert run.report["n_failed"] == N_EVENTS + 2
        assert "no calibration" in run.failures[0]
        assert run.n_failures == {"worker-0": 1}
        assert run.report["streams"][0]["ledger"]["failed"] == N_EVENTS + 2


def blocked_output(folder: Path, capture: Path) -> tuple[Beamline, Path]:
    """Return a beamline whose output folder has become something else, and that."""
    results = folder / "results"
    results.mkdir()
    given = beamline(folder, capture, output={"file": "results/out_{scan}.h5"})
    results.rmdir()
    results.write_text("a file where a folder should be")
    return given, results


def test_an_output_that_cannot_be_written_is_said_and_tried_again(tmp_path: Path, capture: Path) -> None:
    given, blocked = blocked_output(tmp_path, capture)
    with InlineRun(given) as run:
        assert run.wait_for_report(lambda report: bool(report.get("output_problem")), LIMIT_S)
        assert run.report["is_running"]
        assert run.report["is_finishing"]
        assert "results" in run.remarks[0]
        blocked.unlink()
        assert run.wait_for_report(has_ended(), LIMIT_S)
        assert run.report["output_problem"] == ""
        assert len(run.remarks) == 2
    assert len(list(blocked.glob("out_*.h5"))) == 1


def test_a_stop_gives_up_an_output_that_cannot_be_written(tmp_path: Path, capture: Path) -> None:
    given, _ = blocked_output(tmp_path, capture)
    with InlineRun(given) as run:
        assert run.wait_for_report(lambda report: bool(report.get("output_problem")), LIMIT_S)
        run.stop_scan()
        assert run.wait_for_report(has_ended(), LIMIT_S)


@pytest.mark.parametrize("policy", ["drop-oldest", "spill"])
def test_what_finds_no_room_is_counted_as_the_stream_wants_it(tmp_path: Path, policy: str) -> None:
    capture = two_stream_capture(tmp_path / "two.cbors", 400, shape=(100, 100))
    stream = {"when_full": policy, "queue": 100_000}
    given = beamline(tmp_path, capture, stream=stream, output={"spill_folder": "spill"})
    output, report = run_once(InlineRun, given)
    dropped = output.get("glimt/ledger/det/dropped/" + ("full" if policy == "drop-oldest" else "spilled"), 0)
    assert dropped > 0
    assert output["glimt/ledger/det/reduced"] + dropped == output["glimt/ledger/det/received"] == 402
    assert output["number"] == sorted(output["number"])
    assert len(output["number"]) == 400 - dropped
    assert report["queue"]["used_bytes"] == 0
    assert len(list((tmp_path / "spill").glob("*.cbors"))) == (policy == "spill")


def test_a_parameter_that_does_not_fit_changes_nothing(tmp_path: Path, capture: Path) -> None:
    with InlineRun(beamline(tmp_path, capture)) as run:
        before = run.parameters.content_hash
        with pytest.raises(ParameterError, match="scale"):
            run.set_parameter("scale", b"not a number")
        assert run.parameters.content_hash == before


def test_what_the_reducer_publishes_can_be_shown(tmp_path: Path, capture: Path) -> None:
    shown: list[Any] = []

    @contextlib.contextmanager
    def serve(published: Any) -> Iterator[Any]:
        shown.append(published)
        yield type("Server", (), {"url": "http://127.0.0.1:1"})()
        shown.append("closed")

    with InlineRun(beamline(tmp_path, capture, "Threads", f"{HERE}:Quiet"), serve_view=serve) as run:
        assert shown[0].tree()[0] == {}
        assert run.wait_for_report(has_ended(), LIMIT_S)
        assert shown[0].tree()[0] == {"n": N_EVENTS + 2}
        assert run.roles["reducer"].state["view_url"] == "http://127.0.0.1:1"
    assert shown[-1] == "closed"


def test_a_run_that_cannot_open_its_sources_leaves_nothing_open(tmp_path: Path, capture: Path) -> None:
    before = open_files()
    given = beamline(tmp_path, capture)
    capture.unlink()
    with pytest.raises(UsageError, match=r"two\.cbors"), InlineRun(given):
        pass
    assert not open_files() - before


def test_a_wait_is_over_in_time_and_a_closed_run_does_not_wait(tmp_path: Path, capture: Path) -> None:
    with InlineRun(beamline(tmp_path, capture, events={"mode": "map"})) as run:
        assert not run.wait_for_report(has_ended(), 0.05)
        assert {name: role.process_id for name, role in run.roles.items()} == dict.fromkeys(run.roles, os.getpid())
    assert not run.wait_for_report(has_ended(), LIMIT_S)
    run.stop_scan()
    run.close()


def test_a_parameter_says_from_which_event_of_which_scan_on_it_holds(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "glimt")
    n_events = 200
    capture = two_stream_capture(tmp_path / "two.cbors", n_events)
    stream = {key: value for key, value in captured(capture, "stins", "det").items() if key != "speed"}
    paced = stream | {"loops": 2, "rate_hz": 500.0}
    analysis = (f"{ANALYSIS}:OrderedWorker", REDUCER)
    with InlineRun(write_beamline(tmp_path, "inline:", {"det": paced}, analysis=analysis)) as run:
        control = Control(run, LogRing())
        assert run.wait_for_report(lambda report: report.get("last_offered", -1) >= 5, LIMIT_S)
        first = control.set_from_event("scale", b"3")
        assert run.wait_for_report(has_ended(2), LIMIT_S)
        between = control.set_from_event("scale", b"4")
        assert run.report["n_scans"] == 2
        reducer = describe_health(run)["reducer"]
    assert first.event_number is not None
    assert first.event_number > 5
    assert (first.scan_number, between.event_number, between.scan_number) == (1, 0, 3)
    assert f"changed for all workers from event {first.event_number} of scan 1 on" in caplog.text
    assert (reducer["n_results"], reducer["n_all_results"]) == (n_events, 2 * n_events)
