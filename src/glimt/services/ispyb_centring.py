"""X-ray centring: XrayCentring and a row of XrayCentringResult for each crystal that was found."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from glimt.model.errors import RejectedMessageError
from glimt.services.ispyb_command import Command, CommandRun
from glimt.stores.results_rows import insert_row

_AXES = "XYZ"
_MOST_RESULTS = 10_000

Point = tuple[float, ...]


class CentringResult(msgspec.Struct, frozen=True, kw_only=True):
    """One region of a grid scan, in boxes; one without ``centre_of_mass`` is a failure."""

    centre_of_mass: Point | None = None
    max_voxel: Point | None = None
    max_count: float | None = None
    n_voxels: int | None = None
    total_count: float | None = None
    bounding_box: tuple[Point, Point] | None = None
    sample_id: int | None = None
    status: str | None = None


class XrayCentring(msgspec.Struct, frozen=True, kw_only=True):
    """The result of X-ray centring for a group of data collections."""

    dcgid: int
    status: Literal["success", "failed", "pending"]
    type: Literal["2d", "3d"] | None = None
    results: list[CentringResult] = []


def _centring(run: CommandRun, command: XrayCentring) -> int:
    if len(command.results) > _MOST_RESULTS:
        raise RejectedMessageError(f"{len(command.results)} results; {_MOST_RESULTS} are the most")
    row = {"dataCollectionGroupId": command.dcgid, "status": command.status, "xrayCentringType": command.type}
    centring_id = insert_row(run.session, "XrayCentring", row)
    for result in command.results:
        insert_row(run.session, "XrayCentringResult", {"xrayCentringId": centring_id, **_result(result)})
    return centring_id


def _result(result: CentringResult) -> dict[str, Any]:
    low, high = result.bounding_box or ((), ())
    return {
        **_point("centreOfMass", result.centre_of_mass or ()),
        **_point("maxVoxel", result.max_voxel or ()),
        **_point("boundingBoxMin", low),
        **_point("boundingBoxMax", high),
        "numberOfVoxels": result.n_voxels,
        "totalCount": result.total_count,
        "blSampleId": result.sample_id,
        "status": "success" if result.centre_of_mass else "failure",
    }


def _point(prefix: str, values: Point) -> dict[str, float]:
    if len(values) not in {0, 2, 3}:
        raise RejectedMessageError(f"insert_xray_centring: a point has 2 or 3 coordinates, not {len(values)}")
    return {f"{prefix}{axis}": value for axis, value in zip(_AXES, values, strict=False)}


COMMANDS = (Command("insert_xray_centring", XrayCentring, _centring, ("XrayCentring", "XrayCentringResult")),)
