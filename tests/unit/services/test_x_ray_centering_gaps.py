"""Scans of which images are missing: aborted, tolerated, provisional; and clocks that are set meanwhile."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from centering_scans import (
    ABORT_STEP,
    LINE,
    LINE_GRID,
    MINUS_45,
    OUTPUT_WITH_PROVISIONAL,
    PAIR_GRID,
    PLUS_45,
    PROVISIONAL_STEP,
    SUCCESS_STEP,
    VERTICAL,
    VERTICAL_GRID,
    gridinfo,
    image_step,
    scan_steps,
)
from centering_service import Make, identities_of, results_of
from service_steps import sent
from set_clock import Clock


def test_images_that_never_come_abort_the_scan_once(make: Make, clock: Clock) -> None:
    service = make(missing_after_s=60.0)
    service.handle_batch(scan_steps(VERTICAL[:20], grid=VERTICAL_GRID))
    clock.now += 59
    assert service.idle() == []
    clock.now += 2
    (step,) = service.idle()
    assert sent(step) == [(ABORT_STEP, {})]
    service.idle_done()
    assert service.idle() == []


def test_abort_that_was_not_sent_before_a_kill_is_sent_after_it(make: Make, clock: Clock) -> None:
    service = make(missing_after_s=60.0)
    service.handle_batch(scan_steps(VERTICAL[:20], grid=VERTICAL_GRID))
    clock.now += 61
    (step,) = service.idle()
    service = make(missing_after_s=60.0)
    (again,) = service.idle()
    assert identities_of([again]) == identities_of([step])
    service.idle_done()
    assert make().idle() == []


def test_time_in_which_the_service_did_not_run_does_not_count(make: Make, clock: Clock) -> None:
    make(missing_after_s=60.0).handle_batch(scan_steps(VERTICAL[:20], grid=VERTICAL_GRID))
    clock.now += 3600
    service = make(missing_after_s=60.0)
    assert service.idle() == []
    clock.now += 61
    assert len(service.idle()) == 1


def test_images_that_come_after_the_abort_still_complete_the_scan(make: Make, clock: Clock) -> None:
    service = make(missing_after_s=60.0)
    steps = scan_steps(VERTICAL, grid=VERTICAL_GRID)
    service.handle_batch(steps[:20])
    clock.now += 61
    service.idle()
    service.handle_batch(steps[20:])
    assert sent(steps[-1])[0][0] == SUCCESS_STEP


def test_tolerated_gap_gives_a_result_that_tells_of_it(make: Make, clock: Clock) -> None:
    service = make(missing_after_s=60.0, tolerate_missing=0.1)
    steps = scan_steps(VERTICAL, grid=VERTICAL_GRID)
    service.handle_batch(steps[:4] + steps[5:29])
    clock.now += 61
    (step,) = service.idle()
    ((target, message),) = sent(step)
    assert target == SUCCESS_STEP
    assert message["n_missing"] == 2
    assert message["results"][0]["max_count"] == 54.0
    late = image_step(5, 38, grid=VERTICAL_GRID)
    service.handle(late)
    assert sent(late) == []


def test_pair_with_tolerated_gaps_gives_a_result(make: Make, clock: Clock) -> None:
    service = make(missing_after_s=60.0, tolerate_missing=0.1)
    options = {"grid": PAIR_GRID, "experiment_type": "Mesh3D"}
    service.handle_batch(scan_steps(MINUS_45, dcid="1", run="a", **options))
    clock.now += 50
    service.handle_batch(scan_steps(PLUS_45[:120], dcid="2", dcg_dcids=[1], run="b", **options))
    clock.now += 20
    assert service.idle() == []  # the first is quiet for too long, but its partner is still coming
    clock.now += 50
    (step,) = service.idle()
    assert sent(step)[0][1]["n_missing"] == 6
    assert sent(step)[0][1]["results"][0]["max_voxel"] == [5, 4, 4]
    assert service.idle() == []


def test_scan_whose_partner_never_comes_is_aborted(make: Make, clock: Clock) -> None:
    service = make(missing_after_s=60.0, tolerate_missing=0.1)
    service.handle_batch(scan_steps(MINUS_45, grid=PAIR_GRID, experiment_type="Mesh3D"))
    clock.now += 61
    (step,) = service.idle()
    assert sent(step) == [(ABORT_STEP, {})]


def test_provisional_result_comes_once_and_before_the_final_one(make: Make) -> None:
    service = make(provisional_after=0.5)
    steps = scan_steps(VERTICAL, grid=VERTICAL_GRID, wires=OUTPUT_WITH_PROVISIONAL)
    for step in steps:
        service.handle(step)
    (first, provisional), (second, final) = results_of(steps)
    assert (first, second) == (PROVISIONAL_STEP, SUCCESS_STEP)
    assert sent(steps[14]) == [(first, provisional)]
    assert (provisional["status"], provisional["n_missing"]) == ("provisional", 15)
    assert provisional["results"][0]["centre_x"] == final["results"][0]["centre_x"]
    again = image_step(15, 0, grid=VERTICAL_GRID, wires=OUTPUT_WITH_PROVISIONAL)
    service.handle(again)
    assert identities_of([again]) == identities_of([steps[14]])


def test_pair_has_a_provisional_result_when_both_scans_are_far_enough(make: Make) -> None:
    service = make(provisional_after=0.8)
    options = {"grid": PAIR_GRID, "experiment_type": "Mesh3D", "wires": OUTPUT_WITH_PROVISIONAL}
    first = scan_steps(MINUS_45, dcid="1", run="a", **options)
    second = scan_steps(PLUS_45, dcid="2", dcg_dcids=[1], run="b", **options)
    service.handle_batch(first)
    service.handle_batch(second[:110])
    ((target, message),) = results_of(first + second)
    assert (target, message["status"], message["type"]) == (PROVISIONAL_STEP, "provisional", "3d")
    assert message["n_missing"] == 16


def test_recipe_that_wires_no_provisional_output_gets_none(make: Make) -> None:
    service = make(provisional_after=0.5)
    steps = scan_steps(VERTICAL, grid=VERTICAL_GRID, wires=2)
    for step in steps:
        service.handle(step)
    assert [target for target, _ in results_of(steps)] == [2]


def test_late_images_are_told_once_a_scan(make: Make, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    service = make()
    payloads = [{"file-number": n, "n_spots_total": 1, "file-seen-at": clock.now - 31.5} for n in range(1, 7)]
    with caplog.at_level(logging.WARNING):
        for payload in payloads:
            service.handle(image_step(payload["file-number"], 1, grid=gridinfo((3, 2)), payload=payload))
    (record,) = caplog.records
    assert "on i03 is late: an image came 31.5 s after its file was seen" in record.getMessage()


def test_ended_scans_are_forgotten_in_time(make: Make, clock: Clock, tmp_path: Path) -> None:
    service = make(keep_s=3600.0)
    service.handle_batch(scan_steps(VERTICAL, grid=VERTICAL_GRID))
    clock.now += 4000
    service.idle()
    again = scan_steps(VERTICAL, grid=VERTICAL_GRID)
    service.handle_batch(again)
    assert len(results_of(again)) == 1


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_clock_that_is_set_ends_no_scan(make: Make, clock: Clock, jump_s: float) -> None:
    service = make()
    steps = scan_steps(LINE, grid=LINE_GRID)
    clock.now += 1000
    service.handle_batch(steps[:6])
    clock.set(jump_s)
    assert service.idle() == []
    clock.now += 899
    assert service.idle() == []
    clock.now += 2
    assert [sent(step) for step in service.idle()] == [[(ABORT_STEP, {})]]
