"""Masks and saturation maps of CrystFEL geometry files, from arrays that the caller reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.codecs.crystfel_geometry import parse_geometry
from glimt.codecs.crystfel_geometry_detector import detector_geometry
from glimt.codecs.crystfel_geometry_planes import ReadPlanes, file_mask, saturation_values
from glimt.model.errors import UsageError

Plane = npt.NDArray[Any]

HEAD = """photon_energy = 9000
clen = 0.1
res = 10000
data = /data/data
"""
PANELS = """a/min_fs = 0
a/max_fs = 4
a/min_ss = 0
a/max_ss = 3
a/corner_x = 0
a/corner_y = 0
a/fs = x
a/ss = y
b/min_fs = 1
b/max_fs = 5
b/min_ss = 4
b/max_ss = 7
b/corner_x = 0
b/corner_y = 10
b/fs = x
b/ss = y
"""
SHAPE = (9, 7)


def reader(arrays: dict[tuple[str | None, str], Plane | None]) -> ReadPlanes:
    return lambda file, dataset: arrays[file, dataset]


def masked(text: str, arrays: dict[tuple[str | None, str], Plane | None], panels: str = PANELS) -> Plane | None:
    record = parse_geometry(HEAD + text + panels)
    return file_mask(record, detector_geometry(record, frame_shape=SHAPE), reader(arrays))


def test_good_bits_have_to_be_set_and_bad_bits_must_not_be() -> None:
    plane = np.zeros(SHAPE, np.uint16)
    plane[1] = [0, 1, 2, 3, 7, 5, 4]
    text = "mask_file = m.h5\nmask = /mask\nmask_good = 0x1\nmask_bad = 0x4\n"
    found = masked(text, {("m.h5", "/mask"): plane})
    assert found is not None
    assert found[1, :5].tolist() == [True, False, True, False, True]
    assert found[0, :5].all()
    assert not found[:, 6].any()  # on no panel
    assert not found[8].any()


def test_masks_with_several_numbers_all_exclude() -> None:
    one, other = np.zeros(SHAPE, np.uint8), np.ones(SHAPE, np.uint8)
    one[0, 0], other[5, 3] = 2, 0
    text = "mask0_data = /a\nmask0_badbits = 0xff\nmask7_data = /b\nmask7_file = f\nmask7_goodbits = 1\n"
    found = masked(text, {(None, "/a"): one, ("f", "/b"): other})
    assert found is not None
    assert np.argwhere(found).tolist() == [[0, 0], [5, 3]]


def test_panels_may_have_masks_of_their_own_and_bits_of_their_own() -> None:
    plane = np.full(SHAPE, 2, np.int32)
    panels = PANELS + "b/mask_bad = 2\n"
    found = masked("mask = /m\nmask_bad = 1\n", {(None, "/m"): plane}, panels)
    assert found is not None
    assert not found[:4].any()
    assert found[4:8, 1:6].all()
    assert found.sum() == 20


def test_negative_numbers_have_all_upper_bits() -> None:
    plane = np.zeros(SHAPE, np.int8)
    plane[2, 2] = -128
    found = masked("mask = /m\nmask_bad = 0x8000000000000000\n", {(None, "/m"): plane})
    assert found is not None
    assert np.argwhere(found).tolist() == [[2, 2]]


@pytest.mark.parametrize("dtype", ["?", "u8", "i8", "f4", "f8"])
def test_masks_of_any_type_with_whole_numbers_will_do(dtype: str) -> None:
    plane = np.zeros(SHAPE, dtype)
    plane[2, 2] = 1
    found = masked("mask = /m\nmask_bad = 1\n", {(None, "/m"): plane})
    assert found is not None
    assert np.argwhere(found).tolist() == [[2, 2]]


def test_a_mask_without_bits_excludes_nothing_and_one_that_cannot_be_is_left_out() -> None:
    found = masked("mask = /m\n", {(None, "/m"): np.full(SHAPE, 255, np.uint8)})
    assert found is not None
    assert not found.any()
    assert masked("mask = /m\nmask_bad = 1\n", {(None, "/m"): None}) is None
    assert masked("mask_bad = 1\nmask_file = m.h5\n", {}) is None


def test_modules_are_taken_by_the_axes_of_the_data() -> None:
    text = "dim0 = %\ndim2 = ss\ndim3 = fs\nmask = /m\nmask_bad = 1\nmask_file = f\n"
    panels = "".join(
        f"p{k}/{key}\n"
        for k in range(3)
        for key in (
            f"dim1 = {k}", "min_fs = 0", "max_fs = 6", "min_ss = 0", "max_ss = 2", "corner_x = 0",
            f"corner_y = {5 * k}", "fs = x", "ss = y",
        )
    )  # fmt: skip
    record = parse_geometry(HEAD + text + panels)
    detector = detector_geometry(record, frame_shape=(3, 3, 7))
    plane = np.random.default_rng(1).integers(0, 2, (3, 3, 7)).astype(np.uint8)
    for array in (plane, plane[np.newaxis]):
        found = file_mask(record, detector, reader({("f", "/m"): array}))
        np.testing.assert_array_equal(found, plane.reshape(9, 7) == 1)
    with pytest.raises(UsageError, match=r"mask0_data of panel p0, f:/m, has 4 planes, one for each image"):
        file_mask(record, detector, reader({("f", "/m"): np.zeros((4, 3, 3, 7), np.uint8)}))
    with pytest.raises(UsageError, match=r"panel p2, f:/m, has the shape \(2, 3, 7\); along 2 the panel needs 3"):
        file_mask(record, detector, reader({("f", "/m"): plane[:2]}))


@pytest.mark.parametrize(
    ("plane", "told"),
    [
        (np.zeros((9, 5), np.uint8), r"panel b, f:/m, has the shape \(9, 5\); along fs the panel needs 6"),
        (np.zeros((7, 7), np.uint8), r"panel b, f:/m, has the shape \(7, 7\); along ss the panel needs 8"),
        (np.zeros((1, 9, 7), np.uint8), r"panel a, f:/m, has the shape \(1, 9, 7\); the axes are ss, fs"),
        (np.full(SHAPE, 0.5), "no whole numbers"),
        (np.full(SHAPE, np.nan), "no whole numbers"),
        (np.zeros(SHAPE, "S3"), "whole numbers are needed"),
    ],
)
def test_arrays_that_do_not_fit_are_told_with_panel_and_place(plane: Plane, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        masked("mask = /m\nmask_bad = 1\nmask_file = f\n", {("f", "/m"): plane})


def test_masks_that_differ_from_image_to_image_are_told() -> None:
    with pytest.raises(UsageError, match=r"mask0_data of panel a, .*:/%/m, differs from image to image"):
        masked("data = /%/d\nmask = /%/m\nmask_bad = 1\n", {})


def test_another_detector_is_an_error() -> None:
    record = parse_geometry(HEAD + "mask = /m\nmask_bad = 1\n" + PANELS)
    other = parse_geometry(HEAD + PANELS.replace("b/max_fs = 5", "b/max_fs = 4"))
    with pytest.raises(UsageError, match="not made of this geometry file"):
        file_mask(record, detector_geometry(other), reader({(None, "/m"): np.zeros(SHAPE, np.uint8)}))


def test_saturation_is_the_lower_of_map_and_max_adu() -> None:
    values = np.full(SHAPE, 500.0)
    values[0, 0], values[0, 1], values[5, 2] = 10, np.nan, 10
    record = parse_geometry(HEAD + "saturation_map = /s\nsaturation_map_file = f\n" + PANELS + "a/max_adu = 100\n")
    found = saturation_values(record, detector_geometry(record, frame_shape=SHAPE), reader({("f", "/s"): values}))
    assert found is not None
    assert found[0, :3].tolist() == [10, 100, 100]
    assert found[5, 1:4].tolist() == [500, 10, 500]
    assert np.isinf(found[8]).all()
    plain = parse_geometry(HEAD + PANELS)
    assert saturation_values(plain, detector_geometry(plain), reader({})) is None
    with pytest.raises(UsageError, match=r"saturation_map of panel a, f:/s, has the type \|S1; numbers are needed"):
        saturation_values(
            record, detector_geometry(record, frame_shape=SHAPE), reader({("f", "/s"): np.zeros(SHAPE, "S1")})
        )
