"""The peaks of peakfinder8 beside those that OM (OnDA Monitor) finds.

OM is under the GPL and is only run as a program, in an environment of its own: the one that ``OM_PYTHON`` names a
Python of, or ``build/peer-om``, which ``OM_TESTS=1`` makes if it is not there (``tests/peers/make_om.py``; takes a
minute, the package registry and a C++ compiler). Without either these tests are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.kernels.peakfinder8 import PanelLayout, Peakfinder8, Peakfinder8Parameters
from glimt.kernels.radius_map import flat_radius_map

PROGRAM = Path(__file__).resolve().parents[1] / "peers" / "om_peakfinder8.py"
MAKE = PROGRAM.with_name("make_om.py")
MADE = Path(__file__).resolve().parents[2] / "build" / "peer-om" / "bin" / "python"
Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def om_python() -> str:
    python = os.environ.get("OM_PYTHON", "")
    if not python and os.environ.get("OM_TESTS", "") == "1":
        made = subprocess.run([sys.executable, str(MAKE)], capture_output=True, text=True, timeout=1800)
        assert made.returncode == 0, made.stderr[-1000:]
        python = made.stdout.strip()
    if not python and MADE.exists():
        python = str(MADE)
    if not python:
        pytest.skip("OM is not here: OM_TESTS=1 installs it into build/peer-om, OM_PYTHON names a Python that has it")
    asked = subprocess.run([python, "-W", "ignore", "-c", "import om"], capture_output=True, text=True, timeout=120)
    assert asked.returncode == 0, f"{python} has no OM: {asked.stderr[-500:]}"
    return python


def _frames(shape: tuple[int, int], mean: float, seed: int, *, n_frames: int = 3, n_spots: int = 60) -> Array:
    """Return frames with rings, peaks of all sizes, blobs too large for peaks, and saturated pixels."""
    random, (y, x) = np.random.default_rng(seed), np.indices(shape)
    radius = np.hypot(y - shape[0] / 2, x - shape[1] / 2) / max(shape)
    profile = 0.35 + 1.3 * np.exp(-(((radius - 0.2) / 0.06) ** 2)) + 0.8 * np.exp(-radius / 0.12)
    frames = np.empty((n_frames, *shape), np.uint16)
    for frame in frames:
        expected = profile * mean / profile.mean()
        for _ in range(n_spots):
            ss, fs, width = *(random.uniform(3, n - 3) for n in shape), random.uniform(0.6, 3.0)
            height = np.exp(random.uniform(np.log(5), np.log(4000)))
            spot = slice(max(int(ss) - 9, 0), int(ss) + 10), slice(max(int(fs) - 9, 0), int(fs) + 10)
            far = (y[spot] - ss) ** 2 + (x[spot] - fs) ** 2
            expected[spot] += height * np.exp(-far / (2 * width**2))
        frame[:] = np.minimum(random.poisson(expected), 65535)
        frame[random.random(shape) < 1e-4] = 65535
    return frames


def _ask_om(python: str, folder: Path, arrays: dict[str, Array], layout: PanelLayout, rule: Any) -> list[Array]:
    options = {
        "layout": {name: getattr(layout, name) for name in ("asic_nx", "asic_ny", "nasics_x", "nasics_y")},
        "parameters": {name: getattr(rule, name) for name in Peakfinder8Parameters.__slots__},
    }
    np.savez(folder / "given.npz", allow_pickle=False, **arrays)
    files = str(folder / "given.npz"), str(folder / "found.npz")
    arguments = [python, "-W", "ignore", str(PROGRAM), *files, json.dumps(options)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    tables = np.load(folder / "found.npz")
    return [tables[name] for name in tables.files]


def _compare(python: str, folder: Path, frames: Array, mask: Array, layout: PanelLayout, rule: Any) -> int:
    radius = flat_radius_map(mask.shape, (mask.shape[0] / 2 + 3.3, mask.shape[1] / 2 - 2.1), truncated=True)
    theirs = _ask_om(python, folder, {"frames": frames, "good": ~mask, "radius": radius}, layout, rule)
    finder, n_peaks = Peakfinder8(radius, rule, layout=layout, mask=mask), 0
    for frame, expected in zip(frames, theirs, strict=True):
        peaks = finder.find(frame).peaks
        assert len(peaks) == len(expected)
        np.testing.assert_array_equal(peaks["n_pixels"], expected[:, 3])
        np.testing.assert_allclose(peaks["fs"], expected[:, 0], atol=1e-3)
        np.testing.assert_allclose(peaks["ss"], expected[:, 1], atol=1e-3)
        np.testing.assert_allclose(peaks["intensity"], expected[:, 2], rtol=1e-5)
        np.testing.assert_allclose(peaks["max_intensity"], expected[:, 4], rtol=1e-5)
        # What OM calls snr is the standard deviation of the local background.
        np.testing.assert_allclose(peaks["intensity"] / peaks["snr"], expected[:, 5], rtol=1e-3)
        n_peaks += len(peaks)
    return n_peaks


def _mask(shape: tuple[int, int], seed: int) -> Array:
    mask: Array = np.random.default_rng(seed).random(shape) < 0.01
    mask[:, shape[1] // 3 : shape[1] // 3 + 7] = True
    # OM's flood fill looks at one entry of its queue too many. At first that is pixel (0, 0), whose neighbors it
    # thus adds to the first peak of a frame if they are above the threshold; CrystFEL repaired this in 2025.
    mask[:2, :2] = True
    return mask


@pytest.mark.parametrize(
    ("mean", "threshold", "snr", "counts", "radius"),
    [
        (0.05, 2.0, 4.0, (1, 30), 3),
        (0.9, 6.0, 5.0, (2, 40), 4),
        (0.9, 2.0, 3.0, (1, 8), 2),
        (5.0, 12.0, 5.0, (2, 50), 3),
        (60.0, 0.0, 6.0, (2, 200), 5),
        (300.0, 500.0, 5.0, (3, 30), 4),
    ],
)
def test_one_panel_has_the_same_peaks(
    om_python: str, tmp_path: Path, mean: float, threshold: float, snr: float, counts: tuple[int, int], radius: int
) -> None:
    shape = (500, 613)
    rule = Peakfinder8Parameters(threshold, snr, *counts, radius)
    n_peaks = _compare(om_python, tmp_path, _frames(shape, mean, seed=7), _mask(shape, 8), PanelLayout(613, 500), rule)
    assert n_peaks > 20


@pytest.mark.parametrize("dtype", ["i4", "f4"])
def test_negative_and_fractional_pixels_have_the_same_peaks(om_python: str, tmp_path: Path, dtype: str) -> None:
    shape = (300, 313)
    frames = _frames(shape, 5.0, seed=3).astype(np.float64) * 7 + np.random.default_rng(4).normal(-20, 10, shape)
    rule = Peakfinder8Parameters(60.0, 4.0, 2, 60, 4)
    layout = PanelLayout(shape[1], shape[0])
    assert _compare(om_python, tmp_path, frames.astype(dtype), _mask(shape, 5), layout, rule) > 20


def test_limit_keeps_the_same_peaks(om_python: str, tmp_path: Path) -> None:
    shape = (300, 313)
    rule = Peakfinder8Parameters(6.0, 5.0, 2, 40, 4, max_num_peaks=9)
    layout = PanelLayout(shape[1], shape[0])
    assert _compare(om_python, tmp_path, _frames(shape, 0.9, seed=3), _mask(shape, 5), layout, rule) == 27


def test_panels_have_the_same_peaks(om_python: str, tmp_path: Path) -> None:
    """One frame at a time with a peak in the middle of each panel, so that what OM's queue still holds stays there.

    The entry too many of OM's flood fill is otherwise a place of an earlier peak, in another panel.
    """
    shape, layout = (240, 312), PanelLayout(52, 80, 6, 3)
    y, x = np.indices(shape)
    random = np.random.default_rng(9)
    far = (y % 80 - 40 - random.uniform(-0.5, 0.5)) ** 2 + (x % 52 - 26 - random.uniform(-0.5, 0.5)) ** 2
    frames = random.poisson(np.array([0.9 + height * np.exp(-far / 2) for height in (30, 100, 1000)])).astype("u2")
    frames[:, 60:100, 100:108] += random.poisson(20, (3, 40, 8)).astype(np.uint16)  # across four panels, too large
    rule = Peakfinder8Parameters(7.0, 5.0, 2, 40, 4)
    mask = np.zeros(shape, np.bool_)
    for panel in np.ndindex(3, 6):
        mask[panel[0] * 80 : panel[0] * 80 + 2, panel[1] * 52 : panel[1] * 52 + 2] = True
    assert _compare(om_python, tmp_path, frames, mask, layout, rule) > 40
