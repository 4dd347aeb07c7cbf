"""The scan of a live run: which values it begins with and changes to, which maps it refuses, what control is told."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from glimt.engines.admission import Admission
from glimt.engines.current_scan import CurrentScan
from glimt.engines.event_block import unpack_head
from glimt.engines.event_queue import EventQueue
from glimt.engines.live_messages import BeginScan, Report, ScanStart, SetValues, encode
from glimt.engines.scan_dispatch import ScanDispatch
from stins_intake import GENERIC, Bench, end, entries, image, series, start

SLOT = "worker-0"
QUEUE_BYTES = 1 << 20
VALUES = {"till": b"1", "scale": b"2"}


class Run:
    """A run with one worker, as far as its loop has to do with the scan; the worker works when it is told to."""

    def __init__(self, *, automatic: bool = True, version: int = 0, **building: Any) -> None:
        self.bench = Bench(automatic=automatic, **building)
        self.queue = EventQueue(QUEUE_BYTES, None)
        self.admission = Admission(self.bench.intake, self.queue, lambda: None)
        self.given = dict(VALUES)
        self.scan = CurrentScan(self.bench.intake, self.admission, self.given, version)
        self.dispatch: ScanDispatch | None = None
        self._sent: list[int] = []

    def begin(self, number: int = 1, scan_id: str = "scan-1") -> ScanStart:
        """Begin a scan."""
        told = self.scan.begin(number, scan_id)
        self.dispatch = ScanDispatch(
            number,
            scan_id,
            slots={SLOT: GENERIC[0]},
            ledgers=self.bench.ledgers,
            queue=self.queue,
            send=lambda slot, parts: self._sent.append(unpack_head(parts[1]).number),
            use_version=lambda slot, version: None,
            void=lambda serials: None,
        )
        self.dispatch.connect(SLOT)
        return told

    def come(self, *messages: list[bytes]) -> None:
        """Let messages come in, and give their events to the scan."""
        assert self.dispatch is not None
        source = self.bench.sources[0]
        source.messages.extend(messages)
        while source.messages:
            self.bench.intake.read(0, self.bench.now)
            self.admission.take_events(self.dispatch)
        self.admission.take_events(self.dispatch)  # a stop may have completed some

    def work(self) -> None:
        """Let the worker do all that waits."""
        dispatch = self.dispatch
        assert dispatch is not None
        while dispatch.n_waiting:
            dispatch.credit(SLOT, 100, QUEUE_BYTES, -1)
            dispatch.dispatch()
            for number in self._sent:
                dispatch.acknowledge(number, [], keeps_frames=False)
            self._sent.clear()
            dispatch.settle()

    def end(self, now_ns: int = 17) -> None:
        """End the scan as its loop does."""
        dispatch, self.dispatch = self.dispatch, None
        self.scan.end(dispatch, now_ns)
        self.admission.end_scan(now_ns)

    def state(self, **said: Any) -> dict[str, Any]:
        """Return what control is told; it must get through the wire as it is."""
        given: dict[str, Any] = {"is_finishing": False, "output_problem": "", "polled": ()} | said
        state = self.scan.state(self.dispatch, given.pop("polled"), **given)
        assert msgspec.msgpack.decode(encode(Report(state)))["state"] == state
        return state

    def open_map(self, parts: Any, scan_id: str = "asked", *, all_wrap: bool = True, **said: Any) -> bool:
        """Ask for a scan with a trigger map, given as bytes or as its streams."""
        given = parts if isinstance(parts, bytes) else json.dumps(parts).encode()
        options: dict[str, Any] = {"is_running": False, "slots": GENERIC} | said
        return self.scan.open_map(BeginScan(scan_id, given, all_wrap), options.pop("slots"), **options)


# Parameters ---------------------------------------------------------------------------------------------------------


def test_a_scan_begins_with_the_values_of_the_run_and_says_which_version_they_are() -> None:
    run = Run(version=5)
    assert run.begin(1_000_001, "one") == ScanStart(1_000_001, "one", 5, VALUES)
    assert run.scan.changes == [(0, VALUES)]
    assert run.state()["bound"] == [5, 0]


def test_values_belong_to_who_has_them() -> None:
    run = Run()
    run.given["till"] = b"changed by the one who gave them"
    run.begin().data["till"] = b"changed by the one who was told"
    assert run.begin(2, "two").data == VALUES
    assert run.scan.changes == [(0, VALUES)]


def test_values_that_come_before_a_scan_are_those_it_begins_with() -> None:
    run = Run()
    newer = VALUES | {"till": b"9"}
    assert run.scan.set_values(SetValues(3, newer), run.dispatch) is None
    assert run.state()["bound"] == [3, 0]
    assert run.begin() == ScanStart(1, "scan-1", 3, newer)
    assert run.scan.changes == [(0, newer)]


def test_values_that_come_in_a_scan_hold_from_the_event_behind_the_last() -> None:
    run = Run()
    run.begin()
    first = VALUES | {"till": b"9"}
    assert run.scan.set_values(SetValues(1, first), run.dispatch) == 0
    run.come(start(), image(0), image(1))
    second = first | {"scale": b"8"}
    assert run.scan.set_values(SetValues(2, second), run.dispatch) == 3
    assert run.state()["bound"] == [2, 3]
    assert run.scan.changes == [(0, VALUES | {"till": b"9"}), (3, {"scale": b"8"})]


def test_changes_can_be_asked_for_until_the_next_scan_begins_which_has_its_own() -> None:
    run = Run()
    run.begin()
    run.come(*series(2))
    newer = VALUES | {"till": b"9"}
    run.scan.set_values(SetValues(1, newer), run.dispatch)
    run.work()
    run.end()
    assert run.scan.changes == [(0, VALUES), (4, {"till": b"9"})]
    assert run.state()["bound"] == [1, 4]
    assert run.begin(2, "scan-2").data == newer
    assert run.scan.changes == [(0, newer)]
    assert run.state()["bound"] == [1, 0]


# Trigger maps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("all_wrap", "n_events"), [(True, 5), (False, 3)])
def test_a_map_opens_the_intake_as_it_was_sent(all_wrap: bool, n_events: int) -> None:
    run = Run(automatic=False)
    assert run.open_map({"a": entries(3)}, all_wrap=all_wrap)
    run.begin()
    state = run.state()
    assert (state["problem"], state["refused_scan_id"]) == ("", "")
    assert (state["total_events"], state["is_running"]) == (n_events, True)
    run.come(start(), image(0))
    assert run.state()["last_offered"] == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"{", "trigger map"),
        (b"\xff", "trigger map"),
        ({"other": entries(1)}, "other"),
        ({"a": [[{"tags": ["gpu"], "constraint": 0}]]}, "gpu"),
    ],
)
def test_a_map_that_cannot_begin_is_refused_with_its_scan_and_the_reason(given: Any, said: str) -> None:
    run = Run(automatic=False)
    assert not run.open_map(given, "refused")
    state = run.state()
    assert state["refused_scan_id"] == "refused"
    assert said in state["problem"]
    assert (state["n_scans"], state["scan_id"], state["is_running"]) == (0, "", False)
    assert run.bench.intake.builder is None


def test_tags_that_a_worker_offers_are_those_of_the_slots_that_are_given() -> None:
    run = Run(automatic=False)
    assert run.open_map({"a": [[{"tags": ["gpu"], "constraint": 0}]]}, slots=iter([frozenset({"gpu", "generic"})]))


def test_a_map_for_a_run_that_takes_none_is_refused() -> None:
    run = Run()
    assert not run.open_map({"a": entries(1)})
    assert "automatic" in run.state()["problem"]


def test_a_map_that_comes_while_a_scan_runs_is_refused_and_the_scan_goes_on() -> None:
    run = Run(automatic=False)
    assert run.open_map({"a": entries(3)}, "first")
    run.begin(1, "first")
    run.come(start(), image(0))
    assert not run.open_map({"a": entries(9)}, "second", is_running=True)
    state = run.state()
    assert (state["scan_id"], state["refused_scan_id"], state["total_events"]) == ("first", "second", 5)
    assert "a scan is running" in state["problem"]
    run.come(image(1), image(2), end(3))
    assert run.state()["n_closed"] == 5
    assert run.bench.intake.is_ended


def test_no_map_begins_a_scan_after_the_last_stop() -> None:
    run = Run(automatic=False)
    run.bench.intake.stop(run.bench.now, last=True)
    assert not run.open_map({"a": entries(1)}, "late")
    state = run.state()
    assert state["refused_scan_id"] == "late"
    assert state["problem"] == "the run is ending: no scan begins any more"
    assert run.bench.intake.builder is None


def test_a_map_that_begins_ends_the_problem_of_the_one_before() -> None:
    run = Run(automatic=False)
    assert not run.open_map(b"{", "refused")
    assert run.open_map({"a": entries(1)}, "taken")
    run.begin(1, "taken")
    state = run.state()
    assert (state["problem"], state["scan_id"]) == ("", "taken")


# What control is told -----------------------------------------------------------------------------------------------


def test_before_the_first_scan_there_is_nothing_to_tell_of_one() -> None:
    state = Run().state()
    assert (state["n_scans"], state["scan_id"], state["is_running"]) == (0, "", False)
    assert "n_finished" not in state
    assert [stream["name"] for stream in state["streams"]] == ["a"]


def test_the_state_counts_the_events_of_the_scan_that_runs() -> None:
    run = Run()
    run.begin(7, "seven")
    run.come(start(), image(0))
    run.work()
    run.come(image(1))
    state = run.state()
    assert (state["n_scans"], state["scan"], state["scan_id"], state["is_running"]) == (1, 7, "seven", True)
    assert (state["n_offered"], state["n_finished"], state["n_waiting"], state["n_closed"]) == (3, 2, 1, 3)
    assert (state["ended_ns"], state["total_events"]) == (None, None)
    assert state["streams"][0]["ledger"]["reduced"] == 2
    assert state["queue"]["limit_bytes"] == QUEUE_BYTES
    assert state["queue"]["used_bytes"] == run.queue.used_bytes > 0


def test_how_far_a_scan_came_is_told_until_the_next_one_begins() -> None:
    run = Run()
    run.begin(1, "one")
    run.come(*series(2))
    run.work()
    run.end(1234)
    state = run.state()
    assert (state["is_running"], state["scan"], state["scan_id"]) == (False, 1, "one")
    assert (state["n_finished"], state["last_offered"], state["ended_ns"]) == (4, 3, 1234)
    run.begin(2, "two")
    state = run.state()
    assert (state["n_scans"], state["scan"], state["scan_id"], state["ended_ns"]) == (2, 2, "two", None)
    assert (state["n_finished"], state["last_offered"]) == (0, -1)


def test_a_scan_of_which_no_event_was_offered_leaves_what_was_told_of_the_one_before() -> None:
    run = Run()
    run.begin()
    run.come(*series(1))
    run.work()
    run.end(1234)
    run.end(5678)
    assert (run.state()["n_finished"], run.state()["ended_ns"]) == (3, 1234)


def test_what_the_loop_knows_is_told_as_it_says() -> None:
    run = Run()
    state = run.state(is_finishing=True, output_problem="the disk is full", address="tcp://127.0.0.1:1", polled={0})
    assert (state["is_finishing"], state["output_problem"], state["address"]) == (
        True, "the disk is full", "tcp://127.0.0.1:1",
    )  # fmt: skip
    assert state["streams"][0]["is_read"]
    state = run.state()
    assert (state["is_finishing"], state["output_problem"], state["address"]) == (False, "", "")
    assert not state["streams"][0]["is_read"]


@pytest.mark.parametrize("last", [False, True])
def test_a_stop_is_told_and_that_it_is_the_last(last: bool) -> None:
    run = Run()
    run.begin()
    run.come(start(), image(0))
    run.bench.intake.stop(run.bench.now, last=last)
    assert (run.state()["is_stopping"], run.state()["is_closed"]) == (True, last)
    run.come()
    run.work()
    run.end()
    assert (run.state()["is_stopping"], run.state()["is_closed"]) == (False, last)


def test_examples_of_bad_messages_are_told_once() -> None:
    run = Run()
    run.begin()
    run.come([b"\xff\xfe"])
    assert run.state()["streams"][0]["bad_messages"] == [[b"\xff\xfe"]]
    assert run.state()["streams"][0]["bad_messages"] == []
    run.come([b"{}"])
    assert run.state()["streams"][0]["bad_messages"] == [[b"\xff\xfe"], [b"{}"]]
