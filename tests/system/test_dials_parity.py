"""The same strong pixels, spots and masks as DIALS 3.12, which runs as a program of its own Python."""

from __future__ import annotations

import bz2
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.kernels.masks import mask_circle, mask_polygon, mask_rectangle
from glimt.kernels.spot_filters import SpotFilter
from glimt.kernels.spots import SpotFinder, SpotTable
from glimt.kernels.strong_pixels import StrongPixelFinder

PYTHON = "/usr/bin/python3"
"""Of Debian, whose package python3-dials it sees."""

PEER = Path(__file__).resolve().parents[1] / "peers" / "dials_spots.py"
THRESHOLDS = ("dispersion", "dispersion_extended")
DEFAULTS: dict[str, Any] = {
    "kernel_size": (3, 3), "sigma_background": 6.0, "sigma_strong": 3.0, "global_threshold": 0.0, "min_local": 2,
}  # fmt: skip
FILTER: dict[str, Any] = {"min_spot_size": 3, "max_spot_size": 1000, "max_separation": 2.0}


@pytest.fixture(scope="module")
def dials() -> Any:
    """Run the peer with arguments."""
    try:
        found = subprocess.run([PYTHON, "-c", "import dials"], capture_output=True, timeout=120, check=False)
    except OSError:
        pytest.skip(f"there is no {PYTHON}, and with it no DIALS of Debian to compare with")
    if found.returncode:
        pytest.skip("DIALS is not installed (apt-get install python3-dials); nothing to compare with")

    def run(*arguments: str | Path) -> str:
        told = subprocess.run(
            [PYTHON, str(PEER), *map(str, arguments)], capture_output=True, text=True, timeout=600, check=False
        )
        assert told.returncode == 0, told.stderr[-2000:]
        return told.stdout

    return run


def _frame(random: np.random.Generator, shape: tuple[int, int], mean: float) -> npt.NDArray[np.int64]:
    slow, fast = np.ogrid[: shape[0], : shape[1]]
    ring = 0.4 + np.exp(-(((np.hypot(slow - 60, fast - 70) - 40) / 8) ** 2))
    frame = random.poisson(mean * ring)
    for _ in range(shape[0] * shape[1] // 900):
        y, x = random.random(2) * shape
        height, width = np.exp(random.uniform(1, 9)), random.uniform(0.6, 1.8)
        frame += random.poisson(height * np.exp(-((slow - y) ** 2 + (fast - x) ** 2) / (2 * width**2)))
    return np.asarray(frame)


def _mask(random: np.random.Generator, shape: tuple[int, int], kind: str) -> npt.NDArray[np.bool_]:
    mask = random.random(shape) < {"none": 0.0, "gaps": 0.002, "half": 0.5, "all": 2.0}[kind]
    if kind == "gaps":
        mask[shape[0] // 3 : shape[0] // 3 + 5] = True
        mask[:, shape[1] // 2 : shape[1] // 2 + 3] = True
    return mask


RULES: list[dict[str, Any]] = [
    {},
    {"kernel_size": (2, 4)},
    {"kernel_size": (1, 1)},
    {"kernel_size": (6, 3), "sigma_background": 4.0},
    {"sigma_background": 0.0, "sigma_strong": 0.0},
    {"sigma_background": 3.3, "sigma_strong": 1.7},
    {"min_local": 0},
    {"min_local": 30, "global_threshold": 12.0},
    {"gain": "number"},
    {"gain": "map", "sigma_background": 4.0},
]
FRAMES: list[tuple[tuple[int, int], float, str, str]] = [
    ((150, 170), 0.05, "uint16", "gaps"),
    ((150, 170), 0.9, "uint16", "gaps"),
    ((150, 170), 0.9, "uint8", "half"),
    ((150, 170), 0.9, "float32", "gaps"),
    ((151, 173), 25.0, "int32", "none"),
    ((90, 131), 3000.0, "uint32", "gaps"),
    ((60, 61), 0.9, "huge", "none"),
    ((60, 61), 4.0, "negative", "gaps"),
    ((5, 3), 2.0, "uint16", "none"),
    ((1, 40), 2.0, "uint16", "none"),
    ((1, 1), 2.0, "uint16", "none"),
    ((40, 40), 2.0, "uint16", "all"),
]


def _typed(random: np.random.Generator, frame: npt.NDArray[np.int64], kind: str) -> npt.NDArray[Any]:
    if kind == "huge":
        frame[random.random(frame.shape) < 0.01] = (1 << 24) + random.integers(-2, 3)
        return frame.astype(np.uint32)
    if kind == "negative":
        frame[random.random(frame.shape) < 0.02] = -3
        return frame.astype(np.int32)
    if kind.startswith("float"):
        return (frame * 0.5).astype(kind)  # halves, so that sums are exact in any order
    return np.minimum(frame, np.iinfo(kind).max).astype(kind)


def _cases(threshold: str) -> list[tuple[npt.NDArray[Any], npt.NDArray[np.bool_], dict[str, Any], Any]]:
    cases = []
    for n, (shape, mean, kind, masked) in enumerate(FRAMES):
        random = np.random.default_rng(n)
        frame, mask = _typed(random, _frame(random, shape, mean), kind), _mask(random, shape, masked)
        for changes in RULES:
            rule = DEFAULTS | changes
            gain = {None: None, "number": 1.6, "map": random.uniform(0.5, 2.5, shape)}[rule.pop("gain", None)]
            cases.append((frame, mask, rule | {"threshold": threshold}, gain))
    return cases


def _assert_same_spots(ours: SpotTable, theirs: npt.NDArray[np.float64]) -> None:
    assert len(ours) == len(theirs)
    own = np.stack([ours["x"], ours["y"], ours["intensity"], ours["variance"], ours["n_pixels"]], axis=1)
    for table in (own, theirs):
        table[:] = table[np.lexsort(np.round(table[:, :2].T, 3))]
    # DIALS keeps and adds the pixels of a spot in single precision, which rounds sums beyond 2^24.
    np.testing.assert_allclose(own, theirs, rtol=1e-6)


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_generated_frames_have_the_strong_pixels_and_spots_of_dials(dials: Any, tmp_path: Path, threshold: str) -> None:
    cases, given = _cases(threshold), {}
    for n, (frame, mask, rule, gain) in enumerate(cases):
        given |= {f"frame_{n}": frame, f"mask_{n}": mask, f"case_{n}": json.dumps(rule | FILTER)}
        if gain is not None:
            given[f"gain_{n}"] = np.broadcast_to(gain, frame.shape)
    np.savez(tmp_path / "in.npz", **given)
    dials("frames", tmp_path / "in.npz", tmp_path / "out.npz")
    told, n_strong = np.load(tmp_path / "out.npz"), 0
    for n, (frame, mask, rule, gain) in enumerate(cases):
        finder = SpotFinder(
            frame.shape, mask=mask, gain=gain, max_strong_fraction=1.0, filter=SpotFilter(**FILTER), **rule
        )
        table = finder.find(frame)
        where = f"{frame.dtype} {frame.shape} {rule} gain {np.shape(gain)}"
        np.testing.assert_array_equal(table.pixels, told[f"strong_{n}"], err_msg=where)
        _assert_same_spots(table, told[f"spots_{n}"])
        n_strong += table.n_strong
    assert n_strong > 10_000


@pytest.mark.slow
def test_real_images_have_the_strong_pixels_and_spots_of_dials(dials: Any, tmp_path: Path, shared_data: Path) -> None:
    numbers = (1, 6, 10, 14, 19)
    paths = []
    for number in numbers:
        packed = shared_data / "gridscan_thaumatin_pilatus6m" / f"thau_3_2_{number:04d}.cbf.bz2"
        paths.append(tmp_path / packed.stem)
        paths[-1].write_bytes(bz2.decompress(packed.read_bytes()))
    dials("images", tmp_path / "out.npz", *paths)
    told, n_spots = np.load(tmp_path / "out.npz"), 0
    for n in range(len(numbers)):
        frame, (lowest, highest) = told[f"frame_{n}"], told[f"trusted_{n}"]
        for threshold in THRESHOLDS:
            for where in ({"mask": told[f"mask_{n}"]}, {"trusted_range": (lowest + 1, highest - 1)}):
                table = SpotFinder(frame.shape, threshold=threshold, **where).find(frame)
                np.testing.assert_array_equal(table.pixels, told[f"strong_{n}_{threshold}"])
                _assert_same_spots(table, told[f"spots_{n}_{threshold}"])
                n_spots += len(table)
    assert n_spots > 1000


def test_shapes_exclude_the_pixels_that_dials_excludes(dials: Any, tmp_path: Path) -> None:
    random, wanted = np.random.default_rng(5), []
    for _ in range(12):
        corners = (random.random((random.integers(4, 9), 2)) * (60, 45) - 5).round(1)
        wanted.append({"shape": (37, 50), "polygon": corners.tolist()})
        wanted.append({"shape": (37, 50), "circle": [*(random.random(2) * (50, 37)).round(1), random.uniform(1, 15)]})
    wanted.append({"shape": (37, 50), "polygon": [[2, 3], [20, 3], [20, 30], [2, 30]]})
    wanted.append({"shape": (37, 50), "rectangle": [3, 50, 0, 7]})
    (tmp_path / "in.json").write_text(json.dumps(wanted))
    dials("shapes", tmp_path / "in.json", tmp_path / "out.npz")
    told = np.load(tmp_path / "out.npz")
    for n, one in enumerate(wanted):
        shape: Any = one["shape"]
        if "polygon" in one:
            mask = mask_polygon(shape, one["polygon"])
        elif "circle" in one:
            x, y, radius = one["circle"]
            mask = mask_circle(shape, x=x, y=y, radius=radius)
        else:
            x0, x1, y0, y1 = one["rectangle"]
            mask = mask_rectangle(shape, fast=(x0, x1), slow=(y0, y1))
        np.testing.assert_array_equal(mask, told[f"mask_{n}"], err_msg=str(one))
        assert mask.any()


def test_the_peer_finds_other_pixels_with_another_rule(dials: Any, tmp_path: Path) -> None:
    """Guards the comparison itself: equal answers must not be empty or deaf to the parameters."""
    random = np.random.default_rng(3)
    frame, mask = _frame(random, (150, 170), 0.9).astype(np.uint16), np.zeros((150, 170), np.bool_)
    rule = DEFAULTS | {"threshold": "dispersion", "sigma_background": 5.0}
    np.savez(tmp_path / "in.npz", frame_0=frame, mask_0=mask, case_0=json.dumps(rule | FILTER))
    dials("frames", tmp_path / "in.npz", tmp_path / "out.npz")
    theirs = np.load(tmp_path / "out.npz")["strong_0"]
    assert theirs.size > 100
    assert not np.array_equal(StrongPixelFinder(frame.shape).find(frame), theirs)
