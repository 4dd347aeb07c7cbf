"""The nine statistics of per-image analysis beside DIALS' own, on tables of spots and on pictures."""

from __future__ import annotations

import bz2
import dataclasses
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glimt.kernels.image_quality import ImageQualityAnalyzer
from glimt.model.detector_geometry import DetectorGeometry, Panel

PYTHON_WITH_DIALS = "/usr/bin/python3"
PROGRAM = Path(__file__).resolve().parents[1] / "peers" / "image_quality_dials.py"


@pytest.fixture(scope="module", autouse=True)
def _dials() -> None:
    asked = [PYTHON_WITH_DIALS, "-c", "import dials.algorithms.spot_finding.per_image_analysis"]
    if not Path(PYTHON_WITH_DIALS).exists() or subprocess.run(asked, capture_output=True).returncode:
        pytest.skip("DIALS is not installed (Debian: apt-get install python3-dials)")


def _ask_dials(*arguments: str | Path) -> None:
    done = subprocess.run([PYTHON_WITH_DIALS, PROGRAM, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


def _geometry(case: dict[str, Any]) -> DetectorGeometry:
    names = [field.name for field in dataclasses.fields(Panel)]
    panels = [Panel(**{name: panel[name] for name in names}) for panel in case["panels"]]
    return DetectorGeometry(panels, case["wavelength_angstrom"], case["beam"])


def _panels(n_panels: int, parallax: bool) -> list[dict[str, Any]]:
    sensor = {"sensor_thickness_mm": 0.45, "absorption_per_mm": 3.9, "parallax": parallax}
    flat = {
        "origin_mm": (-85.0, 80.0, -150.0),
        "fast": (1.0, 0.0, 0.0),
        "slow": (0.0, -1.0, 0.0),
        "pixel_size_mm": (0.172, 0.172),
        "shape": (1000, 1000),
    }
    turned = []
    for number in range(n_panels - 1):
        angle = 0.35 * (number + 1)
        fast = (float(np.cos(angle)), 0.0, float(np.sin(angle)))
        turned.append(
            flat | {"origin_mm": (90.0 + 60.0 * number, 80.0, -150.0), "fast": fast, "pixel_size_mm": (0.172, 0.1)}
        )
    return [panel | sensor for panel in [flat, *turned]]


def _case(seed: int, n_spots: int, *, n_panels: int, parallax: bool, **options: Any) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    x, y = 1000 * random.random((2, n_spots))
    distance = np.hypot(x - 494, y - 465)
    intensity = 1 + random.poisson(random.exponential(900 * np.exp(-((distance / 350) ** 2)) + 12))
    return {
        "panels": _panels(n_panels, parallax),
        "beam": (0.0, 0.0, -1.0),
        "wavelength_angstrom": 0.9,
        "panel_number": random.integers(0, n_panels, n_spots).tolist(),
        "x": x.tolist(),
        "y": y.tolist(),
        "intensity": [float(value) for value in options.pop("intensity", intensity)],
        "filter_ice": True,
        "ice_ring_width": 0.004,
    } | options


def _cases() -> list[dict[str, Any]]:
    cases = [
        _case(seed, n_spots, n_panels=n_panels, parallax=parallax)
        for seed, n_spots in enumerate((12, 30, 90, 130, 400, 900, 2500))
        for n_panels in (1, 3)
        for parallax in (False, True)
    ]
    cases += [_case(90 + n_spots, n_spots, n_panels=1, parallax=False) for n_spots in (0, 1, 10, 11, 13, 15)]
    cases.append(_case(70, 300, n_panels=1, parallax=False, filter_ice=False))
    cases.append(_case(71, 300, n_panels=3, parallax=True, ice_ring_width=0.02))
    cases.append(_case(72, 200, n_panels=1, parallax=False, intensity=np.full(200, 7)))
    cases.append(_case(73, 500, n_panels=1, parallax=False, intensity=1 + np.arange(500) % 6))
    return cases


def _ours(case: dict[str, Any], *, compiled: bool) -> tuple[dict[str, Any], Any]:
    spots = np.zeros(len(case["x"]), [("x", "f8"), ("y", "f8"), ("intensity", "f8"), ("panel_number", "i4")])
    for name in spots.dtype.names or ():
        spots[name] = case[name]
    analyzer = ImageQualityAnalyzer(
        _geometry(case),
        parallax=case["panels"][0]["parallax"],
        filter_ice=case.get("filter_ice", True),
        ice_ring_width=case.get("ice_ring_width", 0.004),
        compiled=compiled,
    )
    d_star = analyzer.resolution.d_star(spots["x"], spots["y"], panel_number=spots["panel_number"])
    return dataclasses.asdict(analyzer.analyze(spots)), d_star


def _assert_same(case: dict[str, Any], told: dict[str, Any], *, compiled: bool) -> None:
    quality, d_star = _ours(case, compiled=compiled)
    np.testing.assert_allclose(d_star, told["d_star"], rtol=1e-9)
    # The bar is 1 %; as the rules are the same, so are the numbers.
    assert quality == pytest.approx({name: told[name] for name in quality}, rel=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_statistics_of_tables_of_spots_are_those_of_dials(tmp_path: Path, compiled: bool) -> None:
    cases = _cases()
    (tmp_path / "in.json").write_text(json.dumps(cases))
    _ask_dials("table", tmp_path / "in.json", tmp_path / "out.json")
    told = json.loads((tmp_path / "out.json").read_text())
    assert len(told) == len(cases)
    assert sum(answer["estimated_d_min"] > 0 for answer in told) > 25
    for case, answer in zip(cases, told, strict=True):
        _assert_same(case, answer, compiled=compiled)


def test_statistics_of_pictures_are_those_of_the_find_spots_server(tmp_path: Path, shared_data: Path) -> None:
    pictures = []
    for number in (1, 7, 12):
        packed = shared_data / "gridscan_thaumatin_pilatus6m" / f"thau_3_2_{number:04}.cbf.bz2"
        pictures.append(tmp_path / packed.stem)
        pictures[-1].write_bytes(bz2.decompress(packed.read_bytes()))
    _ask_dials("images", tmp_path / "out.json", *pictures)
    for found in json.loads((tmp_path / "out.json").read_text()):
        assert found["panels"][0]["parallax"]
        _assert_same(found, found["statistics"] | {"d_star": found["d_star"]}, compiled=True)
