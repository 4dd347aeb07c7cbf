"""Pictures of the simulated detector."""

from __future__ import annotations

import numpy as np
import pytest

from glimt.model.errors import UsageError
from glimt.sim.scattering import MOVING_RING, RING_WIDTH, ScatteringScene, Setup
from glimt.sim.stins import StinsDetector


def test_the_same_seed_gives_the_same_pictures_and_another_seed_others() -> None:
    first, again, other = (list(ScatteringScene((40, 50), "uint16", seed=seed).pictures(3)) for seed in (4, 4, 5))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "uint32", "float32", "float64"])
def test_pictures_have_the_shape_and_type_asked_for_and_no_negative_counts(dtype: str) -> None:
    for picture in ScatteringScene((33, 64), dtype, seed=0).pictures(4):
        assert picture.shape == (33, 64)
        assert picture.dtype == dtype
        assert picture.min() >= 0


def test_counts_beyond_a_small_type_are_cut_off_and_do_not_wrap() -> None:
    wide = np.stack(list(ScatteringScene((128, 128), "uint32", seed=1).pictures(10)))
    narrow = np.stack(list(ScatteringScene((128, 128), "uint8", seed=1).pictures(10)))
    assert wide.max() > 255
    np.testing.assert_array_equal(narrow, np.minimum(wide, 255))


def test_the_ring_moves_from_one_known_q_to_the_other_and_back() -> None:
    shape = (256, 256)
    q = Setup(shape).momentum_transfer()
    pictures = list(ScatteringScene(shape, "float64", seed=2).pictures(8))

    def mean_near(picture: np.ndarray, position: float) -> float:
        return float(np.median(picture[np.abs(q - position) < RING_WIDTH]))

    empty, full = MOVING_RING
    assert mean_near(pictures[0], empty) > 5 * mean_near(pictures[0], full)
    assert mean_near(pictures[4], full) > 5 * mean_near(pictures[4], empty)
    assert mean_near(pictures[7], empty) > mean_near(pictures[4], empty)


def test_the_background_has_the_noise_of_counted_photons() -> None:
    shape = (400, 400)
    q = Setup(shape).momentum_transfer()
    picture = next(iter(ScatteringScene(shape, "float64", seed=3).pictures(1)))
    flat = picture[(q > 2.3) & (q < 2.5) & (picture < 15)]
    assert flat.size > 5000
    assert flat.var() / flat.mean() == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (7, 5)])
def test_tiny_detectors_have_pictures_too(shape: tuple[int, int]) -> None:
    assert [picture.shape for picture in ScatteringScene(shape, "uint16", seed=0).pictures(2)] == [shape, shape]


def test_rings_lie_at_the_radius_that_q_says() -> None:
    setup = Setup((300, 500))
    radius = setup.radius_px(MOVING_RING[0])
    slow, fast = setup.beam_center_px
    assert setup.momentum_transfer()[int(slow), int(fast + radius)] == pytest.approx(MOVING_RING[0], abs=0.01)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((0, 5), "uint16"), ((5, 5), "object"), ((1 << 20, 1 << 20), "uint8"), ((5,), "uint8")]
)
def test_an_impossible_detector_is_refused(shape: tuple[int, ...], dtype: str) -> None:
    with pytest.raises(UsageError):
        ScatteringScene(shape, dtype, seed=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"rate_hz": -1.0}, "rate -1.0 Hz"),
        ({"rate_hz": float("nan")}, "rate nan Hz"),
        ({"n_frames": -1}, "cannot be negative"),
        ({"compression": "zip"}, "'zip' is not one of none, lz4, bslz4"),
        ({"timeout_s": 0.0}, "positive number of seconds"),
    ],
)
def test_impossible_options_say_what_is_possible(change: dict[str, float], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        StinsDetector(**change)  # type: ignore[arg-type]
