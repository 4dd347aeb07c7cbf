from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centering_scans import (
    ABORT_STEP,
    OUTPUT_WITH_PROVISIONAL,
    PROVISIONAL_STEP,
    SUCCESS_STEP,
    gridinfo,
    image_step,
    scan_steps,
)
from glimt.brokers.broker import Delivery
from glimt.model.errors import RejectedMessageError, RetryMessageError, UsageError
from glimt.model.recipe_envelope import Envelope
from glimt.services.recipe_step import RecipeStep
from glimt.services.service import ServiceSetup
from glimt.services.x_ray_centering import XRayCenteringService
from glimt.services.x_ray_centering_state import CenteringState
from service_steps import plain_step, sent

# Spot counts of real scans and what Diamond's service made of them: the vectors of dlstbx' own tests (BSD-3-Clause).
VERTICAL = [0, 0, 6, 54, 38, 0, 5, 41, 44, 5, 0, 0, 0, 0, 0, 3, 4, 1] + [0] * 12
VERTICAL_GRID = gridinfo((5, 6), microns_per_pixel=0.44, offset=(339.273, 236.727), orientation="vertical")
LINE = [0] * 9 + [1, 0, 1] + [0] * 12 + [1, 9, 20, 21, 21, 11, 3, 13, 35, 40, 45, 49, 53, 59, 75, 76, 78, 80, 75]
LINE += [78, 75, 79, 83, 86, 90, 94, 107, 114, 107, 99, 91, 86, 77, 73, 63, 52, 37, 22, 3] + [0] * 17
LINE_GRID = gridinfo(
    (1, 80), size_mm=(0.04, 0.01), microns_per_pixel=1.66, offset=(446.952, 123.036), orientation="vertical"
)
MESH = [1, 0, 0, 0, 0, 1, 0, 239, 29, 3, 4, 0, 1, 0, 5, 0, 190, 249, 230, 206, 190, 202, 190, 184, 208, 107]
MESH += [1, 0, 0, 0, 0, 236, 183, 193, 230]
MESH_GRID = gridinfo((7, 5), size_mm=(0.04, 0.04), microns_per_pixel=0.438, offset=(79.9863, 57.0822))
MINUS_45 = [0] * 49 + [4, 28, 19] + [0] * 6 + [10, 58, 87, 89, 52, 1, 0, 1] + [0] * 11
MINUS_45 += [2, 12, 32, 32, 22, 0, 0, 0, 2, 1, 0, 1]
MINUS_45 += [0] * (14 * 9 - len(MINUS_45))
PLUS_45 = [0] * 30 + [2, 6, 5, 1] + [0] * 15 + [6, 37, 51, 40, 20] + [0] * 4 + [11, 50, 72, 82, 41, 0, 0, 2]
PLUS_45 += [0] * 12 + [4, 8, 2, 1]
PLUS_45 += [0] * (14 * 9 - len(PLUS_45))
PAIR_GRID = gridinfo((14, 9))
PAIR_RESULT = {
    "max_voxel": [5, 4, 4],
    "max_count": 7298,
    "n_voxels": 9,
    "total_count": 33244,
    "bounding_box": [[3, 3, 3], [7, 6, 5]],
    "sample_id": 12345,
}

Make = Callable[..., XRayCenteringService]


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0
        self.set_by_s = 0.0

    def __call__(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now - self.set_by_s

    def set(self, by_s: float) -> None:
        """Set the clock; no time passes."""
        self.now += by_s
        self.set_by_s += by_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Iterator[Make]:
    made: list[XRayCenteringService] = []

    def make_service(**configuration: Any) -> XRayCenteringService:
        """Make a service on the state of the one before, which is gone."""
        if made:
            made.pop().close()
        state, data = tmp_path / "state", tmp_path / "data"
        state.mkdir(exist_ok=True)
        data.mkdir(exist_ok=True)
        made.append(
            XRayCenteringService(ServiceSetup(configuration, (data,), state), clock=clock, monotonic=clock.monotonic)
        )
        return made[-1]

    yield make_service
    for service in made:
        service.close()


def _results(steps: Any) -> list[tuple[int | None, Any]]:
    return [message for step in steps for message in sent(step)]


def _identities(steps: Any) -> list[str]:
    return [message.message_id for step in steps for message in step.outgoing]


def test_snaked_vertical_scan_gives_the_values_of_diamonds_service(make: Make) -> None:
    steps = scan_steps(VERTICAL, grid=VERTICAL_GRID, sample_id=7)
    make().handle_batch(steps)
    assert [sent(step) for step in steps[:-1]] == [[]] * 29
    ((target, message),) = sent(steps[-1])
    assert target == SUCCESS_STEP
    assert message.keys() == {"results", "status", "type"}
    assert (message["status"], message["type"]) == ("success", "2d")
    (result,) = message["results"]
    assert result == {
        "centre_of_mass": [1.0, 4.0],
        "max_voxel": [0, 3],
        "max_count": 54.0,
        "n_voxels": 4,
        "total_count": 177.0,
        "sample_id": 7,
        "steps": [5, 6],
        "box_size_px": [45.45454545454545, 45.45454545454545],
        "snapshot_offset": [339.273, 236.727],
        "centre_x": 384.72754545454546,
        "centre_y": 418.54518181818185,
        "centre_x_box": 1.0,
        "centre_y_box": 4.0,
        "status": "ok",
        "message": "ok",
        "best_image": 4,
        "reflections_in_best_image": 54,
        "best_region": [[3, 0], [3, 1], [4, 0], [4, 1]],
    }


@pytest.mark.parametrize(
    ("counts", "grid", "center_px", "center", "best"),
    [
        (LINE, LINE_GRID, [459.00019277108436, 412.1926265060241], [0.5, 48.0], (52, 114.0, 22, 1845.0)),
        (
            MESH,
            MESH_GRID,
            [530.0841473581213, 357.1474315720809],
            [4.928571428571429, 3.2857142857142856],
            (18, 249.0, 14, 2930.0),
        ),
    ],
)
def test_other_scans_give_the_values_of_diamonds_service(
    make: Make, counts: list[int], grid: Any, center_px: list[float], center: list[float], best: tuple[float, ...]
) -> None:
    steps = scan_steps(counts, grid=grid)
    service = make()
    for step in steps:
        service.handle(step)
    ((_, message),) = _results(steps)
    (result,) = message["results"]
    assert [result["centre_x"], result["centre_y"]] == center_px
    assert result["centre_of_mass"] == center
    assert tuple(result[name] for name in ("best_image", "max_count", "n_voxels", "total_count")) == best


def test_pair_of_scans_gives_the_values_of_diamonds_service(make: Make) -> None:
    service = make()
    options = {"grid": PAIR_GRID, "experiment_type": "Mesh3D", "sample_id": 12345}
    first = scan_steps(MINUS_45, dcid="1", dcg_dcids=[], run="run-1", **options)
    second = scan_steps(PLUS_45, dcid="2", dcg_dcids=[1], run="run-2", **options)
    service.handle_batch(first)
    assert _results(first) == []
    service.handle_batch(second)
    ((target, message),) = sent(second[-1])
    assert (target, message["status"], message["type"]) == (SUCCESS_STEP, "success", "3d")
    (result,) = message["results"]
    assert result.pop("centre_of_mass") == pytest.approx((4.858891830104681, 4.500240644928408, 4.197689808687282))
    assert result == PAIR_RESULT


def test_pair_is_found_whichever_scan_is_complete_first_and_whichever_names_the_other(make: Make) -> None:
    options = {"grid": PAIR_GRID, "experiment_type": "Mesh3D", "sample_id": "12345"}
    first = scan_steps(MINUS_45, dcid="1", dcg_dcids=None, run="run-1", **options)
    second = scan_steps(PLUS_45, dcid="2", dcg_dcids="[1, 2]", run="run-2", **options)
    service = make()
    service.handle_batch(second)
    service.handle_batch(first[:100])
    service.handle_batch(first[100:])
    ((_, message),) = _results(first + second)
    assert message["results"][0]["max_voxel"] == PAIR_RESULT["max_voxel"]
    assert message["results"][0]["total_count"] == PAIR_RESULT["total_count"]


def test_pair_in_one_batch_is_answered_once(make: Make) -> None:
    options = {"grid": PAIR_GRID, "experiment_type": "Mesh3D"}
    steps = scan_steps(MINUS_45, dcid="1", run="a", **options) + scan_steps(PLUS_45, dcid="2", dcg_dcids=[1], **options)
    make().handle_batch(steps)
    assert len(_results(steps)) == 1


def test_pair_that_is_scanned_again_is_not_mixed_with_the_old_one(make: Make) -> None:
    options = {"grid": PAIR_GRID, "experiment_type": "Mesh3D"}
    service = make()
    service.handle_batch(scan_steps(MINUS_45, dcid="1", run="a1", **options))
    service.handle_batch(scan_steps(PLUS_45, dcid="2", dcg_dcids=[1], run="b1", **options))
    again = scan_steps([0] * 126, dcid="1", run="a2", **options)
    service.handle_batch(again)
    assert _results(again) == []
    partner = scan_steps(PLUS_45, dcid="2", dcg_dcids=[1], run="b2", **options)
    service.handle_batch(partner)
    ((_, message),) = _results(partner)
    assert message == {"results": [], "status": "success", "type": "3d"}


def test_scan_of_a_group_that_is_no_pair_is_centered_alone(make: Make) -> None:
    steps = scan_steps(VERTICAL, grid=VERTICAL_GRID, dcg_dcids=[5, 6])
    make().handle_batch(steps)
    assert sent(steps[-1])[0][1]["type"] == "2d"


def test_absolute_threshold_of_the_recipe_counts(make: Make) -> None:
    options = {"grid": PAIR_GRID, "experiment_type": "Mesh3D", "threshold": "0.05", "threshold_absolute": "5"}
    service = make()
    service.handle_batch(scan_steps(MINUS_45, dcid="1", **options))
    steps = scan_steps(PLUS_45, dcid="2", dcg_dcids=[1], **options)
    service.handle_batch(steps)
    (result,) = sent(steps[-1])[0][1]["results"]
    assert (result["n_voxels"], result["total_count"]) == (20, 44128.0)
    assert result["bounding_box"] == [[2, 3, 2], [7, 6, 6]]


def test_samples_of_a_multi_sample_pin_are_told_apart(make: Make) -> None:
    options = {
        "grid": gridinfo((12, 1)),
        "experiment_type": "Mesh3D",
        "loop_type": "multipin_3x80+40",
        "msp_sample_ids": {"1": 12345, "2": 12346, "3": 12347},
    }
    service = make()
    service.handle_batch(scan_steps([0, 3, 3, 0, 0, 20, 10, 0, 0, 1, 0, 1], dcid="1", **options))
    steps = scan_steps([0, 3, 3, 0, 0, 10, 10, 0, 0, 1, 1, 1], dcid="2", dcg_dcids=[1], **options)
    service.handle_batch(steps)
    strong, weak = sent(steps[-1])[0][1]["results"]
    assert (strong["max_voxel"], strong["max_count"], strong["total_count"]) == ([5, 0, 0], 200.0, 300.0)
    assert (weak["max_voxel"], weak["max_count"], weak["total_count"]) == ([1, 0, 0], 9.0, 18.0)
    assert (strong["sample_id"], weak["sample_id"]) == (12346, 12345)


def test_sample_of_a_single_scan_is_the_one_of_the_well_along_the_pin(make: Make) -> None:
    steps = scan_steps(
        [0, 0, 0, 9],
        grid=gridinfo((4, 1)),
        loop_type="multipin_2x40+20",
        msp_sample_ids={"1": 11, "2": 12},
        sample_id=11,
    )
    make().handle_batch(steps)
    assert sent(steps[-1])[0][1]["results"][0]["sample_id"] == 12


def test_scan_without_diffraction_is_a_success_that_says_fail(make: Make) -> None:
    steps = scan_steps([0] * 30, grid=VERTICAL_GRID)
    make().handle_batch(steps)
    message = sent(steps[-1])[0][1]
    assert message["status"] == "success"
    assert (message["results"][0]["status"], message["results"][0]["message"]) == ("fail", "No good images found")


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_to_service_and_messages_one_result_comes_and_it_is_right(make: Make, seed: int) -> None:
    chance = random.Random(seed)
    service = make()
    queue = [(number, value) for number, value in enumerate(VERTICAL, 1)]
    chance.shuffle(queue)
    seen: dict[str, Any] = {}
    while queue:
        batch = [queue.pop() for _ in range(min(chance.randint(1, 9), len(queue)))]
        steps = [image_step(number, value, grid=VERTICAL_GRID) for number, value in batch]
        service.handle_batch(steps)
        if chance.random() < 0.3:  # killed between its own commit and the acknowledgement: all of the batch comes again
            service = make()
            queue.extend(batch)
            chance.shuffle(queue)
            continue
        if chance.random() < 0.2:  # a message twice, though it was acknowledged
            queue.append(chance.choice(batch))
        for identity, result in zip(_identities(steps), _results(steps), strict=True):
            assert seen.setdefault(identity, result) == result
    assert len(seen) == 1
    ((target, message),) = seen.values()
    assert target == SUCCESS_STEP
    assert message["results"][0]["centre_x"] == 384.72754545454546


def test_message_that_completed_a_scan_is_answered_the_same_when_it_comes_again(make: Make) -> None:
    service = make()
    steps = scan_steps(VERTICAL, grid=VERTICAL_GRID)
    service.handle_batch(steps)
    service = make()
    again = scan_steps(VERTICAL, grid=VERTICAL_GRID)
    random.Random(1).shuffle(again)
    service.handle_batch(again)
    assert _identities(again) == _identities(steps)
    assert _results(again) == _results(steps)


def test_first_value_of_an_image_stays(make: Make) -> None:
    service = make()
    service.handle_batch(scan_steps(VERTICAL[:29], grid=VERTICAL_GRID))
    service.handle(image_step(4, 999, grid=VERTICAL_GRID, message_id="once-more"))
    last = image_step(30, 0, grid=VERTICAL_GRID)
    service.handle(last)
    assert sent(last)[0][1]["results"][0]["max_count"] == 54.0


def test_collection_that_is_analyzed_again_gets_another_result(make: Make) -> None:
    service = make()
    service.handle_batch(scan_steps(VERTICAL, grid=VERTICAL_GRID, run="one"))
    again = scan_steps([2 * count for count in VERTICAL], grid=VERTICAL_GRID, run="two")
    service.handle_batch(again)
    assert sent(again[-1])[0][1]["results"][0]["max_count"] == 108.0


def test_result_files_are_those_of_diamond(make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "data" / "processed" / "thau_1" / "guid" / "xray-centering"
    steps = scan_steps(
        VERTICAL,
        grid=VERTICAL_GRID,
        output=str(folder / "Dials5AResults.json"),
        log=str(folder / "Dials5AResults.log"),
        results_symlink="xray-centering",
    )
    make().handle_batch(steps)
    written = json.loads((folder / "Dials5AResults.json").read_text())
    assert written == sent(steps[-1])[0][1]["results"][0]
    assert "There are 54 reflections in image #4." in (folder / "Dials5AResults.log").read_text()
    link = tmp_path / "data" / "processed" / "thau_1" / "xray-centering"
    assert link.readlink() == Path("guid/xray-centering")
    assert (link / "Dials5AResults.json").is_file()
    assert sorted(path.name for path in folder.iterdir()) == ["Dials5AResults.json", "Dials5AResults.log"]


def test_file_that_cannot_be_written_leaves_the_scan_open_until_it_can(make: Make, tmp_path: Path) -> None:
    service = make()
    log = tmp_path / "data" / "results" / "xrc.log"
    log.parent.write_text("a file where a folder should be")
    steps = scan_steps(VERTICAL, grid=VERTICAL_GRID, log=str(log))
    service.handle_batch(steps[:-1])
    with pytest.raises(RetryMessageError, match=r"xrc\.log"):
        service.handle(steps[-1])
    log.parent.unlink()
    service.handle(steps[-1])
    assert len(_results(steps)) == 1
    assert log.is_file()


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
    assert _identities([again]) == _identities([step])
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
    (first, provisional), (second, final) = _results(steps)
    assert (first, second) == (PROVISIONAL_STEP, SUCCESS_STEP)
    assert sent(steps[14]) == [(first, provisional)]
    assert (provisional["status"], provisional["n_missing"]) == ("provisional", 15)
    assert provisional["results"][0]["centre_x"] == final["results"][0]["centre_x"]
    again = image_step(15, 0, grid=VERTICAL_GRID, wires=OUTPUT_WITH_PROVISIONAL)
    service.handle(again)
    assert _identities([again]) == _identities([steps[14]])


def test_pair_has_a_provisional_result_when_both_scans_are_far_enough(make: Make) -> None:
    service = make(provisional_after=0.8)
    options = {"grid": PAIR_GRID, "experiment_type": "Mesh3D", "wires": OUTPUT_WITH_PROVISIONAL}
    first = scan_steps(MINUS_45, dcid="1", run="a", **options)
    second = scan_steps(PLUS_45, dcid="2", dcg_dcids=[1], run="b", **options)
    service.handle_batch(first)
    service.handle_batch(second[:110])
    ((target, message),) = _results(first + second)
    assert (target, message["status"], message["type"]) == (PROVISIONAL_STEP, "provisional", "3d")
    assert message["n_missing"] == 16


def test_recipe_that_wires_no_provisional_output_gets_none(make: Make) -> None:
    service = make(provisional_after=0.5)
    steps = scan_steps(VERTICAL, grid=VERTICAL_GRID, wires=2)
    for step in steps:
        service.handle(step)
    assert [target for target, _ in _results(steps)] == [2]


def test_other_metric_is_centered_on(make: Make) -> None:
    service = make(metric="total_intensity")
    payloads = [{"file-number": n, "n_spots_total": 0, "total_intensity": str(n % 3)} for n in range(1, 7)]
    steps = [image_step(p["file-number"], 0, grid=gridinfo((3, 2)), payload=p) for p in payloads]
    service.handle_batch(steps)
    assert sent(steps[-1])[0][1]["results"][0]["max_count"] == 2.0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"payload": {"file-number": 0, "n_spots_total": 1}}, "file-number"),
        ({"payload": {"file-number": 31, "n_spots_total": 1}}, "file-number is 31"),
        ({"payload": {"file-number": "one", "n_spots_total": 1}}, "file-number"),
        ({"payload": {"n_spots_total": 1}}, "file-number"),
        ({"payload": {"file-number": 1}}, "no n_spots_total"),
        ({"payload": {"file-number": 1, "n_spots_total": -1}}, "n_spots_total is '-1'"),
        ({"payload": {"file-number": 1, "n_spots_total": None}}, "n_spots_total is 'None'"),
        ({"payload": {"file-number": 1, "n_spots_total": True}}, "n_spots_total is 'True'"),
        ({"payload": {"file-number": 1, "n_spots_total": float("nan")}}, "n_spots_total is 'nan'"),
        ({"payload": {"file-number": 1, "n_spots_total": 1, "file-seen-at": -1}}, "file-seen-at"),
        ({"grid": None}, "gridinfo"),
        ({"grid": {**VERTICAL_GRID, "steps_x": -5}}, "steps"),
        ({"grid": {**VERTICAL_GRID, "micronsPerPixelX": 0}}, "micronsPerPixelX"),
        ({"grid": {**VERTICAL_GRID, "orientation": "diagonal"}}, "orientation"),
        ({"dcid": "{ispyb_dcid}"}, "dcid"),
        ({"dcid": 0}, "dcid"),
        ({"dcid": None}, "dcid"),
        ({"dcg_dcids": "five"}, "dcg_dcids"),
        ({"dcg_dcids": [2, 3], "experiment_type": "Mesh3D"}, "names 2 other scans"),
        ({"threshold": 0}, "threshold"),
        ({"loop_type": "multipin_x"}, "multipin"),
        ({"log": "/etc/passwd"}, "outside the folders"),
        ({"log": "somewhere.log"}, "absolute"),
        ({"results_symlink": "../elsewhere"}, "results_symlink"),
    ],
)
def test_message_that_makes_no_sense_is_rejected_with_the_reason(
    make: Make, change: dict[str, Any], complaint: str
) -> None:
    options: dict[str, Any] = {"grid": VERTICAL_GRID, **change}
    with pytest.raises(RejectedMessageError, match=complaint):
        make().handle(image_step(1, 1, **options))


def test_bad_message_in_a_batch_leaves_nothing_of_the_batch_behind(make: Make) -> None:
    service = make()
    good = scan_steps(VERTICAL, grid=VERTICAL_GRID)
    with pytest.raises(RejectedMessageError):
        service.handle_batch([*good, image_step(99, 1, grid=VERTICAL_GRID)])
    assert _results(good) == []
    service.handle_batch(good)
    assert len(_results(good)) == 1


def test_message_of_no_recipe_is_rejected(make: Make) -> None:
    with pytest.raises(RejectedMessageError, match="no recipe"):
        make().handle(plain_step({"file-number": 1, "n_spots_total": 1}))


def test_scans_that_do_not_fit_together_are_rejected_at_the_last_message(make: Make) -> None:
    service = make()
    service.handle_batch(scan_steps([1] * 6, dcid="1", grid=gridinfo((3, 2)), experiment_type="Mesh3D"))
    steps = scan_steps([1] * 4, dcid="2", grid=gridinfo((2, 2)), experiment_type="Mesh3D", dcg_dcids=[1])
    with pytest.raises(RejectedMessageError, match="data collections 1 and 2"):
        service.handle_batch(steps)


def test_grid_of_another_size_for_the_same_run_is_rejected(make: Make) -> None:
    service = make()
    service.handle(image_step(1, 1, grid=VERTICAL_GRID))
    with pytest.raises(RejectedMessageError, match="has 6 images here, but had 30"):
        service.handle(image_step(2, 1, grid=gridinfo((3, 2))))


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
    assert len(_results(again)) == 1


def test_several_thousand_images_are_taken_in_a_few_batches(make: Make) -> None:
    service = make()
    values = np.random.default_rng(1).integers(0, 100, 4000).tolist()
    steps = scan_steps(values, grid=gridinfo((80, 50)))
    for start in range(0, 4000, service.batch):
        service.handle_batch(steps[start : start + service.batch])
    assert len(_results(steps)) == 1


@pytest.mark.parametrize(
    ("configuration", "complaint"),
    [
        ({"metrik": "n_spots_total"}, "metrik"),
        ({"tolerate_missing": 1.5}, "tolerate_missing"),
        ({"missing_after_s": "soon"}, "missing_after_s"),
    ],
)
def test_wrong_configuration_is_named(make: Make, configuration: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=rf"services\.x_ray_centering.*{complaint}"):
        make(**configuration)


def test_state_that_cannot_be_opened_says_where(tmp_path: Path) -> None:
    (tmp_path / "x_ray_centering.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(UsageError, match=r"x_ray_centering\.sqlite"):
        XRayCenteringService(ServiceSetup({}, (), tmp_path))


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


@pytest.mark.parametrize("n_together", [1, 10])
@pytest.mark.parametrize("is_identified", [True, False])
def test_equal_scans_of_runs_without_identity_each_have_a_result(
    make: Make, is_identified: bool, n_together: int
) -> None:
    service = make()
    grid = gridinfo((5, 2))
    scans = [scan_steps([0, 0, 7, value, *[0] * 6], grid=grid, run="") for value in (1, 1, 50)]
    for number, steps in enumerate(scans):
        for step in steps:
            step.is_identified = is_identified
            step.message_id += f"/{number}" if is_identified else ""
        for first in range(0, len(steps), n_together):
            service.handle_batch(steps[first : first + n_together])
    last = [sent(steps[-1]) for steps in scans]
    assert [[payload["results"][0]["max_count"] for _, payload in answers] for answers in last] == [[7], [7], [50]]
    assert len({steps[-1].outgoing[0].message_id for steps in scans}) == 3


def test_message_without_identity_that_comes_again_is_answered_the_same(make: Make) -> None:
    grid = gridinfo((5, 2))
    results = []
    for n_deliveries in (1, 2):
        steps = scan_steps([0, 0, 7, *[0] * 7], grid=grid, run="")
        for step in steps:
            step.is_identified, step.n_deliveries = False, n_deliveries
        make().handle_batch(steps)
        results.append([(message.message_id, message.body) for step in steps for message in step.outgoing])
    assert results[0] == results[1]
    assert len(results[0]) == 1


@pytest.mark.parametrize("wires", [{"success": 2, "abort": 99}, {"success": 99}])
def test_scan_whose_recipe_cannot_be_answered_is_rejected_when_it_begins(make: Make, wires: dict[str, int]) -> None:
    with pytest.raises(RejectedMessageError, match="step 99 is missing"):
        make().handle(_unwired(wires))


def test_answer_that_cannot_be_sent_holds_up_no_other(
    make: Make, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make()
    bad = _unwired({"success": 2, "abort": 99}).recipe
    assert bad is not None
    state = CenteringState(tmp_path / "state" / "x_ray_centering.sqlite")  # as one of before this was checked
    with state.transaction():
        state.open_grid(
            dcid=7, run="bad", partner=None, n_images=10, now=clock.now, envelope=bad.encode(), origin="bad"
        )
    state.close()
    service = make()
    service.handle(image_step(1, 5, grid=gridinfo((5, 2)), run="good", dcid="8"))
    clock.now += 1000
    assert [sent(step) for step in service.idle()] == [[(ABORT_STEP, {})]]
    service.idle_done()
    assert service.idle() == []
    assert "data collection 7: abort of X-ray centering cannot be sent" in caplog.text


def _unwired(wires: dict[str, int]) -> RecipeStep:
    step = image_step(1, 5, grid=gridinfo((5, 2)), run="bad", dcid="7", wires={})
    assert step.recipe is not None
    body = json.loads(step.recipe.encode())
    body["recipe"]["1"]["output"] = wires
    body["recipe"]["2"] = {"queue": "q"}
    envelope = Envelope.decode(json.dumps(body).encode())
    return RecipeStep(Delivery(b"", "reduce.xray_centering", "", {}, "bad/7/1", 1, 0, None), envelope, envelope.payload)
