from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import pytest

from glimt.codecs.pixels import encode_pixels
from glimt.codecs.pixels.narrow import widen_pixels
from glimt.model.errors import DecodeError, UsageError
from glimt.sources.image_file import open_images
from hdf5_masters import SHAPE, frames, group, write_data, write_eiger_series, write_master


def _same(series: Any, pixels: Any) -> bool:
    return len(series) == len(pixels) and all(np.array_equal(series.read(k), pixels[k]) for k in range(len(pixels)))


def _virtual(path: Path, layout: h5py.VirtualLayout, fillvalue: int = 0) -> None:
    write_master(path)
    with h5py.File(path, "a", libver="latest") as file:
        file["entry/data"].create_virtual_dataset("data", layout, fillvalue=fillvalue)


def test_images_of_all_data_files_are_read_in_order(tmp_path: Path) -> None:
    master, pixels = write_eiger_series(tmp_path, [3, 3, 2])
    with open_images(master) as series:
        assert _same(series, pixels)
        assert series.n_images_ready == 8


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


def test_missing_data_file_is_named_with_the_image(tmp_path: Path) -> None:
    master, pixels = write_eiger_series(tmp_path, [3, 3, 2])
    (tmp_path / "scan_data_000002.h5").unlink()
    with open_images(master) as series:
        assert len(series) == 8
        assert series.n_images_ready == 3
        with pytest.raises(DecodeError, match=r"scan_master.h5, image 4: .*scan_data_000002.h5 is missing"):
            series.read(4)
        assert np.array_equal(series.read(2), pixels[2])
        assert np.array_equal(series.read(7), pixels[7])


def test_first_data_file_may_be_the_missing_one(tmp_path: Path) -> None:
    master, pixels = write_eiger_series(tmp_path, [3, 3, 2])
    (tmp_path / "scan_data_000001.h5").unlink()
    with open_images(master) as series:
        assert series.n_images_ready == 0
        with pytest.raises(DecodeError, match=r"image 0: .*scan_data_000001.h5 is missing"):
            series.read(0)
        assert np.array_equal(series.read(3), pixels[3])


def test_data_file_that_comes_later_is_found(tmp_path: Path) -> None:
    master, pixels = write_eiger_series(tmp_path, [3, 2])
    late = tmp_path / "scan_data_000002.h5"
    late.rename(tmp_path / "late")
    with open_images(master) as series:
        assert series.n_images_ready == 3
        (tmp_path / "late").rename(late)
        assert series.n_images_ready == 5
        assert _same(series, pixels)


def test_no_data_file_at_all_is_an_error_when_opened(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [3, 2])
    (tmp_path / "scan_data_000001.h5").unlink()
    (tmp_path / "scan_data_000002.h5").unlink()
    with pytest.raises(DecodeError, match=r"none of its 2 data files is there: .*scan_data_000001.h5 is missing"):
        open_images(master)


def test_series_that_was_moved_with_absolute_links_is_read(tmp_path: Path) -> None:
    pixels = frames(2)
    here = tmp_path / "here"
    here.mkdir()
    write_data(here / "a_data_000001.h5", pixels)
    gone = str(tmp_path / "gone" / "a_data_000001.h5")
    write_master(here / "a_master.h5", {"data_000001": (gone, "/entry/data/data")})
    with open_images(here / "a_master.h5") as series:
        assert _same(series, pixels)


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    write_master(tmp_path / "m.h5", {"data_000001": ("m.h5", "/entry/data/data_000001")})
    with pytest.raises(DecodeError, match="circles"):
        open_images(tmp_path / "m.h5")


def test_more_data_files_than_are_kept_open(tmp_path: Path) -> None:
    master, pixels = write_eiger_series(tmp_path, [1] * 40)
    with open_images(master) as series:
        assert _same(series, pixels)
        assert np.array_equal(series.read(0), pixels[0])


@pytest.mark.parametrize(
    ("filters", "chunks"),
    [
        (None, None),
        (dict(hdf5plugin.LZ4()), None),
        ({}, None),
        ({}, False),
        ({"compression": "gzip"}, None),
        ({"compression": "gzip", "shuffle": True}, (2, 10, 41)),
        (dict(hdf5plugin.Bitshuffle(cname="zstd")), None),
        (dict(hdf5plugin.Bitshuffle(nelems=128)), None),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32", ">u2"])
def test_every_way_of_storing_gives_the_same_pixels(tmp_path: Path, filters: Any, chunks: Any, dtype: str) -> None:
    pixels = frames(3, dtype)
    write_data(tmp_path / "d.h5", pixels, filters=filters, chunks=chunks)
    with open_images(tmp_path / "d.h5") as series:
        assert _same(series, pixels)
        assert series.read(0).dtype == pixels.dtype.newbyteorder("=")
        out = np.empty(SHAPE, pixels.dtype.newbyteorder("="))
        assert np.shares_memory(series.read(1, out), out)
        assert np.array_equal(out, pixels[1])


def test_narrowed_image_is_the_same(tmp_path: Path) -> None:
    master, pixels = write_eiger_series(tmp_path, [2])
    with open_images(master) as series:
        narrow = series.read(1, narrow=True)
        assert narrow.dtype == np.uint16
        assert np.array_equal(widen_pixels(narrow), pixels[1])


def test_float_images_are_read(tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).normal(size=(2, *SHAPE)).astype(np.float32)
    write_data(tmp_path / "d.h5", pixels)
    with open_images(tmp_path / "d.h5") as series:
        assert _same(series, pixels)


def test_chunk_whose_filter_was_skipped_is_taken_as_it_is(tmp_path: Path) -> None:
    pixels = frames(2)
    write_data(tmp_path / "d.h5", pixels)
    with h5py.File(tmp_path / "d.h5", "a") as file:
        file["entry/data/data"].id.write_direct_chunk((1, 0, 0), pixels[1].tobytes(), filter_mask=1)
    with open_images(tmp_path / "d.h5") as series:
        assert _same(series, pixels)


@pytest.mark.parametrize("stored", [b"\0", b"\0" * 11, b"garbage, long enough for a header", b"\xff" * 20000])
def test_damaged_chunk_names_file_and_image(tmp_path: Path, stored: bytes) -> None:
    master, pixels = write_eiger_series(tmp_path, [2, 2])
    with h5py.File(tmp_path / "scan_data_000002.h5", "a") as file:
        file["entry/data/data"].id.write_direct_chunk((1, 0, 0), stored)
    with open_images(master) as series:
        with pytest.raises(DecodeError, match=r"scan_master.h5, image 3: .*scan_data_000002.h5"):
            series.read(3)
        assert np.array_equal(series.read(2), pixels[2])


def test_image_that_was_never_written_is_an_error_and_not_zeros(tmp_path: Path) -> None:
    pixels = frames(3)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        stored = file.create_dataset(
            "entry/data/data", (5, *SHAPE), "u4", chunks=(1, *SHAPE), **hdf5plugin.Bitshuffle()
        )
        stored[:3] = pixels
    with open_images(tmp_path / "d.h5") as series:
        assert len(series) == 5
        assert series.n_images_ready == 3
        with pytest.raises(DecodeError, match=r"image 4.*is not written"):
            series.read(4)


def test_virtual_dataset_of_blocks_of_images(tmp_path: Path) -> None:
    pixels = frames(6)
    layout = h5py.VirtualLayout((6, *SHAPE), "u4")
    for k in range(2):
        write_data(tmp_path / f"raw_{k}.h5", pixels[3 * k : 3 * k + 3])
        layout[3 * k : 3 * k + 3] = h5py.VirtualSource(f"raw_{k}.h5", "/entry/data/data", (3, *SHAPE))
    _virtual(tmp_path / "m.h5", layout)
    with open_images(tmp_path / "m.h5") as series:
        assert _same(series, pixels)
        assert series.n_images_ready == 6
        assert series.read(4, narrow=True).dtype == np.uint16


def test_virtual_dataset_of_interleaved_files(tmp_path: Path) -> None:
    pixels = frames(10)
    layout = h5py.VirtualLayout((10, *SHAPE), "u4")
    for k in range(2):
        write_data(tmp_path / f"raw_{k}.h5", pixels[k::2])
        layout[k::2] = h5py.VirtualSource(f"raw_{k}.h5", "/entry/data/data", (5, *SHAPE))
    _virtual(tmp_path / "m.h5", layout)
    with open_images(tmp_path / "m.h5") as series:
        assert _same(series, pixels)
    (tmp_path / "raw_1.h5").unlink()
    with open_images(tmp_path / "m.h5") as series:
        assert series.n_images_ready == 1
        assert np.array_equal(series.read(8), pixels[8])
        with pytest.raises(DecodeError, match=r"m.h5, image 3: .*raw_1.h5 is missing"):
            series.read(3)


def test_virtual_dataset_that_starts_inside_its_source(tmp_path: Path) -> None:
    pixels = frames(10)
    write_data(tmp_path / "raw.h5", pixels)
    layout = h5py.VirtualLayout((4, *SHAPE), "u4")
    layout[:] = h5py.VirtualSource("raw.h5", "/entry/data/data", (10, *SHAPE))[5:9]
    _virtual(tmp_path / "m.h5", layout)
    with open_images(tmp_path / "m.h5") as series:
        assert _same(series, pixels[5:9])


def test_modules_in_files_of_their_own_make_one_image(tmp_path: Path) -> None:
    pixels = frames(3, "uint16", (20, 30))
    layout = h5py.VirtualLayout((3, 50, 30), "u2")
    for k, start in enumerate((0, 30)):
        write_data(tmp_path / f"module_{k}.h5", pixels + k)
        layout[:, start : start + 20] = h5py.VirtualSource(f"module_{k}.h5", "/entry/data/data", pixels.shape)
    _virtual(tmp_path / "m.h5", layout, fillvalue=77)
    with h5py.File(tmp_path / "m.h5") as file:
        expected = file["entry/data/data"][()]
    with open_images(tmp_path / "m.h5") as series:
        assert series.metadata.shape == (50, 30)
        assert _same(series, expected)
        assert (series.read(0)[20:30] == 77).all()


def test_modules_on_an_axis_of_their_own(tmp_path: Path) -> None:
    pixels = frames(3, "uint16")
    layout = h5py.VirtualLayout((3, 2, *SHAPE), "u2")
    for k in range(2):
        write_data(tmp_path / f"module_{k}.h5", pixels + k)
        layout[:, k] = h5py.VirtualSource(f"module_{k}.h5", "/entry/data/data", pixels.shape)
    _virtual(tmp_path / "m.h5", layout)
    with open_images(tmp_path / "m.h5") as series:
        assert series.metadata.shape == (2, *SHAPE)
        assert _same(series, np.stack([pixels, pixels + 1], axis=1))
        with pytest.raises(UsageError, match="have modules"):
            series.metadata.poni()


def test_channel_axis_of_length_one_disappears(tmp_path: Path) -> None:
    pixels = frames(3, "uint16", (1, *SHAPE))
    write_data(tmp_path / "d.h5", pixels)
    with open_images(tmp_path / "d.h5") as series:
        assert series.metadata.shape == SHAPE
        assert _same(series, pixels[:, 0])


def test_virtual_dataset_of_a_virtual_dataset_behind_a_link(tmp_path: Path) -> None:
    pixels = frames(4)
    write_data(tmp_path / "raw.h5", pixels)
    inner = h5py.VirtualLayout((4, *SHAPE), "u4")
    inner[:] = h5py.VirtualSource("raw.h5", "/entry/data/data", (4, *SHAPE))
    _virtual(tmp_path / "inner.h5", inner)
    write_master(tmp_path / "outer.nxs")
    with h5py.File(tmp_path / "outer.nxs", "a") as file:
        file["elsewhere"] = h5py.ExternalLink("inner.h5", "/entry/data/data")
        file["entry/data/data"] = h5py.SoftLink("/elsewhere")
    with open_images(tmp_path / "outer.nxs") as series:
        assert _same(series, pixels)
    (tmp_path / "inner.h5").unlink()
    with pytest.raises(DecodeError, match=r"inner.h5 is missing"):
        open_images(tmp_path / "outer.nxs")


def test_virtual_dataset_of_itself_is_an_error(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((2, *SHAPE), "u4")
    layout[:] = h5py.VirtualSource("m.h5", "/entry/data/data", (2, *SHAPE))
    _virtual(tmp_path / "m.h5", layout)
    with open_images(tmp_path / "m.h5") as series, pytest.raises(DecodeError, match=r"image 1: .*deep"):
        series.read(1)


def test_image_that_is_mapped_to_no_file_is_an_error(tmp_path: Path) -> None:
    write_data(tmp_path / "raw.h5", frames(2))
    layout = h5py.VirtualLayout((4, *SHAPE), "u4")
    layout[:2] = h5py.VirtualSource("raw.h5", "/entry/data/data", (2, *SHAPE))
    _virtual(tmp_path / "m.h5", layout)
    with open_images(tmp_path / "m.h5") as series, pytest.raises(DecodeError, match=r"image 3: .*from no file"):
        series.read(3)


def test_irregular_mapping_is_left_to_hdf5_and_still_names_a_missing_file(tmp_path: Path) -> None:
    pixels = frames(4)
    write_data(tmp_path / "raw.h5", pixels)
    layout = h5py.VirtualLayout((4, *SHAPE), "u4")
    layout[:, :, ::2] = h5py.VirtualSource("raw.h5", "/entry/data/data", pixels.shape)[:, :, ::2]
    _virtual(tmp_path / "m.h5", layout)
    with h5py.File(tmp_path / "m.h5") as file:
        expected = file["entry/data/data"][()]
    with open_images(tmp_path / "m.h5") as series:
        assert _same(series, expected)
    (tmp_path / "raw.h5").unlink()
    with pytest.raises(DecodeError, match=r"raw.h5 is missing"):
        open_images(tmp_path / "m.h5")


def test_irregular_mapping_of_itself_is_an_error(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout((2, *SHAPE), "u4")
    layout[:, :, ::2] = h5py.VirtualSource("m.h5", "/entry/data/data", (2, *SHAPE))[:, :, ::2]
    _virtual(tmp_path / "m.h5", layout)
    with pytest.raises(DecodeError, match="a virtual dataset too"):
        open_images(tmp_path / "m.h5")


def test_single_image_without_an_image_axis(tmp_path: Path) -> None:
    pixels = frames(1)
    write_data(tmp_path / "d.h5", pixels[0], chunks=SHAPE)
    with open_images(tmp_path / "d.h5") as series:
        assert _same(series, pixels)


def test_series_grows_while_it_is_written(tmp_path: Path) -> None:
    pixels = frames(4)
    with h5py.File(tmp_path / "d.h5", "w", libver="latest") as writer:
        stored = writer.create_dataset(
            "entry/data/data", (0, *SHAPE), "u4", maxshape=(None, *SHAPE), chunks=(1, *SHAPE), **hdf5plugin.Bitshuffle()
        )
        writer.swmr_mode = True
        with open_images(tmp_path / "d.h5") as series:
            assert len(series) == series.n_images_ready == 0
            for k in range(4):
                stored.resize(k + 1, axis=0)
                stored.id.write_direct_chunk((k, 0, 0), encode_pixels(pixels[k], compression="bslz4"))
                stored.flush()
                assert series.n_images_ready == k + 1
                assert np.array_equal(series.read(k), pixels[k])


def test_geometry_comes_from_transformations(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [1])
    with h5py.File(master, "a") as file:
        detector = file["entry/instrument/detector"]
        for name in ("detector_distance", "beam_center_x", "beam_center_y", "x_pixel_size", "y_pixel_size"):
            del detector[name]
        _add_module(detector, distance_mm=150.0, two_theta_deg=0.0, offset_m=(20.5 * 7.5e-5, 18.25 * 7.5e-5, 0.0))
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
        _add_module(detector, distance_mm=150.0, two_theta_deg=30.0, offset_m=(0.0, 0.0, 0.0))
    with open_images(master) as series:
        m = series.metadata
    assert m.distance_m == pytest.approx(0.15)
    assert m.panels[0].origin_m == pytest.approx((0.075, 0.0, 0.15 * np.cos(np.pi / 6)))


def test_circle_of_transformations_gives_no_panels(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [1])
    with h5py.File(master, "a") as file:
        detector = file["entry/instrument/detector"]
        _add_module(detector, distance_mm=150.0, two_theta_deg=0.0, offset_m=(0.0, 0.0, 0.0))
        detector["transformations/two_theta"].attrs["depends_on"] = "translation"
    with open_images(master) as series:
        assert series.metadata.panels == ()
        assert series.metadata.distance_m == 0.2


def _add_module(detector: Any, *, distance_mm: float, two_theta_deg: float, offset_m: tuple[float, ...]) -> None:
    where = group(detector, "transformations", "NXtransformations")
    _transformation(where, "two_theta", two_theta_deg, "deg", "rotation", (0, 1, 0), ".")
    _transformation(where, "translation", distance_mm, "mm", "translation", (0, 0, 1), "two_theta")
    module = group(detector, "module", "NXdetector_module")
    module["data_origin"], module["data_size"] = [0, 0], list(SHAPE)
    to = f"{where.name}/translation"
    _transformation(module, "module_offset", 1.0, "m", "translation", offset_m, to)
    module["module_offset"][()] = np.linalg.norm(offset_m)
    if not any(offset_m):
        module["module_offset"].attrs["vector"] = (1.0, 0.0, 0.0)
    for name, vector in (("fast_pixel_direction", (-1, 0, 0)), ("slow_pixel_direction", (0, -1, 0))):
        _transformation(module, name, 75.0, "um", "translation", vector, f"{module.name}/module_offset")


def _transformation(
    parent: Any, name: str, value: float, unit: str, kind: str, vector: tuple[float, ...], depends_on: str
) -> None:
    parent[name] = value
    parent[name].attrs.update({"units": unit, "transformation_type": kind, "vector": vector, "depends_on": depends_on})


def test_file_without_images_says_what_is_looked_for(tmp_path: Path) -> None:
    write_master(tmp_path / "m.h5")
    with pytest.raises(DecodeError, match="neither data/data nor data/data_000001"):
        open_images(tmp_path / "m.h5")
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(DecodeError, match="NXentry"):
        open_images(tmp_path / "empty.h5")


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 3, 4), "S3"), np.zeros(7, "u2"), np.zeros((1, 1, 1, 1, 1), "u2"), np.zeros((2, 3), "c16")]
)
def test_dataset_that_is_no_image_is_an_error(tmp_path: Path, pixels: Any) -> None:
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file["entry/data/data"] = pixels
    with pytest.raises(DecodeError, match=r"d.h5:/?entry/data/data"):
        open_images(tmp_path / "d.h5")


def test_enormous_image_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "d.h5", "w") as file:
        file.create_dataset("entry/data/data", (1, 1 << 20, 1 << 20), "u4", chunks=(1, 64, 64))
    with pytest.raises(DecodeError, match="at most"):
        open_images(tmp_path / "d.h5")


def test_wrong_number_or_buffer_is_a_usage_error(tmp_path: Path) -> None:
    master, _ = write_eiger_series(tmp_path, [2])
    with open_images(master) as series:
        for number in (2, -1):
            with pytest.raises(UsageError, match="0 to 1"):
                series.read(number)
        with pytest.raises(UsageError, match="whole number"):
            series.read(1.5)  # type: ignore[arg-type]  # what a notebook may pass
        with pytest.raises(UsageError, match="C-contiguous"):
            series.read(0, np.empty(SHAPE, np.uint16))
        with pytest.raises(UsageError, match="C-contiguous"):
            series.read(0, np.empty(SHAPE[::-1], np.uint32).T)


@pytest.mark.parametrize("target", ["scan_master.h5", "scan_data_000001.h5"])
def test_cut_files_give_errors_of_ours(tmp_path: Path, target: str) -> None:
    # Bytes changed at random are not tried: HDF5's own library can then run for ever, before anything is ours.
    master, _ = write_eiger_series(tmp_path, [2])
    good = (tmp_path / target).read_bytes()
    for size in (*range(8, 200, 7), *range(200, len(good), len(good) // 40)):
        (tmp_path / target).write_bytes(good[:size])
        with pytest.raises(DecodeError, match=target):
            open_images(master).close()


def test_header_of_a_file_that_is_another_format_inside(tmp_path: Path) -> None:
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(3000))
    with pytest.raises(DecodeError, match=r"m.h5 cannot be read"):
        open_images(tmp_path / "m.h5")
