from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from glimt.kernels.color_maps import COLOR_MAPS, color_table
from glimt.kernels.picture_levels import SCALES, SHIFT, level_table
from glimt.kernels.preview import Preview, thumbnail
from glimt.model.errors import UsageError


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i4", "f4"])
@pytest.mark.parametrize(("binning", "expected"), [("mean", [[2.5, 5.0]]), ("max", [[4, 6]])])
def test_squares_become_their_mean_or_maximum(dtype: str, binning: str, expected: Any) -> None:
    frame = np.array([[1, 2, 4], [3, 4, 6]], dtype)
    assert Preview((2, 3), factor=2, binning=binning).bin(frame).tolist() == expected


def test_masked_pixels_count_for_nothing_and_a_masked_square_is_missing() -> None:
    frame = np.array([[1, 65535, 65535], [3, 65535, 65535]], np.uint16)
    preview = Preview((2, 3), factor=2, mask=frame == 65535, masked_color=(1, 2, 3))
    binned = preview.bin(frame)
    assert binned[0, 0] == 2.0
    assert np.isnan(binned[0, 1])
    assert preview.levels(frame, (0.0, 2.0)).tolist() == [[255, 0]]
    assert preview.render(frame, (0.0, 2.0))[0, 1].tolist() == [1, 2, 3]


@pytest.mark.parametrize("binning", ["mean", "max"])
def test_saturated_pixels_do_not_overflow(binning: str) -> None:
    for dtype in ("u2", "u4", "i4"):
        largest = np.iinfo(dtype).max
        binned = Preview((40, 40), factor=40, binning=binning).bin(np.full((40, 40), largest, dtype))
        np.testing.assert_allclose(binned, [[largest]], rtol=1e-6)


@pytest.mark.parametrize("scale", SCALES)
def test_levels_grow_from_1_to_255_and_stay_there(scale: str) -> None:
    values = np.array([-1e9, -np.inf, 5.0, *np.linspace(5, 500, 200), 500.0, 1e9, np.inf], np.float32)
    levels = level_table((5.0, 500.0), scale)[values.view(np.uint32) >> np.uint32(SHIFT)]
    assert levels[:3].tolist() == [1, 1, 1]
    assert levels[-3:].tolist() == [255, 255, 255]
    assert (np.diff(levels.astype(int)) >= 0).all()
    exact = {
        "linear": (values - 5) / 495,
        "sqrt": np.sqrt(np.maximum(values - 5, 0) / 495),
        "log": np.log1p(np.maximum(values - 5, 0)) / math.log1p(495),
    }[scale]
    assert np.abs(levels - (1 + 254 * np.clip(exact, 0, 1)))[3:-3].max() < 1.5
    assert level_table((5.0, 500.0), scale)[np.float32(np.nan).view(np.uint32) >> np.uint32(SHIFT)] == 0


def test_new_range_changes_the_picture() -> None:
    frame, preview = np.full((4, 4), 50, np.uint16), Preview((4, 4), scale="linear", color_map="gray")
    assert preview.render(frame, (0.0, 100.0))[0, 0].tolist() == [128, 128, 128]
    assert preview.render(frame, (0.0, 50.0))[0, 0].tolist() == [255, 255, 255]
    assert preview.render(frame, (0.0, 100.0))[0, 0].tolist() == [128, 128, 128]


def test_contrast_ignores_the_brightest_pixels() -> None:
    frame = np.random.default_rng(1).poisson(10, (200, 200)).astype(np.uint16)
    frame[5, 5] = 60000
    low, high = Preview((200, 200), factor=1).contrast(frame)
    assert 2 <= low <= 5
    assert 17 <= high <= 22


def test_contrast_of_nothing_and_of_a_flat_frame_is_a_range() -> None:
    preview = Preview((4, 4), mask=np.ones((4, 4)))
    assert preview.contrast(np.ones((4, 4))) == (0.0, 1.0)
    assert (preview.render(np.ones((4, 4))) == [64, 64, 96]).all()
    assert Preview((4, 4)).contrast(np.full((4, 4), 7)) == (7.0, 8.0)


def test_pictures_are_the_callers_own() -> None:
    preview = Preview((4, 4), scale="linear")
    first = preview.levels(np.zeros((4, 4), np.uint16), (0.0, 1.0))
    preview.levels(np.ones((4, 4), np.uint16), (0.0, 1.0))
    assert first.tolist() == [[1]]


@pytest.mark.parametrize(("shape", "picture"), [((2162, 2068), (241, 230)), ((9, 6), (9, 6)), ((1, 9999), (1, 250))])
def test_thumbnail_is_as_large_as_it_may_be(shape: tuple[int, int], picture: tuple[int, int]) -> None:
    assert thumbnail(shape, largest_side=256).picture_shape == picture


@pytest.mark.parametrize("name", COLOR_MAPS)
def test_color_maps_start_and_end_with_their_colors(name: str) -> None:
    table = color_table(name, masked_color=(9, 8, 7))
    assert table.shape == (256, 3)
    assert table[0].tolist() == [9, 8, 7]
    assert len({tuple(row) for row in table[1:].tolist()}) > 100
    if name == "viridis":
        assert table[1].tolist() == [0x44, 0x01, 0x54]
        assert table[255].tolist() == [0xFD, 0xE7, 0x25]


def test_color_maps_are_those_of_matplotlib() -> None:
    colormaps = pytest.importorskip("matplotlib", reason="matplotlib is not installed; no maps to compare").colormaps
    for name in ("viridis", "inferno"):
        theirs = colormaps[name](np.linspace(0, 1, 255))[:, :3] * 255
        assert np.abs(color_table(name)[1:] - theirs).max() < 8


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"factor": 0}, "factor is 0"),
        ({"factor": 5}, "factor is 5"),
        ({"binning": "sum"}, "no binning 'sum'; there are mean, max"),
        ({"scale": "cubic"}, "no scale 'cubic'; there are linear, sqrt, log"),
        ({"color_map": "jet"}, "no color map 'jet'; there are gray"),
        ({"masked_color": (0, 0, 256)}, "masked color"),
        ({"masked_color": (0.5, 0, 0)}, "masked color"),
        ({"mask": np.zeros((3, 4))}, "mask has shape"),
    ],
)
def test_argument_that_makes_no_sense_is_refused(options: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        Preview((4, 4), **options)


def test_ranges_that_do_not_grow_are_refused() -> None:
    preview = Preview((4, 4))
    with pytest.raises(UsageError, match="does not grow"):
        preview.render(np.zeros((4, 4)), (1.0, 1.0))
    with pytest.raises(UsageError, match="value_range is nan"):
        preview.levels(np.zeros((4, 4)), (0.0, np.nan))
    with pytest.raises(UsageError, match="percentiles"):
        preview.contrast(np.zeros((4, 4)), low=50, high=50)
    with pytest.raises(UsageError, match="largest_side is 0"):
        thumbnail((4, 4), largest_side=0)
