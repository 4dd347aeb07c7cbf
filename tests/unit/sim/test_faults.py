"""What goes wrong on purpose is what the report says, and what a codec sees."""

from __future__ import annotations

import threading
from collections import Counter
from random import Random
from typing import Any

import msgspec
import pytest
from list_transport import ListTransport

from glimt.codecs import dectris_v1
from glimt.codecs.protocol import PacketKind
from glimt.codecs.registry import PROTOCOLS
from glimt.model.errors import DecodeError, UsageError
from glimt.sim.devices import DEVICES, make_device
from glimt.sim.faults import Choice, Faults, garbage, truncated
from glimt.sim.plan import SimulationPlan
from glimt.sim.report import SeriesReport, SimulationReport
from glimt.sim.simulation import Simulation

START, DATA, END = PacketKind.START, PacketKind.DATA, PacketKind.END


def some(*numbers: int) -> Choice:
    return Choice(numbers=frozenset(numbers))


class Run:
    """One simulation, and what a codec made of it."""

    def __init__(
        self, faults: Faults, *, name: str = "stins", n_frames: int = 20, n_series: int = 1, **options: Any
    ) -> None:
        if "shape" in DEVICES[name].options:
            options |= {"shape": (4, 4)}
        transport = ListTransport()
        plan = SimulationPlan(n_frames=n_frames, n_series=n_series, rate_hz=0)
        device = make_device(name, **options)
        self.report: SimulationReport = Simulation(device, transport, plan=plan, faults=faults).run(threading.Event())
        self.messages = transport.messages
        self.n_bad = 0
        self.kinds: list[PacketKind] = []
        self.numbers: list[int | None] = []
        assembler = PROTOCOLS[name].assembler()
        for message in self.messages:
            try:
                packets = assembler.push(message)
            except DecodeError:
                self.n_bad += 1
                continue
            self.kinds += [packet.kind for packet in packets]
            self.numbers += [packet.frame_number for packet in packets if packet.kind is DATA]

    @property
    def series(self) -> SeriesReport:
        return self.report.series[0]


NUMBERED = [name for name in DEVICES if name not in {"contrast", "pandabox-text"}]


@pytest.mark.parametrize("name", NUMBERED)
def test_every_fault_of_a_frame_is_what_the_report_says(name: str) -> None:
    faults = Faults(drop=some(2, 3), duplicate=some(5), truncate=some(7), garbage=some(9, 11))
    run = Run(faults, name=name)
    series = run.series
    assert series.dropped == [2, 3]
    assert series.duplicated == [5]
    assert series.truncated == [7]
    assert series.garbage == [9, 11]
    assert run.n_bad == 3
    assert run.numbers == sorted([*(set(range(20)) - {2, 3, 7, 9, 11}), 5])
    assert series.missing == [2, 3, 7, 9, 11]
    assert (series.n_made, series.n_sent, run.report.n_frames) == (20, 16, 16)


@pytest.mark.parametrize("name", ["contrast", "pandabox-text"])
def test_faults_of_unnumbered_protocols_change_how_many_points_come(name: str) -> None:
    run = Run(Faults(drop=some(2, 3), duplicate=some(5)), name=name)
    assert run.kinds.count(DATA) == 19 == run.series.n_sent


def test_damaged_lines_of_text_end_where_they_should() -> None:
    run = Run(Faults(truncate=some(7), garbage=some(9)), name="pandabox-text")
    assert run.kinds == [START, *[DATA] * 20, END]


def test_chances_are_kept_and_the_seed_decides() -> None:
    faults = Faults(drop=Choice(0.1), duplicate=Choice(0.05), seed=3)
    run, again = Run(faults, n_frames=5000), Run(faults, n_frames=5000)
    other = Run(Faults(drop=Choice(0.1), seed=4), n_frames=5000)
    assert len(run.series.dropped) == pytest.approx(500, rel=0.2)
    assert len(run.series.duplicated) == pytest.approx(225, rel=0.3)
    assert run.report.series == again.report.series
    assert run.series.dropped != other.series.dropped
    counts = Counter(run.numbers)
    assert sorted(number for number in range(5000) if counts[number] == 0) == run.series.dropped
    assert [number for number in range(5000) if counts[number] == 2] == run.series.duplicated


def test_one_more_fault_does_not_move_the_others() -> None:
    alone = Run(Faults(drop=Choice(0.1), seed=1), n_frames=1000)
    beside = Run(Faults(drop=Choice(0.1), garbage=Choice(0.3), jitter_ms=0.0, seed=1), n_frames=1000)
    assert alone.series.dropped == beside.series.dropped


def test_frames_change_places_within_the_distance_and_none_is_lost() -> None:
    run = Run(Faults(reorder=4, seed=2), n_frames=103)
    assert sorted(number for number in run.numbers if number is not None) == list(range(103))
    places = [(place, number) for place, number in enumerate(run.numbers) if number is not None]
    assert max(abs(place - number) for place, number in places) == 4
    highest, late = -1, []
    for _, number in places:
        if number < highest:
            late.append(number)
        highest = max(highest, number)
    assert run.series.reordered == late
    assert late
    message_numbers = [msgspec.json.decode(message[0])["msg_number"] for message in run.messages]
    assert sorted(message_numbers) == list(range(105))


def test_stale_frames_of_the_series_before_follow_the_header() -> None:
    run = Run(Faults(stale=3), name="dectris-v1", n_frames=5, n_series=2)
    assert [series.stale for series in run.report.series] == [[2, 3, 4], [2, 3, 4]]
    records = [dectris_v1.decode(message) for message in run.messages]
    assert [record.series for record in records] == [1, 0, 0, 0, *[1] * 6, 2, 1, 1, 1, *[2] * 6]
    assert run.kinds.count(PacketKind.OTHER) == 6
    assert run.numbers == [*range(5)] * 2
    assert run.report.n_frames == 10


def test_headers_and_ends_go_missing_or_come_twice() -> None:
    faults = Faults(missing_header=some(0), repeated_header=some(1), missing_end=some(2))
    run = Run(faults, n_frames=2, n_series=3)
    assert [(series.n_headers, series.end_sent) for series in run.report.series] == [(0, True), (2, True), (1, False)]
    assert run.kinds == [DATA, DATA, END, START, START, DATA, DATA, END, START, DATA, DATA]


def test_an_aborted_series_breaks_off_and_the_next_is_whole() -> None:
    run = Run(Faults(abort_after=3, abort=some(0)), n_frames=5, n_series=2)
    assert run.kinds == [START, *[DATA] * 3, START, *[DATA] * 5, END]
    assert [series.aborted for series in run.report.series] == [True, False]
    assert [series.n_made for series in run.report.series] == [3, 5]
    numbers = [msgspec.json.decode(message[0])["msg_number"] for message in run.messages]
    assert numbers == list(range(11))


def test_an_abort_may_come_before_the_first_frame_or_after_the_last() -> None:
    assert Run(Faults(abort_after=0), n_frames=5).kinds == [START]
    assert Run(Faults(abort_after=9), n_frames=5).kinds == [START, *[DATA] * 5, END]


def test_a_fault_takes_the_whole_message_of_several_triggers() -> None:
    run = Run(Faults(drop=some(5)), name="pandabox", n_frames=10, frames_per_message=4)
    assert run.series.dropped == [4, 5, 6, 7]
    assert run.numbers == [0, 1, 2, 3, 8, 9]
    assert run.series.n_made == 10


def test_a_lost_oscilloscope_event_leaves_its_number_out() -> None:
    run = Run(Faults(drop=some(1)), name="lecroy", n_frames=4)
    assert run.numbers == [0, 2, 3]


def test_a_stall_and_jitter_take_time_once() -> None:
    run = Run(Faults(stall_after=2, stall_s=0.05, jitter_ms=1.0), n_frames=5)
    assert run.series.stalled_after == 2
    assert 0.05 <= run.report.elapsed_s < 5.0


def test_the_report_is_json_with_every_touched_frame() -> None:
    run = Run(Faults(drop=some(1)), n_frames=3)
    values = msgspec.json.decode(run.report.to_json())
    assert values["series"][0]["dropped"] == [1]
    assert values["protocol"] == "stins"
    assert values["n_bytes"] == sum(len(part) for message in run.messages for part in message)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("0.25", Choice(0.25)),
        ("1.0", Choice(1.0)),
        ("1e-3", Choice(0.001)),
        ("all", Choice(1.0)),
        ("1", some(1)),
        ("3, 7,10-12", some(3, 7, 10, 11, 12)),
    ],
)
def test_choices_are_probabilities_or_numbers(text: str, choice: Choice) -> None:
    assert Choice.parse(text) == choice


@pytest.mark.parametrize("text", ["", ".", "1.5", "-1", "a", "1-", "1,,2", "0-99999999999", "nan", "1e5.", "١"])
def test_other_texts_are_no_choice(text: str) -> None:
    with pytest.raises(UsageError):
        Choice.parse(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"reorder": -1},
        {"stale": -1},
        {"abort_after": -1},
        {"stall_after": -2},
        {"jitter_ms": -1.0},
        {"stall_s": float("nan")},
    ],
)
def test_impossible_faults_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Faults(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rate_hz": float("inf")},
        {"n_series": -1},
        {"timeout_s": 0.0},
        {"trigger_delay_s": -1.0},
        {"series_gap_s": float("nan")},
        {"start_at": -5.0},
        {"first_series": -1},
    ],
)
def test_impossible_plans_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        SimulationPlan(**wrong)


def test_cut_and_replaced_lines_stay_lines() -> None:
    assert truncated(b"123456\n") == b"123\n"
    assert truncated(b"\n\n\n\n") == b"\n"
    assert truncated(b"{}") == b"{"
    line = garbage(Random(1), b"1 2\n")
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert b"\n" not in garbage(Random(1), b"{}")


def test_without_an_end_of_frames_the_schedule_goes_on() -> None:
    planned = Faults(reorder=2).schedule(0, None, 1)
    assert sorted(next(planned)[0] for _ in range(300)) == list(range(300))
