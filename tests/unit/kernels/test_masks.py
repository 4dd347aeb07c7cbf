from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from glimt.kernels.masks import (
    combine_masks,
    mask_border,
    mask_circle,
    mask_from_detector,
    mask_outside,
    mask_polygon,
    mask_rectangle,
    mask_resolution,
    mask_values,
)
from glimt.kernels.masks_file import read_mask
from glimt.kernels.resolution import SpotResolution
from glimt.model.detector_geometry import DetectorGeometry, Panel
from glimt.model.errors import UsageError

SHAPE = (8, 10)


def test_any_bit_of_a_detector_mask_excludes() -> None:
    assert mask_from_detector(np.array([[0, 1], [1 << 31, 6]], np.uint32)).tolist() == [[False, True], [True, True]]


def test_gaps_are_found_by_value_signed_or_not() -> None:
    signed = np.array([[-1, -2, 0, 5]], np.int32)
    expected = [[True, True, False, False]]
    assert mask_values(signed, (-1, -2)).tolist() == expected
    for dtype in (np.uint8, np.uint16, np.uint32):
        assert mask_values(signed.astype(dtype), (-1, -2)).tolist() == expected
    assert mask_values(signed.astype(np.float32), (-1, -2)).tolist() == expected


def test_values_that_a_type_cannot_hold_exclude_nothing() -> None:
    assert not mask_values(np.zeros((2, 2), np.uint8), (300, 0.5, -1000)).any()
    assert not mask_values(np.zeros((2, 2), np.int32), (1e300,)).any()


def test_nan_pixels_are_excluded_with_the_values() -> None:
    assert mask_values(np.array([[np.nan, 1.0]]), ()).tolist() == [[True, False]]


def test_a_trusted_range_includes_its_ends_and_excludes_nan() -> None:
    frame = np.array([[-1.0, 0.0, 9.0, 9.5, np.nan]])
    assert mask_outside(frame, 0, 9).tolist() == [[True, False, False, True, True]]


def test_a_border_may_be_wider_than_the_frame() -> None:
    assert np.count_nonzero(~mask_border(SHAPE, 2)) == 4 * 6
    assert not mask_border(SHAPE, 0).any()
    assert mask_border(SHAPE, 100).all()


def test_rectangles_are_half_open_and_cut_at_the_frame() -> None:
    mask = mask_rectangle(SHAPE, fast=(2, 4), slow=(-5, 3))
    assert np.argwhere(mask).tolist() == [[j, i] for j in range(3) for i in (2, 3)]
    assert not mask_rectangle(SHAPE, fast=(-9, -3), slow=(0, 3)).any()


def test_a_circle_takes_corners_nearer_than_its_radius() -> None:
    mask = mask_circle(SHAPE, x=4, y=3, radius=1.0)
    assert np.argwhere(mask).tolist() == [[3, 4]]
    assert mask_circle(SHAPE, x=4, y=3, radius=100).all()


def test_a_polygon_takes_the_centers_inside() -> None:
    triangle = mask_polygon(SHAPE, [(0, 0), (6, 0), (0, 6)])
    assert triangle.sum(axis=1).tolist() == [5, 4, 3, 2, 1, 0, 0, 0]
    bow = mask_polygon(SHAPE, [(0, 0), (6, 6), (6, 0), (0, 6)])
    assert np.flatnonzero(bow[2]).tolist() == [0, 1, 3, 4, 5]
    assert not mask_polygon(SHAPE, [(20, 20), (30, 20), (30, 30)]).any()
    assert mask_polygon(SHAPE, [(-99, -99), (99, -99), (99, 99), (-99, 99)]).all()


def test_a_resolution_range_is_a_ring() -> None:
    panel = Panel((-1.0, -0.8, 2.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.2, 0.2), SHAPE)
    resolution = SpotResolution(DetectorGeometry([panel], 1.0))
    slow, fast = np.mgrid[:8, :10] + 0.5
    two_theta = np.arctan(np.hypot(0.2 * fast - 1.0, 0.2 * slow - 0.8) / 2.0)
    d = 1.0 / (2 * np.sin(two_theta / 2))
    mask = mask_resolution(SHAPE, resolution, d_min=2.0, d_max=5.0)
    np.testing.assert_array_equal(mask, (d >= 2.0) & (d <= 5.0))
    assert mask.any()
    assert not mask.all()


def test_masks_combine_by_or() -> None:
    mask = combine_masks(mask_rectangle(SHAPE, fast=(0, 1), slow=(0, 1)), mask_border(SHAPE, 0), np.zeros(SHAPE))
    assert np.argwhere(mask).tolist() == [[0, 0]]
    with pytest.raises(UsageError, match=r"shape \(2, 2\) does not go with one of shape \(8, 10\)"):
        combine_masks(mask, np.zeros((2, 2)))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: mask_from_detector(np.zeros(4)), r"the pixel mask has shape \(4,\)"),
        (lambda: mask_from_detector(np.array([["a"]])), "numbers are needed"),
        (lambda: mask_values(np.zeros(SHAPE), ("x",)), "a masked value is 'x'"),
        (lambda: mask_outside(np.zeros(SHAPE), 3, 1), "no pixel can be in it"),
        (lambda: mask_border(SHAPE, -1), "the border is -1"),
        (lambda: mask_border((0, 5), 1), "takes 1 to"),
        (lambda: mask_rectangle(SHAPE, fast=(4, 4), slow=(0, 1)), "fast of a rectangle goes from 4 to 4"),
        (lambda: mask_rectangle(SHAPE, fast=(0, 1), slow=(0.5, 1)), "slow of a rectangle is 0.5"),
        (lambda: mask_rectangle(SHAPE, fast=3, slow=(0, 1)), "fast is 3; two numbers"),
        (lambda: mask_circle(SHAPE, x=1, y=1, radius=0), "radius of a circle is 0"),
        (lambda: mask_circle(SHAPE, x=float("nan"), y=1, radius=1), "x of a circle is nan"),
        (lambda: mask_polygon(SHAPE, [(0, 0), (1, 1)]), "3 to 10000 corners"),
        (lambda: mask_polygon(SHAPE, [(0, 0)] * 10_001), "3 to 10000 corners"),
        (lambda: mask_polygon(SHAPE, [(0, 0), (1, 1), (1, float("inf"))]), "not finite"),
        (lambda: mask_polygon(SHAPE, [(0, 0), (1, 1), 7]), "pairs"),
        (lambda: mask_resolution(SHAPE, None, d_min=3, d_max=2), "the resolution range is 3 to 2"),
    ],
)
def test_shapes_that_make_no_sense_are_named(make: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        make()


def test_masks_are_read_from_numpy_and_hdf5_files(tmp_path: Path) -> None:
    mask = mask_circle(SHAPE, x=4, y=3, radius=3)
    np.save(tmp_path / "mask.npy", mask.astype(np.uint8) * 7)
    with h5py.File(tmp_path / "mask.h5", "w") as file:
        file["entry/good"] = ~mask
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.npy", shape=SHAPE), mask)
    np.testing.assert_array_equal(read_mask(f"{tmp_path / 'mask.h5'}:/entry/good", valid=True), mask)


def test_files_that_are_no_mask_are_named(tmp_path: Path) -> None:
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "text.npy").write_text("hello, this is not an array at all")
    np.save(tmp_path / "line.npy", np.zeros(5))
    np.save(tmp_path / "words.npy", np.array([["a", "b"]]))
    np.save(tmp_path / "objects.npy", np.array([[None, {}]], object), allow_pickle=True)
    header = b"{'descr': '<u8', 'fortran_order': False, 'shape': (1099511627776, 4096), }"
    huge = b"\x93NUMPY\x01\x00\x76\x00" + header.ljust(117)
    (tmp_path / "huge.npy").write_bytes(huge + b"\n")
    (tmp_path / "bad.h5").write_bytes(b"nothing")
    with h5py.File(tmp_path / "good.h5", "w") as file:
        file["line"] = np.zeros(5)
        file["text"] = "hello"
        file.create_dataset("huge", (1 << 20, 1 << 20), np.uint8, chunks=(1, 1024))
    names = ["empty.npy", "text.npy", "line.npy", "words.npy", "objects.npy", "huge.npy", "none.npy", "mask.tif"]
    names += ["bad.h5:/x", "none.h5:/x", "good.h5:/nowhere", "good.h5:/line", "good.h5:/text", "good.h5:/huge"]
    for name in [*names, "good.h5"]:
        with pytest.raises(UsageError, match=name.split(":")[0]):
            read_mask(f"{tmp_path}/{name}")


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "mask.npy", np.zeros((3, 3)))
    with pytest.raises(UsageError, match=r"the mask has shape \(3, 3\), the frame \(8, 10\)"):
        read_mask(tmp_path / "mask.npy", shape=SHAPE)


def test_mask_from_a_virtual_dataset_whose_source_is_missing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with h5py.File(tmp_path / "there/real.h5", "w") as file:
        file["mask"] = np.eye(3, dtype="u4")
    for name, source, dataset in (("beside", "real.h5", "mask"), ("whole", str(tmp_path / "gone/real.h5"), "/mask")):
        layout = h5py.VirtualLayout((3, 3), "u4")
        layout[:] = h5py.VirtualSource(source, dataset, (3, 3))
        with h5py.File(tmp_path / f"there/{name}.h5", "w") as file:
            file.create_virtual_dataset("mask", layout)
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["mask"] = h5py.ExternalLink(f"there/{name}.h5", "/mask")
        np.testing.assert_array_equal(read_mask(f"{tmp_path / name}.h5:/mask"), np.eye(3) > 0)
    with h5py.File(tmp_path / "there/real.h5", "a") as file:
        del file["mask"]
    with pytest.raises(UsageError, match=r"takes pixels from 'mask' of real\.h5, which is not there"):
        read_mask(f"{tmp_path}/beside.h5:/mask")
    (tmp_path / "there/real.h5").unlink()
    for name in ("beside", "whole"):
        with pytest.raises(UsageError, match=r"takes pixels from .*real\.h5, and there is no such file"):
            read_mask(f"{tmp_path / name}.h5:/mask")
