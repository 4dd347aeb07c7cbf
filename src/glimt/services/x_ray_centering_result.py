"""The result of X-ray centering: the message to the beamline, and the texts of the files that go with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from glimt.kernels.centering import describe_center_2d, find_center_2d
from glimt.kernels.centering_3d import Center3D, find_centers_3d
from glimt.model.errors import RejectedMessageError, UsageError
from glimt.services.x_ray_centering_task import CenteringTask

Values = npt.NDArray[np.float64]

SUCCESS, PROVISIONAL = "success", "provisional"


@dataclass(frozen=True, slots=True)
class CenteringResult:
    """What goes out when a grid scan, or a pair of them, is centered.

    Parameters
    ----------
    payload : bytes
        The message, JSON.
    output : str
        Text of the JSON file.
    log : str
        Text of the log file.
    summary : str
        One line for the service's own log.
    """

    payload: bytes
    output: str
    log: str
    summary: str


def center_grid(task: CenteringTask, values: Values, *, weighted: bool, status: str = SUCCESS) -> CenteringResult:
    """Center one grid scan.

    Parameters
    ----------
    task : CenteringTask
    values : ndarray
        (image,) float64, NaN where an image is missing.
    weighted : bool
        Whether boxes weigh as much as their value.
    status : str
        Of the message.
    """
    center = find_center_2d(values, task.grid, weighted=weighted, sample_id=task.parameters.sample_id, wells=task.wells)
    if center.is_found:
        x, y = center.center_px or (0.0, 0.0)
        summary = f"centre_x,centre_y={x:g},{y:g}, best image {center.best_image} with {center.max_count:g}"
    else:
        summary = "no good images found"
    payload = _message([center.as_message()], status, "2d", center.n_missing)
    return CenteringResult(payload, center.as_json() + "\n", describe_center_2d(values, center) + "\n", summary)


def center_pair(
    task: CenteringTask,
    scans: tuple[tuple[CenteringTask, Values], tuple[CenteringTask, Values]],
    *,
    status: str = SUCCESS,
) -> CenteringResult:
    """Center two grid scans at right angles.

    Parameters
    ----------
    task : CenteringTask
        Whose thresholds and sample count.
    scans : pair of (CenteringTask, ndarray)
        The scan of the lower data collection first; (image,) float64 each, NaN where an image is missing.
    status : str
        Of the message.

    Raises
    ------
    RejectedMessageError
        The scans do not fit together; the text says how.
    """
    given, is_multi_sample = task.parameters, task.wells is not None
    (first, first_values), (second, second_values) = scans
    try:
        centers = find_centers_3d(
            first.grid.arrange(first_values),
            second.grid.arrange(second_values),
            threshold=given.threshold_msp if is_multi_sample else given.threshold,
            threshold_absolute=given.threshold_absolute_msp if is_multi_sample else given.threshold_absolute,
            sample_id=given.sample_id,
            wells=task.wells,
        )
    except UsageError as error:
        raise RejectedMessageError(f"data collections {first.dcid} and {second.dcid}: {error}") from None
    n_missing = int(np.count_nonzero(np.isnan(first_values)) + np.count_nonzero(np.isnan(second_values)))
    payload = _message([center.as_message() for center in centers], status, "3d", n_missing)
    lines = [
        f"data collections: {first.dcid} {second.dcid}",
        f"steps_x/y: {first.grid.steps} {second.grid.steps}",
        *([f"{n_missing} of {first.grid.n_images + second.grid.n_images} images are missing."] if n_missing else []),
        *(_describe(number, center) for number, center in enumerate(centers, 1)),
    ]
    summary = lines[-1] if centers else "no diffracting region found"
    if not centers:
        lines.append("No good images found")
    elif len(centers) > 1:
        summary = f"{len(centers)} regions, the largest: {_describe(1, centers[0])}"
    return CenteringResult(payload, payload.decode() + "\n", "\n".join(lines) + "\n", summary)


def _describe(number: int, center: Center3D) -> str:
    x, y, z = center.center_of_mass
    sample = "" if center.sample_id is None else f", sample {center.sample_id}"
    return (
        f"region {number}: centre {x:.2f} {y:.2f} {z:.2f}, {center.n_voxels} voxels, "
        f"largest {center.max_count:g}, sum {center.total_count:g}{sample}"
    )


def _message(results: list[dict[str, Any]], status: str, kind: str, n_missing: int) -> bytes:
    message: dict[str, Any] = {"results": results, "status": status, "type": kind}
    if n_missing:
        message["n_missing"] = n_missing
    return msgspec.json.encode(message)
