"""Two panels in one array, and the global threshold that DIALS chooses by itself, beside DIALS 3.12."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.kernels.global_threshold import estimate_global_threshold
from glimt.model.detector_geometry import DetectorGeometry, Panel
from glimt.model.panel_placement import PanelPlacement
from glimt.pipeline.workers.image_analysis import ImageAnalyzer
from glimt.pipeline.workers.spot_options import parse_spot_options

PYTHON = "/usr/bin/python3"
PEER = Path(__file__).resolve().parents[1] / "peers" / "dials_spots.py"
SHAPES = ((190, 210), (150, 240))
SPOTS_ACROSS_THE_BORDER = 12


@pytest.fixture(scope="module")
def dials() -> Any:
    """Run the peer with arguments."""
    asked = [PYTHON, "-c", "import dials.command_line.find_spots"]
    if not Path(PYTHON).exists() or subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip("DIALS is not installed (apt-get install python3-dials); nothing to compare with")

    def run(*arguments: str | Path) -> None:
        told = subprocess.run(
            [PYTHON, str(PEER), *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
        )
        assert told.returncode == 0, told.stderr[-3000:]

    return run


def _detector() -> tuple[dict[str, Any], DetectorGeometry]:
    """Return two panels for the peer and for us: one flat below, one tilted above, touching in the array."""
    tilt = 0.15
    records: list[dict[str, Any]] = [
        {
            "origin_mm": (-18.0, -36.0, -90.0),
            "fast": (1.0, 0.0, 0.0),
            "slow": (0.0, 1.0, 0.0),
        },
        {
            "origin_mm": (-20.0, 2.0, -90.0),
            "fast": (1.0, 0.0, 0.0),
            "slow": (0.0, float(np.cos(tilt)), float(np.sin(tilt))),
        },
    ]
    for record, shape in zip(records, SHAPES, strict=True):
        record |= {"pixel_size_mm": (0.172, 0.172), "shape": shape}
    told: dict[str, Any] = {"panels": records, "beam": (0.0, 0.0, -1.0), "wavelength_angstrom": 0.95}
    places = [PanelPlacement(0, 5, SHAPES[0]), PanelPlacement(190, 0, SHAPES[1])]
    geometry = DetectorGeometry(
        [Panel(**record) for record in records], 0.95, told["beam"], placements=places, frame_shape=(340, 245)
    )
    return told, geometry


def _frame(seed: int) -> npt.NDArray[np.int32]:
    random = np.random.default_rng(seed)
    frame = random.poisson(0.9, (340, 245))
    slow, fast = np.ogrid[:340, :245]
    across = [(190.0, x) for x in np.linspace(20, 200, SPOTS_ACROSS_THE_BORDER)]
    for y, x in [*(random.random((170, 2)) * (340, 245)), *across]:
        height, width = np.exp(random.uniform(2, 7)), random.uniform(0.7, 1.6)
        frame += random.poisson(height * np.exp(-((slow - y) ** 2 + (fast - x) ** 2) / (2 * width**2)))
    frame[random.random(frame.shape) < 0.001] = -1
    return frame.astype(np.int32)


CASES = [
    ("dispersion", ""),
    ("dispersion_extended", ""),
    ("dispersion_extended", "global_threshold=Auto"),
    ("dispersion", "global_threshold=Auto kernel_size=2,4 sigma_strong=4"),
]


@pytest.mark.parametrize("seed", [1, 2])
def test_two_panels_have_the_pixels_spots_and_statistics_of_dials(dials: Any, tmp_path: Path, seed: int) -> None:
    told, geometry = _detector()
    shape, placements = geometry.layout()
    frame = _frame(seed)
    cases = []
    for threshold, text in CASES:
        options = parse_spot_options(text)
        phil = f"spotfinder.threshold.algorithm={threshold}\nspotfinder.filter.min_spot_size=3\n"
        phil += "\n".join(f"spotfinder.threshold.dispersion.{item}" for item in text.split())
        rule = {"threshold": threshold, "kernel_size": options.kernel_size, "min_local": options.min_local}
        rule |= {"sigma_background": options.sigma_background, "sigma_strong": options.sigma_strong}
        cases.append({"phil": phil, "rule": rule})
    panels: dict[str, Any] = {f"panel_{n}": frame[place.area] for n, place in enumerate(placements)}
    np.savez(tmp_path / "in.npz", detector=json.dumps(told), cases=json.dumps(cases), **panels)
    dials("panels", tmp_path / "in.npz", tmp_path / "out.json")
    answers = json.loads((tmp_path / "out.json").read_text())
    for (threshold, text), answer in zip(CASES, answers, strict=True):
        options = parse_spot_options(f"{text} algorithm={threshold} disable_parallax_correction=true")
        analyzer = ImageAnalyzer(geometry, options=options)
        table = analyzer.find_spots(frame)
        assert shape == (340, 245)
        for panel, place in enumerate(placements):
            slow, fast = np.divmod(table.pixels, shape[1])
            there = (slow >= place.slow_start) & (slow < place.slow_stop)
            own = (slow[there] - place.slow_start) * place.shape[1] + fast[there] - place.fast_start
            assert own.tolist() == answer["strong"][panel]
            assert len(own) > 100
        ours = np.stack([table["panel_number"], table["x"], table["y"], table["intensity"]], axis=1)
        theirs = np.array(answer["spots"])
        assert len(ours) == len(theirs) > 60
        for one in (ours, theirs):
            one[:] = one[np.lexsort(np.round(one[:, 2::-1].T, 3))]
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
        quality = dataclasses.asdict(analyzer.analyze(frame))
        assert quality["estimated_d_min"] > 0
        assert quality == pytest.approx({name: answer["statistics"][name] for name in quality}, rel=1e-6)
    assert answers[2]["global_threshold"] > 0


def test_the_global_threshold_is_the_one_that_dials_chooses(dials: Any, tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    frames: list[npt.NDArray[Any]] = []
    for mean in (0.0, 0.05, 0.9, 4.0, 30.0, 900.0, 5000.0):
        frame = random.poisson(mean, (60, 70))
        frames += [frame, frame + (random.random(frame.shape) < 0.02) * random.integers(0, 5000, frame.shape)]
        frames.append(frames[-1] * 0.5)
        frames.append(np.where(random.random(frame.shape) < 0.1, -1, frames[-2]))
    given: dict[str, Any] = {f"frame_{n}": frame for n, frame in enumerate(frames)}
    np.savez(tmp_path / "in.npz", **given)
    dials("threshold", tmp_path / "in.npz", tmp_path / "out.json")
    told = json.loads((tmp_path / "out.json").read_text())
    assert [estimate_global_threshold(frame) for frame in frames] == told
    assert [estimate_global_threshold(frame, compiled=False) for frame in frames] == told
    assert len(set(told)) > 4
