"""X-ray centering gives the values of Diamond's service: of single scans, of pairs, of pins with several samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from centering_scans import (
    LINE,
    LINE_GRID,
    MINUS_45,
    PAIR_GRID,
    PAIR_RESULT,
    PLUS_45,
    SUCCESS_STEP,
    VERTICAL,
    VERTICAL_GRID,
    gridinfo,
    image_step,
    scan_steps,
)
from centering_service import Make, results_of
from service_steps import sent

MESH = [1, 0, 0, 0, 0, 1, 0, 239, 29, 3, 4, 0, 1, 0, 5, 0, 190, 249, 230, 206, 190, 202, 190, 184, 208, 107]


MESH += [1, 0, 0, 0, 0, 236, 183, 193, 230]


MESH_GRID = gridinfo((7, 5), size_mm=(0.04, 0.04), microns_per_pixel=0.438, offset=(79.9863, 57.0822))


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
    make: Make,
    counts: list[int],
    grid: Any,
    center_px: list[float],
    center: list[float],
    best: tuple[float, ...],
) -> None:
    steps = scan_steps(counts, grid=grid)
    service = make()
    for step in steps:
        service.handle(step)
    ((_, message),) = results_of(steps)
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
    assert results_of(first) == []
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
    ((_, message),) = results_of(first + second)
    assert message["results"][0]["max_voxel"] == PAIR_RESULT["max_voxel"]
    assert message["results"][0]["total_count"] == PAIR_RESULT["total_count"]


def test_pair_in_one_batch_is_answered_once(make: Make) -> None:
    options = {"grid": PAIR_GRID, "experiment_type": "Mesh3D"}
    steps = scan_steps(MINUS_45, dcid="1", run="a", **options) + scan_steps(PLUS_45, dcid="2", dcg_dcids=[1], **options)
    make().handle_batch(steps)
    assert len(results_of(steps)) == 1


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


def test_other_metric_is_centered_on(make: Make) -> None:
    service = make(metric="total_intensity")
    payloads = [{"file-number": n, "n_spots_total": 0, "total_intensity": str(n % 3)} for n in range(1, 7)]
    steps = [image_step(p["file-number"], 0, grid=gridinfo((3, 2)), payload=p) for p in payloads]
    service.handle_batch(steps)
    assert sent(steps[-1])[0][1]["results"][0]["max_count"] == 2.0


def test_several_thousand_images_are_taken_in_a_few_batches(make: Make) -> None:
    service = make()
    values = np.random.default_rng(1).integers(0, 100, 4000).tolist()
    steps = scan_steps(values, grid=gridinfo((80, 50)))
    for start in range(0, 4000, service.batch):
        service.handle_batch(steps[start : start + service.batch])
    assert len(results_of(steps)) == 1
