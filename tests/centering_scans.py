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
