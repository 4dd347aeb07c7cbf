"""What every live run has, wherever its roles are: parameters, orders for the engine, its reports, start and end."""

from __future__ import annotations

import json
import logging
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest

from glimt.app.beamline import Beamline
from glimt.app.live.steered_run import SteeredRun
from glimt.engines.live_messages import BeginScan, SetValues, StopScan
from glimt.model.errors import ParameterError, UsageError
from glimt.pipeline.failure import Failure
from glimt.pipeline.parameter_set import ParameterSet
from glimt.testing.engine_rig import ANALYSIS, write_beamline

LIMIT_S = 20.0


class OrdersOnly(SteeredRun):
    """A run whose engine only keeps its orders, and says when it is started and closed."""

    def __init__(self, beamline: Beamline, fails_with: BaseException | None = None) -> None:
        super().__init__(beamline)
        self.orders: list[Any] = []
        self.steps: list[str] = []
        self.fails_with = fails_with

    def _command(self, message: BeginScan | StopScan | SetValues) -> None:
        self.orders.append(message)

    def start(self) -> None:
        self.steps.append("start")
        if self.fails_with is not None:
            raise self.fails_with

    def close(self) -> None:
        self.steps.append("close")


@pytest.fixture(autouse=True)
def import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what a run adds to it."""
    monkeypatch.setattr(sys, "path", list(sys.path))


def beamline(folder: Path, use: str = "inline:", **options: Any) -> Beamline:
    stream = {"transport": "zmq-pull", "address": "tcp://127.0.0.1:9999", "protocol": "stins"}
    return write_beamline(folder, use, {"det": stream}, **options)


@pytest.fixture
def run(tmp_path: Path) -> OrdersOnly:
    return OrdersOnly(beamline(tmp_path))


def report(**bad: list[list[bytes]]) -> dict[str, Any]:
    """Return what an ingester would report of two streams, of which some have shown bad messages."""
    return {"streams": [{"name": name, "bad_messages": bad.get(name, [])} for name in ("det", "scan")]}


# What it begins with ------------------------------------------------------------------------------------------------


def test_parameters_are_those_of_the_beamline_file_then_of_the_parameter_file_then_defaults(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    values = {"scale": "5", "fails_every": "3", "slip": "x"}
    (tmp_path / "values.json").write_text(json.dumps([{"name": name, "data": data} for name, data in values.items()]))
    given = beamline(tmp_path, parameters={"scale": 7}, pipeline={"parameter_file": "values.json"})
    assert OrdersOnly(given).parameters.data() == {"scale": b"7", "fails_every": b"3", "slip": b"x"}
    assert [text for text in caplog.messages if "slip" in text] == [
        "parameter slip is described by neither class: it has bytes but no value"
    ]
    assert OrdersOnly(beamline(tmp_path)).parameters.data() == {"scale": b"1", "fails_every": b"0"}


def test_a_value_that_does_not_fit_makes_no_run(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="scale"):
        OrdersOnly(beamline(tmp_path, parameters={"scale": "many"}))


def test_a_class_that_is_not_there_makes_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="NoSuchWorker"):
        OrdersOnly(beamline(tmp_path, analysis=(f"{ANALYSIS}:NoSuchWorker", f"{ANALYSIS}:OrderedReducer")))


def test_classes_are_found_beside_the_beamline_file_and_its_log_level_holds(tmp_path: Path) -> None:
    (tmp_path / "of_this_beamline.py").write_text(f"from {ANALYSIS} import OrderedReducer, OrderedWorker\n")
    names = ("of_this_beamline:OrderedWorker", "of_this_beamline:OrderedReducer")
    run = OrdersOnly(beamline(tmp_path, analysis=names, log={"level": "error"}))
    assert set(run.parameters.values) == {"scale", "fails_every"}
    assert str(tmp_path) in sys.path
    assert logging.getLogger().level == logging.ERROR


def test_slots_are_the_workers_of_the_beamline_file(tmp_path: Path) -> None:
    generic = frozenset({"generic"})
    assert OrdersOnly(beamline(tmp_path, "local:2")).slots == {"worker-0": generic, "worker-1": generic}


# Parameters ---------------------------------------------------------------------------------------------------------


def test_a_change_is_an_order_with_all_values_and_a_version_that_rises(run: OrdersOnly) -> None:
    expected = ParameterSet(run._describe(), {"scale": b"3"})
    assert run.set_parameter("scale", b"3") == (expected.content_hash, 1)
    assert run.set_parameter("fails_every", b"5")[1] == 2
    assert run.orders == [
        SetValues(1, {"scale": b"3", "fails_every": b"0"}),
        SetValues(2, {"scale": b"3", "fails_every": b"5"}),
    ]
    assert run.parameters.values["fails_every"].value == 5


def test_a_change_that_does_not_fit_is_no_order_and_takes_no_version(run: OrdersOnly) -> None:
    before = run.parameters.content_hash
    with pytest.raises(ParameterError, match="scale"):
        run.set_parameter("scale", b"many")
    assert run.orders == []
    assert run.parameters.content_hash == before
    assert run.set_parameter("scale", b"2")[1] == 1


def test_a_name_that_nothing_describes_is_kept_as_bytes(run: OrdersOnly) -> None:
    run.set_parameter("mask_file", b"\x00\xff")
    assert run.orders == [SetValues(1, {"scale": b"1", "fails_every": b"0", "mask_file": b"\x00\xff"})]


def test_changes_of_several_threads_are_ordered_as_their_versions(tmp_path: Path) -> None:
    class Interrupted(OrdersOnly):
        """Another thread wants to change a value while the first change is on its way."""

        other: threading.Thread | None = None

        def _command(self, message: BeginScan | StopScan | SetValues) -> None:
            if self.other is None:
                self.other = threading.Thread(target=self.set_parameter, args=("fails_every", b"9"))
                self.other.start()
                self.other.join(0.2)  # without a lock it would be over by then
            super()._command(message)

    run = Interrupted(beamline(tmp_path))
    content_hash, version = run.set_parameter("scale", b"2")
    assert version == 1
    assert content_hash == ParameterSet(run._describe(), {"scale": b"2"}).content_hash
    assert run.other is not None
    run.other.join(LIMIT_S)
    assert run.orders == [
        SetValues(1, {"scale": b"2", "fails_every": b"0"}),
        SetValues(2, {"scale": b"2", "fails_every": b"9"}),
    ]


# Scans --------------------------------------------------------------------------------------------------------------


def test_every_scan_that_is_ordered_has_an_identity_of_its_own(run: OrdersOnly) -> None:
    first = run.begin_scan(b"a map", all_wrap=True)
    second = run.begin_scan(b"another", all_wrap=False)
    assert run.orders == [BeginScan(first, b"a map", True), BeginScan(second, b"another", False)]
    assert str(uuid.UUID(first)) == first != second


def test_a_stop_says_whether_it_is_the_last_and_whether_to_insist(run: OrdersOnly) -> None:
    run.stop_scan()
    run.stop_scan(last=True)
    run.stop_scan(insist=True)
    assert run.orders == [StopScan(False, False), StopScan(True, False), StopScan(False, True)]


# What the engine reports --------------------------------------------------------------------------------------------


def test_the_newest_report_is_kept_and_the_bad_messages_of_the_ones_before(run: OrdersOnly) -> None:
    assert (run.report, run.bad_messages) == ({}, {})
    run._take_report(report(det=[[b"x"]]))
    newest = report(scan=[[b"y", b"z"]])
    run._take_report(newest)
    assert run.report is newest
    assert run.bad_messages == {"det": [[b"x"]], "scan": [[b"y", b"z"]]}
    run._take_report(report(det=[[b"x"], [b"w"]]))
    assert run.bad_messages["det"] == [[b"x"], [b"w"]]


def test_who_waits_for_a_report_is_woken_up_by_it(run: OrdersOnly) -> None:
    waits, seen = threading.Event(), []

    def wait() -> None:
        with run._reported:
            waits.set()
            seen.append(run._reported.wait_for(lambda: run.report, LIMIT_S))

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert waits.wait(LIMIT_S)
    run._take_report(report())  # takes the lock, which is free only while the other waits
    waiting.join(LIMIT_S / 2)
    assert not waiting.is_alive()
    assert seen == [run.report]


def test_failures_and_remarks_are_those_of_the_log(run: OrdersOnly, caplog: pytest.LogCaptureFixture) -> None:
    run._log.take("worker-0", [Failure(4, "W.process_event", "ValueError: no", "")], 3)
    run._log.remark("a worker has died")
    assert run.failures == ["worker-0: W.process_event raised at event 4: ValueError: no"]
    assert run.n_failures == {"worker-0": 3}
    assert run.remarks == ["a worker has died"]


# Start and end ------------------------------------------------------------------------------------------------------


def test_a_run_is_started_and_closed_once(run: OrdersOnly) -> None:
    assert run.steps == []
    with run as entered:
        assert entered is run
        assert run.steps == ["start"]
    assert run.steps == ["start", "close"]


def test_an_error_within_closes_the_run_and_is_seen(run: OrdersOnly) -> None:
    with pytest.raises(RuntimeError, match="the operator's script"), run:
        raise RuntimeError("the operator's script")
    assert run.steps == ["start", "close"]


@pytest.mark.parametrize("error", [UsageError("the port is taken"), KeyboardInterrupt()])
def test_a_start_that_fails_closes_what_was_begun(tmp_path: Path, error: BaseException) -> None:
    run = OrdersOnly(beamline(tmp_path), fails_with=error)
    with pytest.raises(type(error)) as caught, run:
        pass
    assert caught.value is error
    assert run.steps == ["start", "close"]
