"""Files of detectors with modules, and CrystFEL geometry files, through command and service."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from glimt.app.analyse import analyse_images
from glimt.app.analyse_group import AnalysedImage, AnalysisOptions
from glimt.codecs.crystfel_geometry import parse_geometry
from glimt.model.errors import RejectedMessageError, UsageError
from glimt.model.geometry import Detector, Poni
from glimt.pipeline.workers.image_analysis import ImageAnalyzer
from glimt.services.image_request import AnalysisParameters
from glimt.services.per_image_analysis import PerImageAnalysisService
from glimt.services.service import ServiceSetup
from module_masters import GEOMETRY, IMAGES, MODULE, N_MODULES, STACKED, module_detector, module_frames
from module_masters import write_module_master as write
from service_steps import sent, step_for

SPOTS = AnalysisParameters().spots()
Frames = Any


def expected(frames: Frames, mask: Any = None) -> list[dict[str, Any]]:
    analyzer = ImageAnalyzer(module_detector(), options=SPOTS, mask=mask)
    return [dataclasses.asdict(analyzer.analyze(frame)) for frame in frames]


def nearly(wanted: list[dict[str, Any]]) -> list[Any]:
    """Return what equals these, but for rounding."""
    return [pytest.approx(one) for one in wanted]


def run(path: Path, text: str | None = None, **options: Any) -> list[AnalysedImage]:
    found: list[AnalysedImage] = []
    geometry = None if text is None else parse_geometry(text)
    analyse_images(
        [path], found.append, options=AnalysisOptions(spots=SPOTS, geometry=geometry, **options), n_processes=1
    )
    return found


def told(found: list[AnalysedImage]) -> list[dict[str, Any]]:
    return [dataclasses.asdict(image.quality) for image in found if image.quality is not None]


def handled(made: PerImageAnalysisService, path: Path, n: int) -> list[dict[str, Any]]:
    step = step_for({}, {"filename": str(path), "start_frame_index": 0, "number_of_frames": n}, 2)
    made.handle(step)
    kept = []
    for pointer, payload in sent(step):
        assert pointer == 2
        kept.append({name: payload[name] for name in payload if not name.startswith("file")})
    return kept


def service(root: Path, **configuration: Any) -> PerImageAnalysisService:
    return PerImageAnalysisService(ServiceSetup(configuration, (root,), root))


@pytest.fixture
def frames() -> Frames:
    return module_frames(3)


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int32"])
def test_modules_of_a_master_are_analyzed_one_by_one(tmp_path: Path, stacked: bool, dtype: str) -> None:
    frames = module_frames(3, dtype)
    path = write(tmp_path / "m.h5", frames, stacked=stacked)
    wanted = expected(frames)
    assert all(one["n_spots_total"] > 50 for one in wanted)
    assert len({one["estimated_d_min"] for one in wanted}) == 3
    assert told(run(path)) == nearly(wanted)
    made = service(tmp_path)
    assert handled(made, path, 3) == told(run(path))
    made.close()


def test_the_place_of_each_module_counts(tmp_path: Path, frames: Frames) -> None:
    """Guard of the tests above: the same pixels on modules that stand elsewhere give other resolutions."""
    path = write(tmp_path / "m.h5", frames)
    before = told(run(path))
    with h5py.File(path, "a") as file:
        file["entry/instrument/detector/ARRAY_D0Q0M2/module_offset"][()] *= 1.5
    after = told(run(path))
    assert [one["estimated_d_min"] for one in before] != [one["estimated_d_min"] for one in after]


def test_masters_that_do_not_say_where_all_modules_are_say_so(tmp_path: Path, frames: Frames) -> None:
    path = write(tmp_path / "m.h5", frames, n_described=2)
    assert "have modules, and the file does not say where each of them is" in run(path)[0].error
    assert told(run(path, GEOMETRY)) == nearly(expected(frames))
    poni = Poni(Detector(1e-4, 1e-4, STACKED), 0.05, 0.0, 0.0, wavelength=1e-10)
    assert "a PONI file describes flat detectors only" in run(path, poni=poni)[0].error
    with pytest.raises(RejectedMessageError, match="does not say where each of them is"):
        handled(service(tmp_path), path, 3)


def test_a_mask_may_have_the_modules_below_each_other(tmp_path: Path, frames: Frames) -> None:
    path, mask = write(tmp_path / "m.h5", frames), np.zeros(STACKED, np.bool_)
    mask[: MODULE[0]] = True
    half = told(run(path, mask=mask))
    assert half == nearly(expected(frames, mask))
    assert told(run(path, mask=mask.reshape(N_MODULES, *MODULE))) == half
    assert half[0]["n_spots_total"] < told(run(path))[0]["n_spots_total"]
    assert "the mask has shape (2, 2)" in run(path, mask=np.zeros((2, 2), np.bool_))[0].error


def test_a_geometry_file_says_where_modules_are_and_what_is_masked(tmp_path: Path, frames: Frames) -> None:
    path = write(tmp_path / "m.h5", frames, n_described=0)
    assert told(run(path, GEOMETRY)) == nearly(expected(frames))
    plane = np.zeros((N_MODULES, *MODULE), np.uint8)
    plane[1] = 4
    with h5py.File(tmp_path / "mask.h5", "w") as file:
        file["mask"] = plane
    text = f"mask_file = {tmp_path / 'mask.h5'}\nmask = /mask\nmask_bad = 0x4\n" + GEOMETRY
    wanted = expected(frames, plane.reshape(STACKED) != 0)
    assert told(run(path, text)) == nearly(wanted)
    with h5py.File(path, "a") as file:
        file["entry/bad"] = plane
    assert told(run(path, "mask = /entry/bad\nmask_bad = 0x4\n" + GEOMETRY)) == nearly(wanted)
    assert told(run(path, "mask = /entry/bad\nmask_bad = 0x3\n" + GEOMETRY)) == nearly(expected(frames))
    assert "has no readable /entry/none" in run(path, "mask = /entry/none\nmask_bad = 1\n" + GEOMETRY)[0].error


def test_the_service_takes_a_geometry_file_and_holds_its_masks_within_bounds(tmp_path: Path, frames: Frames) -> None:
    root, beside = tmp_path / "root", tmp_path / "beside"
    for folder in (root, beside):
        folder.mkdir()
    paths = [write(root / f"{k}.h5", frames, n_described=0) for k in range(2)]
    for k, path in enumerate(paths):
        plane = np.zeros((N_MODULES, *MODULE), np.uint8)
        plane[k] = 1
        with h5py.File(path, "a") as file:
            file["entry/bad"] = plane
    with h5py.File(beside / "mask.h5", "w") as file:
        file["mask"] = np.concatenate([np.zeros((2, *MODULE)), np.ones((1, *MODULE))])
    text = "mask = /entry/bad\nmask_bad = 1\nmask1_data = /mask\nmask1_badbits = 1\n"
    (beside / "d.geom").write_text(text + f"mask1_file = {beside / 'mask.h5'}\n" + GEOMETRY)
    made = service(root, geometry=str(beside / "d.geom"))
    for _ in range(2):  # what was kept of one file is not used for the other
        for k, path in enumerate(paths):
            mask = np.zeros((N_MODULES, *MODULE), np.bool_)
            mask[k] = mask[2] = True
            assert handled(made, path, 3) == nearly(expected(frames, mask.reshape(STACKED)))
    (tmp_path / "secret.h5").write_bytes((beside / "mask.h5").read_bytes())
    (beside / "d.geom").write_text(text + f"mask1_file = {tmp_path / 'secret.h5'}\n" + GEOMETRY)
    with pytest.raises(RejectedMessageError, match=r"secret.h5 is outside the folders"):
        handled(service(root, geometry=str(beside / "d.geom")), paths[0], 3)
    with pytest.raises(UsageError, match="poni and geometry both say where pixels are"):
        service(root, geometry="d.geom", poni="d.poni")
    with pytest.raises(UsageError, match=r"geometry file .*none\.geom cannot be read"):
        service(root, geometry=str(beside / "none.geom"))


def test_camera_length_and_wavelength_are_taken_from_the_file(tmp_path: Path, frames: Frames) -> None:
    path = write(tmp_path / "m.h5", frames)
    text = GEOMETRY.replace("clen = 0.05 m", "clen = /entry/distance mm")
    text = text.replace(text.split("\n", 1)[0], "photon_energy = /entry/energy keV")
    assert "camera length is in the header" in run(path, text)[0].error
    with h5py.File(path, "a") as file:
        file["entry/distance"] = 50.0
    assert told(run(path, text)) == nearly(expected(frames))  # its wavelength as in NXmx
    with h5py.File(path, "a") as file:
        file["entry/energy"] = np.full(3, 2 * 12.398419843320026 / 1.25)
    finer = told(run(path, text))
    assert finer[0]["estimated_d_min"] == pytest.approx(expected(frames)[0]["estimated_d_min"] / 2)


@pytest.mark.parametrize("dtype", ["uint16", "uint32", "int32", "float32"])
def test_flagged_and_saturated_pixels_of_an_image_make_no_spots(tmp_path: Path, dtype: str) -> None:
    frames = module_frames(2, dtype)
    frames[0, 0, 30:33, 40:43] = 5000
    frames[1, 0, 10:13, 20:23] = 5000
    path = write(tmp_path / "m.h5", frames)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["most"] = np.full((N_MODULES, *MODULE), 4000.0)
    masks = [frame.reshape(STACKED) == 5000 for frame in frames]
    wanted = [expected(frames[k : k + 1], mask)[0] for k, mask in enumerate(masks)]
    assert told(run(path, GEOMETRY)) != nearly(wanted)
    for text in (
        "flag_morethan = 4500\n",
        "flag_equal = 5000\n",
        "max_adu = 4000\n",
        f"saturation_map = /most\nsaturation_map_file = {tmp_path / 's.h5'}\n",
    ):
        assert told(run(path, text + GEOMETRY)) == nearly(wanted), text


def test_a_geometry_file_for_other_images_is_told(tmp_path: Path, frames: Frames) -> None:
    path = write(tmp_path / "m.h5", frames, stacked=True)
    assert "which has 3 modules" in run(path, GEOMETRY)[0].error
    assert IMAGES in GEOMETRY
