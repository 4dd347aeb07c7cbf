"""What every engine of a live run must do, as tests: inherit from `EngineContract` and say how to make a run."""

# ruff: noqa: D102  a test's name is its sentence
from __future__ import annotations

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from glimt.app.beamline import Beamline
from glimt.app.live.inline_run import InlineRun
from glimt.app.live.live_engine import LiveEngine
from glimt.app.replay import Replay, ReplayOptions
from glimt.sim.contrast import ContrastDevice
from glimt.sim.faults import Choice, Faults
from glimt.sim.plan import SimulationPlan
from glimt.sim.simulation import Simulation
from glimt.sim.stins import StinsDevice
from glimt.sim.zmq_transport import ZmqTransport
from glimt.testing.engine_rig import (
    ANALYSIS,
    LIMIT_S,
    captured,
    has_ended,
    output_of,
    run_once,
    two_stream_capture,
    write_beamline,
)

N_EVENTS = 200
LOST = frozenset({2, 16, 17, 18, 120, N_EVENTS - 1})
COLUMNS = ("number", "chain", "value", "scale", "n_starts", "n_bytes", "streams")


class EngineContract(ABC):
    """Tests of an engine.

    What comes out of a run must be what `glimt.testing.ordered_analysis` gives when one worker and the reducer have
    the events one by one in order: the same numbers to the last bit, whatever the number of workers.
    """

    use: ClassVar[str] = "local:1"
    """What the beamline file says."""

    @abstractmethod
    def make(self, beamline: Beamline) -> LiveEngine:
        """Return a run that has not started."""

    def _two_streams(self, folder: Path, capture: Path, use: str = "", **options: Any) -> Beamline:
        streams = {"det": captured(capture, "stins", "det"), "scan": captured(capture, "contrast", "scan")}
        for name, more in options.pop("streams", {}).items():
            streams[name] = {key: value for key, value in (streams[name] | more).items() if value is not None}
        events = {"incomplete": "deliver"} | options.pop("events", {})
        return write_beamline(folder, use or self.use, streams, events=events, **options)

    @pytest.mark.parametrize("shape", [(10, 10), (160, 200)], ids=["small", "large"])
    def test_two_streams_with_lost_frames_give_what_replay_gives(self, tmp_path: Path, shape: tuple[int, int]) -> None:
        capture = two_stream_capture(tmp_path / "two.cbors", N_EVENTS, lost=LOST, shape=shape)
        output, report = run_once(self.make, self._two_streams(tmp_path, capture))
        assert columns_of(output) == replayed(capture)
        assert output["number"] == list(range(1, N_EVENTS + 1))
        assert [sizes[0] for sizes in output["streams"]] == [1 if n in LOST else 2 for n in range(N_EVENTS)]
        assert output["glimt/ledger/det/reduced"] == output["glimt/ledger/det/received"] == N_EVENTS + 2 - len(LOST)
        assert output["glimt/ledger/det/n_missing"] == len(LOST)
        assert output["glimt/ledger/scan/reduced"] == output["glimt/ledger/scan/received"] == N_EVENTS + 2
        assert report["queue"]["used_bytes"] == 0
        assert output == reference(self._two_streams(tmp_path / "reference", capture, "inline:"))

    def test_incomplete_events_are_left_out_and_counted(self, tmp_path: Path) -> None:
        capture = two_stream_capture(tmp_path / "two.cbors", N_EVENTS, lost=LOST)
        output, _ = run_once(self.make, self._two_streams(tmp_path, capture, events={"incomplete": "drop"}))
        assert output["number"] == [n + 1 for n in range(N_EVENTS) if n not in LOST]
        assert output["glimt/ledger/scan/dropped/incomplete"] == len(LOST)
        assert output["glimt/ledger/scan/reduced"] == N_EVENTS + 2 - len(LOST)

    def test_a_recording_gives_what_replay_gives(self, tmp_path: Path, shared_data: Path) -> None:
        capture = shared_data / "dranspose" / "dump_xrd.cbors"
        beamline = write_beamline(tmp_path, self.use, {"xrd": captured(capture, "stins", "xrd")})
        output, _ = run_once(self.make, beamline)
        assert columns_of(output) == replayed(capture)
        assert len(output["number"]) > 2
        assert output["glimt/ledger/xrd/pending"] == output["glimt/ledger/xrd/failed"] == 0

    def test_devices_that_lose_and_repeat_frames_give_the_same_on_every_engine(self, tmp_path: Path) -> None:
        output, sent = self._simulated(tmp_path, self.make, self.use)
        expected, _ = self._simulated(tmp_path / "reference", InlineRun, "inline:")
        assert output == expected
        series = sent["det"].report.series[0]
        assert series.dropped
        assert series.duplicated
        assert output["number"] == list(range(1, N_EVENTS + 1))
        n_streams = [sizes[0] for sizes in output["streams"]]
        assert [n for n, number in enumerate(n_streams) if number == 1] == series.dropped
        assert output["glimt/ledger/det/dropped/repeated"] == len(series.duplicated)
        assert output["glimt/ledger/scan/dropped/other"] == 1  # the heartbeat before the start

    def _simulated(self, folder: Path, make: Any, use: str) -> tuple[dict[str, Any], dict[str, Simulation]]:
        faults = {"det": Faults(drop=Choice(0.05), duplicate=Choice(0.05), seed=3), "scan": Faults()}
        devices: dict[str, Any] = {"det": StinsDevice((20, 30), seed=5), "scan": ContrastDevice(seed=5)}
        plan = SimulationPlan(n_frames=N_EVENTS, rate_hz=0, timeout_s=LIMIT_S)
        with ExitStack() as stack:
            simulations = {}
            for name, device in devices.items():
                transport = ZmqTransport("tcp://127.0.0.1:*", message_bytes=device.message_bytes)
                simulation = Simulation(device, transport, plan=plan, faults=faults[name])
                simulations[name] = stack.enter_context(simulation)
            streams = {
                name: {
                    "transport": "zmq-pull",
                    "address": simulation.report.address,
                    "protocol": devices[name].protocol,
                }
                for name, simulation in simulations.items()
            }
            beamline = write_beamline(folder, use, streams, events={"incomplete": "deliver"})
            with make(beamline) as run, sending(*simulations.values()):
                assert run.wait_for_report(has_ended(), LIMIT_S), run.report
                return output_of(beamline, run.report["scan_id"]), simulations

    def test_events_that_raise_are_counted_and_the_rest_is_reduced(self, tmp_path: Path) -> None:
        capture = two_stream_capture(tmp_path / "two.cbors", N_EVENTS)
        beamline = self._two_streams(tmp_path, capture, parameters={"fails_every": 10})
        with self.make(beamline) as run:
            assert run.wait_for_report(has_ended(), LIMIT_S)
            n_failed = N_EVENTS // 10
            assert run.wait_for_report(lambda _: sum(run.n_failures.values()) >= n_failed, LIMIT_S)
            output = output_of(beamline, run.report["scan_id"])
            assert sum(run.n_failures.values()) == n_failed
            assert "event 10 was chosen to fail" in "\n".join(run.failures)
            assert run.report["n_failed"] == n_failed
        assert output["number"] == [n for n in range(1, N_EVENTS + 1) if n % 10]
        for stream in ("det", "scan"):
            assert output[f"glimt/ledger/{stream}/failed"] == n_failed
            assert output[f"glimt/ledger/{stream}/reduced"] == N_EVENTS + 2 - n_failed

    def test_a_parameter_changes_at_one_event_for_every_worker(self, tmp_path: Path) -> None:
        capture = two_stream_capture(tmp_path / "two.cbors", 4 * N_EVENTS)
        paced = {"rate_hz": 1000.0, "speed": None}
        beamline = self._two_streams(tmp_path, capture, streams={"det": paced, "scan": paced})
        with self.make(beamline) as run:
            assert run.wait_for_report(lambda report: report.get("last_offered", -1) >= 50, LIMIT_S)
            content_hash, version = run.set_parameter("scale", b"3")
            assert content_hash == run.parameters.content_hash
            assert run.wait_for_report(lambda report: report["bound"][0] == version, LIMIT_S)
            first = run.report["bound"][1]
            assert run.wait_for_report(has_ended(), LIMIT_S)
            output = output_of(beamline, run.report["scan_id"])
        assert output["scale"] == [3 if n >= first else 1 for n in range(1, 4 * N_EVENTS + 1)]
        assert 50 < first < 4 * N_EVENTS
        assert output["n_hashes"] == 2
        assert output["glimt/parameters/scale"] == b"1"
        assert output["glimt/parameter_changes/0000/scale"] == b"3"

    def test_a_trigger_map_gives_the_same_on_every_engine(self, tmp_path: Path) -> None:
        capture = two_stream_capture(tmp_path / "two.cbors", N_EVENTS, lost=LOST)
        options: dict[str, Any] = {"events": {"mode": "map"}}
        output = self._mapped(self.make, self._two_streams(tmp_path, capture, **options))
        assert output == self._mapped(
            InlineRun, self._two_streams(tmp_path / "reference", capture, "inline:", **options)
        )
        assert output["number"] == list(range(1, N_EVENTS + 1))
        assert output["glimt/ledger/scan/dropped/discarded"] == N_EVENTS // 7 + 1
        assert output["glimt/ledger/det/reduced"] == N_EVENTS + 2 - len(LOST)

    def _mapped(self, make: Any, beamline: Beamline) -> dict[str, Any]:
        """Run with batches of ten events, and every seventh packet of the scan engine discarded."""
        blocks = [[{"constraint": number // 10}] for number in range(N_EVENTS)]
        entries = {"det": blocks, "scan": [[] if n % 7 == 0 else one for n, one in enumerate(blocks)]}
        with make(beamline) as run:
            scan_id = run.begin_scan(json.dumps(entries).encode(), all_wrap=True)
            assert run.wait_for_report(has_ended(), LIMIT_S), run.report
            assert run.report["scan_id"] == scan_id
            return output_of(beamline, scan_id)

    def test_a_stopped_scan_ends_with_what_has_come(self, tmp_path: Path) -> None:
        n_events = 20 * N_EVENTS
        capture = two_stream_capture(tmp_path / "two.cbors", n_events)
        paced = {"rate_hz": 500.0, "speed": None}
        beamline = self._two_streams(tmp_path, capture, streams={"det": paced, "scan": paced})
        with self.make(beamline) as run:
            assert run.wait_for_report(lambda report: report.get("last_offered", -1) >= 50, LIMIT_S)
            run.stop_scan()
            assert run.wait_for_report(has_ended(), LIMIT_S)
            output = output_of(beamline, run.report["scan_id"])
        n_reduced = len(output["number"])
        assert 50 <= n_reduced < n_events
        assert output["number"] == list(range(1, n_reduced + 1))
        for stream in ("det", "scan"):
            ledger = {key.rpartition("/")[2]: value for key, value in output.items() if f"ledger/{stream}/" in key}
            assert ledger["pending"] == 0
            assert ledger["received"] == ledger["reduced"] + ledger.get("stopped", 0)

    def test_every_scan_has_classes_of_its_own(self, tmp_path: Path) -> None:
        capture = two_stream_capture(tmp_path / "two.cbors", 50)
        looped = {"loops": 3}
        beamline = self._two_streams(tmp_path, capture, streams={"det": looped, "scan": looped})
        with self.make(beamline) as run:
            assert run.wait_for_report(has_ended(3), LIMIT_S), run.report
        outputs = [output_of(beamline, path.stem.removeprefix("out_")) for path in tmp_path.glob("out_*.h5")]
        assert len(outputs) == 3
        assert {tuple(output["chain"]) for output in outputs} == {tuple(outputs[0]["chain"])}
        assert all(output["number"] == list(range(1, 51)) for output in outputs)


def columns_of(output: dict[str, Any]) -> dict[str, Any]:
    """Return what the reducer published as columns."""
    return {name: output[name] for name in COLUMNS}


def reference(beamline: Beamline) -> dict[str, Any]:
    """Return the output of a run in one loop."""
    return run_once(InlineRun, beamline)[0]


def replayed(capture: Path) -> dict[str, Any]:
    """Return what the reducer publishes at the end of `glimt replay` with one worker."""
    options = ReplayOptions(f"{ANALYSIS}:OrderedWorker", f"{ANALYSIS}:OrderedReducer", [capture])
    replay = Replay(options)
    assert replay.run().is_whole
    tree, _ = replay.reducer.tree()
    return {name: np.asarray(tree[name]).tolist() for name in COLUMNS}


@contextmanager
def sending(*simulations: Simulation) -> Iterator[None]:
    """Let simulations send, each in a thread; at the end all have sent what they would."""
    stop = threading.Event()
    threads = [threading.Thread(target=simulation.run, args=(stop,)) for simulation in simulations]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
