"""What X-ray centering rejects, with the reason; and that nothing else suffers from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from centering_scans import ABORT_STEP, VERTICAL, VERTICAL_GRID, gridinfo, image_step, scan_steps
from centering_service import Make, results_of
from glimt.brokers.broker import Delivery
from glimt.model.errors import RejectedMessageError, RetryMessageError, UsageError
from glimt.model.recipe_envelope import Envelope
from glimt.services.recipe_step import RecipeStep
from glimt.services.service import ServiceSetup
from glimt.services.x_ray_centering import XRayCenteringService
from glimt.services.x_ray_centering_state import CenteringState
from service_steps import plain_step, sent
from set_clock import Clock


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
    assert len(results_of(steps)) == 1
    assert log.is_file()


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
    assert results_of(good) == []
    service.handle_batch(good)
    assert len(results_of(good)) == 1


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


@pytest.mark.parametrize("wires", [{"success": 2, "abort": 99}, {"success": 99}])
def test_scan_whose_recipe_cannot_be_answered_is_rejected_when_it_begins(make: Make, wires: dict[str, int]) -> None:
    with pytest.raises(RejectedMessageError, match="step 99 is missing"):
        make().handle(unwired(wires))


def test_answer_that_cannot_be_sent_holds_up_no_other(
    make: Make, clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make()
    bad = unwired({"success": 2, "abort": 99}).recipe
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


def unwired(wires: dict[str, int]) -> RecipeStep:
    step = image_step(1, 5, grid=gridinfo((5, 2)), run="bad", dcid="7", wires={})
    assert step.recipe is not None
    body = json.loads(step.recipe.encode())
    body["recipe"]["1"]["output"] = wires
    body["recipe"]["2"] = {"queue": "q"}
    envelope = Envelope.decode(json.dumps(body).encode())
    return RecipeStep(Delivery(b"", "reduce.xray_centering", "", {}, "bad/7/1", 1, 0, None), envelope, envelope.payload)
