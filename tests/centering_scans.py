"""Grid scans as messages to X-ray centering: real scans of Diamond, and what its service made of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glimt.services.recipe_step import RecipeStep
from service_steps import step_for

SUCCESS_STEP, ABORT_STEP, PROVISIONAL_STEP = 2, 3, 4
OUTPUT = {"success": SUCCESS_STEP, "abort": ABORT_STEP}
OUTPUT_WITH_PROVISIONAL = {**OUTPUT, "provisional": PROVISIONAL_STEP}


def gridinfo(
    steps: tuple[int, int],
    *,
    size_mm: tuple[float, float] = (0.02, 0.02),
    microns_per_pixel: float = 16.0,
    offset: tuple[float, float] = (396.2, 241.2),
    orientation: str = "horizontal",
) -> dict[str, Any]:
    """Return a grid as the results database describes it, of a snaked scan."""
    return {
        "steps_x": float(steps[0]),
        "steps_y": float(steps[1]),
        "dx_mm": size_mm[0],
        "dy_mm": size_mm[1],
        "micronsPerPixelX": microns_per_pixel,
        "micronsPerPixelY": microns_per_pixel,
        "snapshot_offsetXPixel": offset[0],
        "snapshot_offsetYPixel": offset[1],
        "snaked": 1,
        "orientation": orientation,
    }


def image_step(
    number: Any,
    value: Any,
    *,
    grid: Any,
    run: str = "run-1",
    wires: Any = None,
    message_id: str = "",
    payload: Mapping[str, Any] | None = None,
    **parameters: Any,
) -> RecipeStep:
    """Return the message about one image of a grid scan; ``parameters`` are those of the recipe's step."""
    return step_for(
        {"dcid": "1", "beamline": "i03", "experiment_type": "Mesh", **parameters},
        {"file-number": number, "n_spots_total": value} if payload is None else dict(payload),
        OUTPUT if wires is None else wires,
        {"ID": run},
        node={"gridinfo": grid},
        queue="reduce.xray_centering",
        message_id=message_id or f"{run}/{parameters.get('dcid', 1)}/{number}",
    )


def scan_steps(values: Sequence[float], **options: Any) -> list[RecipeStep]:
    """Return the messages about all images of a grid scan."""
    return [image_step(number, value, **options) for number, value in enumerate(values, 1)]


# Spot counts of real scans and what Diamond's service made of them: the vectors of dlstbx' own tests (BSD-3-Clause).
VERTICAL = [0, 0, 6, 54, 38, 0, 5, 41, 44, 5, 0, 0, 0, 0, 0, 3, 4, 1] + [0] * 12
VERTICAL_GRID = gridinfo((5, 6), microns_per_pixel=0.44, offset=(339.273, 236.727), orientation="vertical")
LINE = [0] * 9 + [1, 0, 1] + [0] * 12 + [1, 9, 20, 21, 21, 11, 3, 13, 35, 40, 45, 49, 53, 59, 75, 76, 78, 80, 75]
LINE += [78, 75, 79, 83, 86, 90, 94, 107, 114, 107, 99, 91, 86, 77, 73, 63, 52, 37, 22, 3] + [0] * 17
LINE_GRID = gridinfo(
    (1, 80), size_mm=(0.04, 0.01), microns_per_pixel=1.66, offset=(446.952, 123.036), orientation="vertical"
)
MINUS_45 = [0] * 49 + [4, 28, 19] + [0] * 6 + [10, 58, 87, 89, 52, 1, 0, 1] + [0] * 11
MINUS_45 += [2, 12, 32, 32, 22, 0, 0, 0, 2, 1, 0, 1]
MINUS_45 += [0] * (14 * 9 - len(MINUS_45))
PLUS_45 = [0] * 30 + [2, 6, 5, 1] + [0] * 15 + [6, 37, 51, 40, 20] + [0] * 4 + [11, 50, 72, 82, 41, 0, 0, 2]
PLUS_45 += [0] * 12 + [4, 8, 2, 1]
PLUS_45 += [0] * (14 * 9 - len(PLUS_45))
PAIR_GRID = gridinfo((14, 9))
PAIR_RESULT = {
    "max_voxel": [5, 4, 4],
    "max_count": 7298,
    "n_voxels": 9,
    "total_count": 33244,
    "bounding_box": [[3, 3, 3], [7, 6, 5]],
    "sample_id": 12345,
}
