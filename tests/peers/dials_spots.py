"""What DIALS finds on frames, for comparison; a program for the Python that has DIALS, not a test by itself.

``dials_spots.py frames IN.npz OUT.npz``: strong pixels and spots of the frames ``frame_0`` ... with ``mask_0`` ...
(True = excluded), optional ``gain_0`` ... and parameters ``case_0`` ... as JSON.
``dials_spots.py images OUT.npz IMAGE...``: frames and masks as dxtbx reads them, what both thresholds
find.
``dials_spots.py shapes IN.json OUT.npz``: masks of rectangles, circles and polygons.
``dials_spots.py panels IN.npz OUT.json``: strong pixels, spots and statistics of an image of the panels
``panel_0`` ..., as ``dials.find_spots_server`` makes them, for each of the ``cases`` (JSON).
``dials_spots.py threshold IN.npz OUT.json``: the global thresholds that ``Auto`` chooses for ``frame_0`` ...
``dials_spots.py time IN.npz``: prints milliseconds of both thresholds for ``frame`` and ``mask``, median of several.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from dials.algorithms.image.threshold import DispersionExtendedThreshold, DispersionThreshold
from dials.array_family import flex
from dials.model.data import PixelList, PixelListLabeller

THRESHOLDS = {"dispersion": DispersionThreshold, "dispersion_extended": DispersionExtendedThreshold}


def strong_pixels(image: Any, excluded: np.ndarray, case: dict[str, Any], gain: np.ndarray | None) -> Any:
    algorithm = THRESHOLDS[case["threshold"]](
        image.all(), tuple(case["kernel_size"]), case["sigma_background"], case["sigma_strong"],
        case["global_threshold"], case["min_local"],
    )  # fmt: skip
    mask, strong = flex.bool(np.ascontiguousarray(~excluded)), flex.bool(image.accessor(), False)
    if gain is None:
        algorithm(image, mask, strong)
    else:
        algorithm(image, mask, flex.double(np.ascontiguousarray(gain)), strong)
    return strong


def spots(image: Any, strong: Any, case: dict[str, Any]) -> np.ndarray:
    """Return (spot, 5): x, y, intensity, variance, number of pixels, as ``dials.find_spots`` makes and filters them."""
    labeller = PixelListLabeller()
    labeller.add(PixelList(0, image, strong))
    if labeller.num_pixels() == 0:
        return np.zeros((0, 5))
    creator = flex.PixelListShoeboxCreator(labeller, 0, 0, True, case["min_spot_size"], case["max_spot_size"], False)
    boxes = creator.result()
    boxes = boxes.select(boxes.is_allocated())
    if len(boxes) == 0:
        return np.zeros((0, 5))
    centroid, intensity = boxes.centroid_valid(), boxes.summed_intensity()
    observed = flex.observation(boxes.panels(), centroid, intensity)
    near = (boxes.peak_coordinates() - observed.centroids().px_position()).norms() <= case["max_separation"]
    observed, boxes = observed.select(near), boxes.select(near)
    table = flex.reflection_table(observed, boxes)
    x, y, _ = table["xyzobs.px.value"].parts()
    columns = (x, y, table["intensity.sum.value"], table["intensity.sum.variance"])
    sizes = [box.count_mask_values(5) for box in boxes]  # valid and foreground
    return np.stack([*(np.array(list(column)) for column in columns), np.array(sizes, float)], axis=1)


def examine(
    image: Any, excluded: np.ndarray, case: dict[str, Any], gain: Any, number: str, out: dict[str, Any]
) -> None:
    strong = strong_pixels(image, excluded, case, gain)
    out[f"strong_{number}"] = np.flatnonzero(strong.as_numpy_array())
    out[f"spots_{number}"] = spots(image, strong, case)


def examine_frames(source: str, target: str) -> None:
    given, out = np.load(source), {}
    for n in range(sum(name.startswith("case_") for name in given.files)):
        case = json.loads(str(given[f"case_{n}"]))
        image = flex.double(np.ascontiguousarray(given[f"frame_{n}"].astype(np.float64)))
        gain = given[f"gain_{n}"] if f"gain_{n}" in given.files else None
        examine(image, given[f"mask_{n}"], case, gain, str(n), out)
    np.savez(target, **out)


def examine_images(target: str, paths: list[str]) -> None:
    from dxtbx.model.experiment_list import ExperimentListFactory

    out: dict[str, Any] = {}
    case = {
        "kernel_size": (3, 3), "sigma_background": 6, "sigma_strong": 3, "global_threshold": 0, "min_local": 2,
        "min_spot_size": 3, "max_spot_size": 1000, "max_separation": 2,
    }  # fmt: skip
    for n, path in enumerate(paths):
        imageset = ExperimentListFactory.from_filenames([path])[0].imageset
        data, mask = imageset.get_raw_data(0)[0].as_numpy_array(), imageset.get_mask(0)[0].as_numpy_array()
        out[f"frame_{n}"], out[f"mask_{n}"] = data, ~mask
        out[f"trusted_{n}"] = np.array(imageset.get_detector()[0].get_trusted_range())
        image = imageset.get_corrected_data(0)[0]
        for threshold in THRESHOLDS:
            examine(image, ~mask, {**case, "threshold": threshold}, None, f"{n}_{threshold}", out)
    np.savez(target, **out)


def examine_shapes(source: str, target: str) -> None:
    from dxtbx.masking import mask_untrusted_circle, mask_untrusted_polygon, mask_untrusted_rectangle

    out: dict[str, Any] = {}
    for n, wanted in enumerate(json.loads(Path(source).read_text())):
        good = flex.bool(flex.grid(*wanted["shape"]), True)
        if "rectangle" in wanted:
            mask_untrusted_rectangle(good, *wanted["rectangle"])
        elif "circle" in wanted:
            mask_untrusted_circle(good, *wanted["circle"])
        else:
            mask_untrusted_polygon(good, flex.vec2_double([tuple(corner) for corner in wanted["polygon"]]))
        out[f"mask_{n}"] = ~good.as_numpy_array()
    np.savez(target, **out)


def detector_of(panels: list[dict[str, Any]]) -> Any:
    from dxtbx.model import Detector

    detector = Detector()
    for number, wanted in enumerate(panels):
        panel = detector.add_panel()
        panel.set_name(str(number))
        panel.set_frame(wanted["fast"], wanted["slow"], wanted["origin_mm"])
        panel.set_pixel_size(wanted["pixel_size_mm"][::-1])
        panel.set_image_size(wanted["shape"][::-1])
        panel.set_trusted_range((-1, 1e6))
    return detector


class Image:
    """What a dxtbx format is to an image set in memory."""

    def __init__(self, panels: list[np.ndarray]) -> None:
        self._panels = tuple(flex.int(np.ascontiguousarray(panel.astype(np.int32))) for panel in panels)

    def get_raw_data(self) -> tuple[Any, ...]:
        return self._panels


def examine_panels(source: str, target: str) -> None:
    from dials.algorithms.spot_finding import per_image_analysis
    from dials.command_line.find_spots import phil_scope
    from dxtbx.imageset import ImageSet, ImageSetData, MemReader
    from dxtbx.model import Beam, Experiment, ExperimentList
    from libtbx.phil import parse

    given, out = np.load(source), []
    wanted = json.loads(str(given["detector"]))
    panels = [given[f"panel_{n}"] for n in range(len(wanted["panels"]))]
    for case in json.loads(str(given["cases"])):
        detector = detector_of(wanted["panels"])
        beam = Beam([-part for part in wanted["beam"]], wanted["wavelength_angstrom"])
        imageset = ImageSet(ImageSetData(MemReader([Image(panels)]), None))
        imageset.set_beam(beam)
        imageset.set_detector(detector)
        experiments = ExperimentList([Experiment(imageset=imageset, beam=beam, detector=detector)])
        params = phil_scope.fetch(parse(case["phil"])).extract()
        params.spotfinder.write_hot_mask = False
        table = flex.reflection_table.from_observations(experiments, params)
        table.centroid_px_to_mm(experiments)
        table.map_centroids_to_reciprocal_space(experiments)
        stats = per_image_analysis.stats_for_reflection_table(table)._asdict()
        x, y, _ = table["xyzobs.px.value"].parts()
        threshold = params.spotfinder.threshold.dispersion.global_threshold
        rule = {**case["rule"], "global_threshold": float(threshold)}
        strong = []
        for panel, data in enumerate(imageset.get_corrected_data(0)):
            excluded = ~imageset.get_mask(0)[panel].as_numpy_array()
            strong.append(np.flatnonzero(strong_pixels(data, excluded, rule, None).as_numpy_array()).tolist())
        out.append(
            {
                "strong": strong,
                "global_threshold": float(threshold),
                "statistics": stats,
                "spots": np.stack(
                    [np.array(list(column), float) for column in (table["panel"], x, y, table["intensity.sum.value"])],
                    axis=1,
                ).tolist(),
            }
        )
    Path(target).write_text(json.dumps(out))


def examine_thresholds(source: str, target: str) -> None:
    from dials.extensions.dispersion_extended_spotfinder_threshold_ext import estimate_global_threshold

    given = np.load(source)
    frames = [given[f"frame_{n}"] for n in range(len(given.files))]
    told = [estimate_global_threshold(flex.double(np.ascontiguousarray(frame.astype(float)))) for frame in frames]
    Path(target).write_text(json.dumps([int(value) for value in told]))


def time_thresholds(source: str) -> None:
    given = np.load(source)
    image = flex.double(np.ascontiguousarray(given["frame"].astype(np.float64)))
    mask, strong = flex.bool(np.ascontiguousarray(~given["mask"])), flex.bool(image.accessor(), False)
    for name, threshold in THRESHOLDS.items():
        algorithm, taken = threshold(image.all(), (3, 3), 6, 3, 0, 2), []
        for _ in range(15):
            start = time.perf_counter()
            algorithm(image, mask, strong)
            taken.append((time.perf_counter() - start) * 1e3)
        print(name, sorted(taken)[7], strong.count(True))  # noqa: T201


if sys.argv[1] == "frames":
    examine_frames(*sys.argv[2:4])
elif sys.argv[1] == "images":
    examine_images(sys.argv[2], sys.argv[3:])
elif sys.argv[1] == "shapes":
    examine_shapes(*sys.argv[2:4])
elif sys.argv[1] == "panels":
    examine_panels(*sys.argv[2:4])
elif sys.argv[1] == "threshold":
    examine_thresholds(*sys.argv[2:4])
else:
    time_thresholds(sys.argv[2])
