from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from glimt.model.errors import UsageError
from glimt.sources.image_file import open_images
from glimt.sources.image_file_detector import detector_geometry
from glimt.sources.image_file_metadata import ImageMetadata, Panel
from hdf5_masters import SHAPE, frames, group, write_data, write_eiger_series


def _transformation(parent: Any, name: str, value: float, unit: str, vector: tuple[float, ...], on: str) -> None:
    parent[name] = value
    parent[name].attrs.update({"units": unit, "transformation_type": "translation", "vector": vector, "depends_on": on})


def _add_module(detector: Any, name: str, origin: tuple[int, int], offset_mm: tuple[float, ...]) -> None:
    module = group(detector, name, "NXdetector_module")
    module["data_origin"], module["data_size"] = list(origin), list(SHAPE)
    length = float(np.linalg.norm(offset_mm))
    to = "/entry/instrument/detector/transformations/translation"
    _transformation(module, "module_offset", length, "mm", tuple(part / length for part in offset_mm), to)
    for axis, vector in (("fast_pixel_direction", (-1, 0, 0)), ("slow_pixel_direction", (0, -1, 0))):
        _transformation(module, axis, 75.0, "um", vector, f"{module.name}/module_offset")


def test_modules_of_a_detector_are_panels_of_one_array(tmp_path: Path) -> None:
    pixels = frames(1)
    write_data(tmp_path / "m.h5", np.concatenate([pixels, pixels], axis=1))
    n_slow, n_fast = SHAPE
    with h5py.File(tmp_path / "m.h5", "a") as file:
        entry = file["entry"]
        entry.attrs["NX_class"] = "NXentry"
        instrument = group(entry, "instrument", "NXinstrument")
        detector = group(instrument, "detector", "NXdetector")
        beam = group(instrument, "beam", "NXbeam")
        beam["incident_wavelength"] = 1.25
        beam["incident_wavelength"].attrs["units"] = "angstrom"
        detector["sensor_thickness"], detector["sensor_material"] = 4.5e-4, "Si"
        where = group(detector, "transformations", "NXtransformations")
        _transformation(where, "translation", 150.0, "mm", (0, 0, 1), ".")
        _add_module(detector, "ARRAY_D0Q0M0A0", (0, 0), (1.0, 1.0, 0.0))
        _add_module(detector, "ARRAY_D0Q0M1A0", (n_slow, 0), (1.0, -1.0, 1.0))
    with open_images(tmp_path / "m.h5") as series:
        geometry = detector_geometry(series.metadata)
    assert geometry.frame_shape == (2 * n_slow, n_fast)
    assert [place.slow_start for place in geometry.placements] == [0, n_slow]
    assert geometry.wavelength_angstrom == 1.25
    np.testing.assert_allclose(geometry.panels[0].origin_mm, (1.0, 1.0, 150.0), atol=1e-9)
    np.testing.assert_allclose(geometry.panels[1].origin_mm, (1.0, -1.0, 151.0), atol=1e-9)
    assert geometry.panels[1].pixel_size_mm == pytest.approx((0.075, 0.075))
    assert geometry.panels[1].sensor_thickness_mm == pytest.approx(0.45)
    assert geometry.panels[1].absorption_per_mm > 1
    assert geometry.panels[1].fast == pytest.approx((-1, 0, 0))


def test_modules_on_an_axis_of_their_own_lie_below_each_other() -> None:
    panels = [
        Panel(0, 0, k, (4, 5), (0.01 * k, 0.0, 0.1), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0), (1e-4, 1e-4)) for k in range(3)
    ]
    known = ImageMetadata(shape=(3, 4, 5), dtype="uint16", wavelength_angstrom=1.0, panels=tuple(panels))
    geometry = detector_geometry(known)
    assert geometry.frame_shape == (12, 5)
    assert [place.slow_start for place in geometry.placements] == [0, 4, 8]
    assert detector_geometry(known, wavelength_angstrom=0.5).wavelength_angstrom == 0.5
    with pytest.raises(UsageError, match="module 2 of the image file reaches beyond"):
        detector_geometry(replace(known, shape=(2, 4, 5)))
    with pytest.raises(UsageError, match="does not say the wavelength"):
        detector_geometry(replace(known, wavelength_angstrom=None))
    with pytest.raises(UsageError, match="the wavelength is"):
        detector_geometry(known, wavelength_angstrom=float("nan"))
    twice = replace(known, shape=(3, 4, 5), panels=(panels[0], panels[0]))
    with pytest.raises(UsageError, match="share pixels"):
        detector_geometry(twice)


def test_file_without_modules_is_one_flat_panel(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [1])
    with open_images(master) as series:
        geometry = detector_geometry(series.metadata)
        poni = series.metadata.poni()
    assert geometry.frame_shape == SHAPE
    assert geometry.wavelength_angstrom == pytest.approx(0.9763)
    assert geometry.panels[0].distance_mm == pytest.approx(200.0)
    assert geometry.panels[0].sensor_thickness_mm == pytest.approx(0.45)
    assert geometry.panels[0].pixel_size_mm == pytest.approx((poni.detector.pixel1 * 1e3, poni.detector.pixel2 * 1e3))
