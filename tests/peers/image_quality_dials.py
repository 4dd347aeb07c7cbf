"""What DIALS says about spots, for comparison; a program for the Python that has DIALS, not a test by itself.

``image_quality_dials.py table IN.json OUT.json``: statistics of tables of spots on given detectors.
``image_quality_dials.py images OUT.json IMAGE...``: spots, detector and statistics of ``find_spots_server.work``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from cctbx.array_family import flex as cctbx_flex
from dials.algorithms.spot_finding import per_image_analysis
from dials.array_family import flex
from dxtbx.model import Beam, Detector, ParallaxCorrectedPxMmStrategy


def detector_of(panels: list[dict[str, Any]]) -> Detector:
    detector = Detector()
    for number, wanted in enumerate(panels):
        panel = detector.add_panel()
        panel.set_name(str(number))
        panel.set_frame(wanted["fast"], wanted["slow"], wanted["origin_mm"])
        slow_mm, fast_mm = wanted["pixel_size_mm"]
        panel.set_pixel_size((fast_mm, slow_mm))
        panel.set_image_size((wanted["shape"][1], wanted["shape"][0]))
        if wanted["parallax"]:
            mu, thickness = wanted["absorption_per_mm"], wanted["sensor_thickness_mm"]
            panel.set_px_mm_strategy(ParallaxCorrectedPxMmStrategy(mu, thickness))
    return detector


def statistics(case: dict[str, Any]) -> dict[str, Any]:
    detector, beam = detector_of(case["panels"]), Beam([-part for part in case["beam"]], case["wavelength_angstrom"])
    s0, lengths = beam.get_unit_s0(), []
    for number, x, y in zip(case["panel_number"], case["x"], case["y"], strict=True):
        place = detector[number].get_pixel_lab_coord((x, y))
        norm = sum(part**2 for part in place) ** 0.5
        r = [(part / norm - part0) / case["wavelength_angstrom"] for part, part0 in zip(place, s0, strict=True)]
        lengths.append(r)
    table = flex.reflection_table()
    table["rlp"] = cctbx_flex.vec3_double(lengths)
    table["intensity.sum.value"] = cctbx_flex.double(case["intensity"])
    table["intensity.sum.variance"] = cctbx_flex.double(case["intensity"])
    told = per_image_analysis.stats_for_reflection_table(
        table, filter_ice=case["filter_ice"], ice_rings_width=case["ice_ring_width"]
    )
    return {**told._asdict(), "d_star": list(table["rlp"].norms())}


def panels_of(detector: Detector) -> list[dict[str, Any]]:
    return [
        {
            "origin_mm": panel.get_origin(),
            "fast": panel.get_fast_axis(),
            "slow": panel.get_slow_axis(),
            "pixel_size_mm": panel.get_pixel_size()[::-1],
            "shape": panel.get_image_size()[::-1],
            "sensor_thickness_mm": panel.get_thickness(),
            "absorption_per_mm": panel.get_mu(),
            "parallax": type(panel.get_px_mm_strategy()).__name__ == "ParallaxCorrectedPxMmStrategy",
        }
        for panel in detector
    ]


def images(paths: list[str]) -> list[dict[str, Any]]:
    from dials.command_line import find_spots_server
    from dxtbx.model.experiment_list import ExperimentListFactory

    seen: list[Any] = []
    told = per_image_analysis.stats_for_reflection_table

    def listening(reflections: Any, **options: Any) -> Any:
        seen.append(reflections)
        return told(reflections, **options)

    per_image_analysis.stats_for_reflection_table = listening
    found = []
    for path in paths:
        stats = find_spots_server.work(path, ["d_max=40", "threshold.algorithm=dispersion"])
        experiment, table = ExperimentListFactory.from_filenames([path])[0], seen.pop()
        x, y, _ = table["xyzobs.px.value"].parts()
        found.append(
            {
                "statistics": stats,
                "panels": panels_of(experiment.detector),
                "beam": experiment.beam.get_unit_s0(),
                "wavelength_angstrom": experiment.beam.get_wavelength(),
                "panel_number": list(table["panel"]),
                "x": list(x),
                "y": list(y),
                "intensity": list(table["intensity.sum.value"]),
                "d_star": list(table["rlp"].norms()),
            }
        )
    return found


if sys.argv[1] == "table":
    cases = json.loads(Path(sys.argv[2]).read_text())
    Path(sys.argv[3]).write_text(json.dumps([statistics(case) for case in cases]))
else:
    Path(sys.argv[2]).write_text(json.dumps(images(sys.argv[3:])))
