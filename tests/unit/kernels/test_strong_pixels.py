from __future__ import annotations

import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.kernels.dispersion_sums_compiled import OK, UNUSUAL
from glimt.kernels.strong_pixels import StrongPixelFinder
from glimt.model.errors import UsageError

SHAPE = (70, 90)
THRESHOLDS = ("dispersion", "dispersion_extended")


def _frame(seed: int = 1, mean: float = 0.9, dtype: Any = np.uint16) -> npt.NDArray[Any]:
    frame = np.random.default_rng(seed).poisson(mean, SHAPE)
    frame[20:23, 30:33] += 90
    frame[21, 31] += 400
    frame[50, 60:64] += 60
    return frame.astype(dtype)


def _quick_status(finder: StrongPixelFinder, frame: npt.NDArray[Any]) -> int:
    assert finder._search is not None
    return finder._search._find_quickly(frame)[0]


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_a_bright_spot_is_strong_and_its_background_is_not(threshold: Any) -> None:
    found = StrongPixelFinder(SHAPE, threshold=threshold).find(_frame())
    slow, fast = np.divmod(found, SHAPE[1])
    assert {(21, 31), (20, 30), (22, 32), (50, 61)} <= set(zip(slow.tolist(), fast.tolist(), strict=True))
    assert found.size < 40
    assert (np.diff(found) > 0).all()


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("compiled", [True, False])
def test_frames_with_nothing_in_them_have_no_strong_pixels(threshold: Any, compiled: bool) -> None:
    finder = StrongPixelFinder(SHAPE, threshold=threshold, compiled=compiled)
    for frame in (np.zeros(SHAPE, np.uint16), np.full(SHAPE, 7, np.int32), np.full(SHAPE, np.nan, np.float32)):
        assert finder.find(frame).size == 0
    everything = StrongPixelFinder(SHAPE, threshold=threshold, compiled=compiled, mask=np.ones(SHAPE, np.bool_))
    assert everything.find(_frame()).size == 0


def test_masked_pixels_are_never_strong() -> None:
    mask = np.zeros(SHAPE, np.bool_)
    mask[20:23, 30:33] = True
    found = StrongPixelFinder(SHAPE, mask=mask).find(_frame())
    assert not mask.ravel()[found].any()
    assert found.size > 0


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int32])
def test_ordinary_frames_of_counts_take_the_quick_way(threshold: Any, dtype: Any) -> None:
    mask = np.zeros(SHAPE, np.bool_)
    mask[:, 40:43] = True
    finder = StrongPixelFinder(SHAPE, threshold=threshold, mask=mask, trusted_range=(0, 250))
    frame = np.minimum(_frame(), 255).astype(dtype)
    assert _quick_status(finder, frame) == OK


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_unusual_frames_take_the_other_way(threshold: Any) -> None:
    finder, plain = (StrongPixelFinder(SHAPE, threshold=threshold, compiled=which) for which in (True, False))
    negative, huge = _frame(dtype=np.int32), _frame(dtype=np.uint32)
    negative[3, 4], huge[5, 6] = -1, 1 << 24
    for frame in (negative, huge):
        assert _quick_status(finder, frame) == UNUSUAL
        np.testing.assert_array_equal(finder.find(frame), plain.find(frame))


def test_a_negative_pixel_that_is_masked_is_nothing_unusual() -> None:
    frame = _frame(dtype=np.int32)
    frame[3, 4] = -1
    mask = frame < 0
    assert _quick_status(StrongPixelFinder(SHAPE, mask=mask), frame) == OK
    assert _quick_status(StrongPixelFinder(SHAPE, trusted_range=(0, 1e6)), frame) == OK


def test_untrusted_pixels_of_one_frame_do_not_touch_the_next() -> None:
    finder = StrongPixelFinder(SHAPE, trusted_range=(0, 300))
    expected = finder.find(_frame(seed=2))
    hot = _frame(seed=2)
    hot[::9, ::7] = 65535
    assert not np.isin(np.flatnonzero(hot == 65535), finder.find(hot)).any()
    np.testing.assert_array_equal(finder.find(_frame(seed=2)), expected)


def test_more_untrusted_pixels_than_there_is_room_for_are_handled_too() -> None:
    hot = _frame()
    hot[np.random.default_rng(1).random(SHAPE) < 0.2] = 65535
    finder, plain = (StrongPixelFinder(SHAPE, trusted_range=(0, 60000), compiled=which) for which in (True, False))
    assert _quick_status(finder, hot) == UNUSUAL
    np.testing.assert_array_equal(finder.find(hot), plain.find(hot))
    np.testing.assert_array_equal(finder.find(_frame()), plain.find(_frame()))


def test_the_trusted_range_includes_its_ends() -> None:
    frame = _frame()
    peak = int(frame.max())
    where = int(frame.argmax())
    assert where in StrongPixelFinder(SHAPE, trusted_range=(0, peak)).find(frame)
    assert where not in StrongPixelFinder(SHAPE, trusted_range=(0, peak - 1)).find(frame)


def test_gain_one_changes_nothing_and_a_large_gain_hides_weak_spots() -> None:
    plain = StrongPixelFinder(SHAPE).find(_frame())
    np.testing.assert_array_equal(StrongPixelFinder(SHAPE, gain=1.0).find(_frame()), plain)
    np.testing.assert_array_equal(StrongPixelFinder(SHAPE, gain=np.ones(SHAPE)).find(_frame()), plain)
    assert StrongPixelFinder(SHAPE, gain=1000.0).find(_frame()).size < plain.size


def test_a_whole_neighborhood_can_be_demanded() -> None:
    frame = _frame()
    frame[0, 0:3] = 300
    edge = {0, 1, 2}
    assert edge <= set(StrongPixelFinder(SHAPE).find(frame).tolist())
    assert not edge & set(StrongPixelFinder(SHAPE, min_local=0).find(frame).tolist())


@pytest.mark.parametrize("compiled", [True, False])
def test_too_many_strong_pixels_are_an_error_that_says_what_to_do(compiled: bool) -> None:
    finder = StrongPixelFinder(SHAPE, max_strong_fraction=0.001, compiled=compiled)
    with pytest.raises(UsageError, match=r"strong, at most 6 make sense: is there a mask .* max_strong_fraction"):
        finder.find(_frame())


def test_extended_finds_the_flanks_of_a_wide_spot_too() -> None:
    slow, fast = np.ogrid[: SHAPE[0], : SHAPE[1]]
    frame = _frame() + np.rint(300 * np.exp(-((slow - 40) ** 2 + (fast - 40) ** 2) / 18)).astype(np.uint16)
    plain = StrongPixelFinder(SHAPE, threshold="dispersion").find(frame)
    extended = StrongPixelFinder(SHAPE, threshold="dispersion_extended").find(frame)
    assert extended.size > 2 * plain.size


def test_several_finders_work_in_several_threads_at_once() -> None:
    frames = [_frame(seed) for seed in range(4)]
    expected = [StrongPixelFinder(SHAPE).find(frame) for frame in frames]
    wrong: list[int] = []

    def work(n: int) -> None:
        finder = StrongPixelFinder(SHAPE)
        if any(not np.array_equal(finder.find(frames[n]), expected[n]) for _ in range(20)):
            wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"threshold": "dozor"}, "threshold is 'dozor'; dispersion or dispersion_extended"),
        ({"kernel_size": 3}, "kernel_size is 3; two half sizes"),
        ({"kernel_size": (0, 3)}, r"kernel_size\[0\] is 0"),
        ({"kernel_size": (3, 26)}, r"kernel_size\[1\] is 26"),
        ({"sigma_background": float("nan")}, "sigma_background is nan"),
        ({"sigma_strong": -1}, "sigma_strong is -1"),
        ({"min_local": 1}, "min_local is 1; one pixel has no variance"),
        ({"min_local": 50}, "min_local is 50"),
        ({"global_threshold": -2}, "global_threshold is -2"),
        ({"gain": 0.0}, "the gain has a value that is not a positive number"),
        ({"gain": np.full(SHAPE, np.nan)}, "the gain has a value"),
        ({"gain": np.ones((2, 2))}, r"the gain has shape \(2, 2\)"),
        ({"mask": np.zeros((3, 3))}, r"the mask has shape \(3, 3\)"),
        ({"trusted_range": (5, 1)}, "trusted_range is 5 to 1"),
        ({"trusted_range": 7}, "trusted_range is 7"),
        ({"max_strong_fraction": 2}, "max_strong_fraction is 2"),
    ],
)
def test_arguments_that_make_no_sense_are_named(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        StrongPixelFinder(SHAPE, **arguments)


@pytest.mark.parametrize("frame", [np.zeros((3, 3)), np.zeros(SHAPE, np.complex64), np.zeros((1, *SHAPE))])
def test_a_frame_of_another_kind_is_refused(frame: npt.NDArray[Any]) -> None:
    with pytest.raises(UsageError, match="the frame has"):
        StrongPixelFinder(SHAPE).find(frame)


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("mean", [20, 1200, 1320, 1500, 9000])
def test_bright_pixels_on_any_background_are_the_plain_ones(threshold: Any, mean: int) -> None:
    random = np.random.default_rng(mean)
    frame = random.integers(mean - 5, mean + 5, SHAPE)
    frame[10:14, 20:24] = 60_000
    frame[40:42, 50] = mean * 3
    finder, plain = (StrongPixelFinder(SHAPE, threshold=threshold, compiled=which) for which in (True, False))
    expected = plain.find(frame.astype(np.uint16))
    assert expected.size >= 4
    np.testing.assert_array_equal(finder.find(frame.astype(np.uint16)), expected)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_a_saturated_core_is_a_hole_in_its_spot(threshold: Any) -> None:
    slow, fast = np.ogrid[: SHAPE[0], : SHAPE[1]]
    bump = 3000 * np.exp(-((slow - 40) ** 2 + (fast - 40) ** 2) / 60)
    frame = (_frame() + np.random.default_rng(1).poisson(bump)).astype(np.uint16)
    finder, plain = (
        StrongPixelFinder(SHAPE, threshold=threshold, trusted_range=(0, 2500), compiled=which)
        for which in (True, False)
    )
    assert _quick_status(finder, frame) == OK
    expected = plain.find(frame)
    np.testing.assert_array_equal(finder.find(frame), expected)
    assert expected.size > 9
    assert (frame > 2500).sum() > 3
