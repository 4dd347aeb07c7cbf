"""What an NXmx file says about its images: units, mask, energy, and where the detector stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from glimt.model.errors import DecodeError
from glimt.sources.image_file import open_images
from hdf5_masters import SHAPE, group, write_eiger_series


def test_metadata_of_an_eiger_master(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [1])
    with open_images(master) as series:
        m = series.metadata
    assert (m.shape, m.dtype) == (SHAPE, "uint32")
    assert (m.detector_name, m.serial_number) == ("Dectris EIGER2 Si 4M", "E-32-0123")
    assert m.pixel_size_m == (7.5e-5, 7.5e-5)
    assert m.beam_center_px == (18.25, 20.5)
    assert (m.distance_m, m.exposure_s, m.period_s) == (0.2, 0.0099, 0.01)
    assert m.wavelength_angstrom == pytest.approx(0.9763)
    assert m.photon_energy_ev == pytest.approx(12699.4, abs=0.1)
    assert (m.sensor_material, m.sensor_thickness_m, m.threshold_ev) == ("Si", 4.5e-4, 6400.0)
    assert m.saturation_value == 46000
    poni = m.poni()
    assert (poni.dist, poni.poni1, poni.poni2) == pytest.approx((0.2, 18.25 * 7.5e-5, 20.5 * 7.5e-5))
    assert poni.wavelength == pytest.approx(0.9763e-10)


def test_mask_excludes_gaps_and_bad_pixels(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [1])
    with open_images(master) as series:
        assert series.mask is not None
        assert series.mask.dtype == np.bool_
        assert series.mask[20:22].all()
        assert series.mask[3, 4]
        assert series.mask.sum() == 2 * SHAPE[1] + 1


def test_mask_of_another_shape_is_an_error_and_not_ignored(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [1])
    with h5py.File(master, "a") as file:
        del file["entry/instrument/detector/detectorSpecific/pixel_mask"]
        file["entry/instrument/detector/pixel_mask"] = np.zeros((5, 5), np.uint32)
    with open_images(master) as series, pytest.raises(DecodeError, match=r"pixel_mask has \[5, 5\] pixels"):
        _ = series.mask


def test_units_are_honoured(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [1])
    with h5py.File(master, "a") as file:
        detector = file["entry/instrument/detector"]
        for name, value, unit in (
            ("detector_distance", 200.0, "mm"),
            ("x_pixel_size", 75.0, "um"),
            ("y_pixel_size", 0.0075, b"cm"),
            ("beam_center_x", 1.5, "mm"),
            ("count_time", 9.9, "ms"),
            ("threshold_energy", 6.4, "keV"),
            ("frame_time", 10.0, "fortnight"),
        ):
            detector[name][()] = value
            detector[name].attrs["units"] = unit
        file["entry/instrument/beam/incident_wavelength"][()] = 0.09763
        file["entry/instrument/beam/incident_wavelength"].attrs["units"] = "nm"
    with open_images(master) as series:
        m = series.metadata
    assert m.distance_m == pytest.approx(0.2)
    assert m.pixel_size_m == pytest.approx((7.5e-5, 7.5e-5))
    assert m.beam_center_px == pytest.approx((18.25, 20.0))
    assert m.exposure_s == pytest.approx(0.0099)
    assert m.threshold_ev == pytest.approx(6400)
    assert m.wavelength_angstrom == pytest.approx(0.9763)
    assert m.period_s is None  # an unknown unit: a wrong number would be worse than none


def test_wavelength_comes_from_the_photon_energy_if_it_is_not_there(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [1])
    with h5py.File(master, "a") as file:
        del file["entry/instrument/beam/incident_wavelength"]
        file["entry/instrument/detector/detectorSpecific/photon_energy"] = 12398.42
        file["entry/instrument/detector/detectorSpecific/photon_energy"].attrs["units"] = "eV"
    with open_images(master) as series:
        assert series.metadata.wavelength_angstrom == pytest.approx(1.0, rel=1e-6)


def test_geometry_comes_from_transformations(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [1])
    with h5py.File(master, "a") as file:
        detector = file["entry/instrument/detector"]
        for name in ("detector_distance", "beam_center_x", "beam_center_y", "x_pixel_size", "y_pixel_size"):
            del detector[name]
        add_module(detector, distance_mm=150.0, two_theta_deg=0.0, offset_m=(20.5 * 7.5e-5, 18.25 * 7.5e-5, 0.0))
    with open_images(master) as series:
        m = series.metadata
    assert m.distance_m == pytest.approx(0.15)
    assert m.beam_center_px == pytest.approx((18.25, 20.5))
    assert m.pixel_size_m == pytest.approx((7.5e-5, 7.5e-5))
    assert len(m.panels) == 1
    assert m.panels[0].fast_axis == pytest.approx((-1, 0, 0))
    assert m.panels[0].origin_m == pytest.approx((20.5 * 7.5e-5, 18.25 * 7.5e-5, 0.15))


def test_turned_detector_keeps_its_distance_along_the_normal(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [1])
    with h5py.File(master, "a") as file:
        detector = file["entry/instrument/detector"]
        del detector["detector_distance"]
        add_module(detector, distance_mm=150.0, two_theta_deg=30.0, offset_m=(0.0, 0.0, 0.0))
    with open_images(master) as series:
        m = series.metadata
    assert m.distance_m == pytest.approx(0.15)
    assert m.panels[0].origin_m == pytest.approx((0.075, 0.0, 0.15 * np.cos(np.pi / 6)))


def test_circle_of_transformations_gives_no_panels(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [1])
    with h5py.File(master, "a") as file:
        detector = file["entry/instrument/detector"]
        add_module(detector, distance_mm=150.0, two_theta_deg=0.0, offset_m=(0.0, 0.0, 0.0))
        detector["transformations/two_theta"].attrs["depends_on"] = "translation"
    with open_images(master) as series:
        assert series.metadata.panels == ()
        assert series.metadata.distance_m == 0.2


def add_module(detector: Any, *, distance_mm: float, two_theta_deg: float, offset_m: tuple[float, ...]) -> None:
    where = group(detector, "transformations", "NXtransformations")
    add_transformation(where, "two_theta", two_theta_deg, "deg", "rotation", (0, 1, 0), ".")
    add_transformation(where, "translation", distance_mm, "mm", "translation", (0, 0, 1), "two_theta")
    module = group(detector, "module", "NXdetector_module")
    module["data_origin"], module["data_size"] = [0, 0], list(SHAPE)
    to = f"{where.name}/translation"
    add_transformation(module, "module_offset", 1.0, "m", "translation", offset_m, to)
    module["module_offset"][()] = np.linalg.norm(offset_m)
    if not any(offset_m):
        module["module_offset"].attrs["vector"] = (1.0, 0.0, 0.0)
    for name, vector in (("fast_pixel_direction", (-1, 0, 0)), ("slow_pixel_direction", (0, -1, 0))):
        add_transformation(module, name, 75.0, "um", "translation", vector, f"{module.name}/module_offset")


def add_transformation(
    parent: Any, name: str, value: float, unit: str, kind: str, vector: tuple[float, ...], depends_on: str
) -> None:
    parent[name] = value
    parent[name].attrs.update({"units": unit, "transformation_type": kind, "vector": vector, "depends_on": depends_on})
