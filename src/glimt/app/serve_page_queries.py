"""What the page of services asks of the results database; every answer has a limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from glimt.app.serve_page_records import MAX_IMAGES, MEASURED, N_COLLECTIONS, Centering, Collection, ImageResults
from glimt.kernels.centering_grid import ScanGrid
from glimt.model.errors import UsageError
from glimt.stores.results_schema import results_table

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.orm import Session

_MAX_CENTERINGS = 50
_MAX_MEMBERS = 1000
_SEARCHED = 10_000
"""A beamline's newest are looked for among so many data collections of the facility."""


def newest(session: Session, beamline: str) -> list[dict[str, Any]]:
    """Return the newest data collections, of a beamline if one is named, newest first."""
    import sqlalchemy as sa

    made, groups, visits = (results_table(name) for name in ("DataCollection", "DataCollectionGroup", "BLSession"))
    chosen = sa.select(
        made.c.dataCollectionId.label("dcid"),
        made.c.dataCollectionGroupId.label("group_id"),
        made.c.fileTemplate.label("file"),
        made.c.startTime.label("started"),
        made.c.numberOfImages.label("n_images"),
        made.c.startImageNumber.label("first_image"),
    )
    if beamline:
        last = sa.select(sa.func.max(made.c.dataCollectionId)).scalar_subquery()
        joined = made.join(groups, groups.c.dataCollectionGroupId == made.c.dataCollectionGroupId).join(
            visits, visits.c.sessionId == sa.func.coalesce(groups.c.sessionId, made.c.SESSIONID)
        )
        chosen = chosen.select_from(joined).where(
            visits.c.beamLineName == beamline, made.c.dataCollectionId > last - _SEARCHED
        )
    found = session.execute(chosen.order_by(made.c.dataCollectionId.desc()).limit(N_COLLECTIONS)).mappings()
    return [dict(row) for row in found]


def counted(session: Session, dcids: Sequence[int]) -> dict[int, tuple[Any, ...]]:
    """Return what changes with the rows of images: number, largest spot count, and what tells rewritten ones."""
    import sqlalchemy as sa

    if not dcids:
        return {}
    images = results_table("ImageQualityIndicators")
    chosen = sa.select(
        images.c.dataCollectionId,
        sa.func.count(),
        sa.func.max(images.c.spotTotal),
        sa.func.max(images.c.recordTimeStamp),
        *(sa.func.sum(images.c[column]) for column in MEASURED.values()),
    )
    chosen = chosen.where(images.c.dataCollectionId.in_(dcids)).group_by(images.c.dataCollectionId)
    return {int(row[0]): tuple(row[1:]) for row in session.execute(chosen)}


def image_results(session: Session, collection: Collection) -> ImageResults:
    """Return what was found in the images of a data collection."""
    import sqlalchemy as sa

    images = results_table("ImageQualityIndicators")
    columns = (images.c.imageNumber, *(images.c[column] for column in MEASURED.values()))
    chosen = sa.select(*columns).where(images.c.dataCollectionId == collection.dcid)
    rows = [tuple(row) for row in session.execute(chosen.order_by(images.c.imageNumber).limit(MAX_IMAGES))]
    read = np.array(rows, np.float64).reshape(len(rows), len(columns))
    numbers = read[:, 0].astype(np.int64)
    # Files that are numbered from elsewhere keep their numbers, images in containers count from 1.
    first = collection.first_image if numbers.size and numbers[0] >= collection.first_image else 1
    return ImageResults(numbers - first, {name: read[:, 1 + index] for index, name in enumerate(MEASURED)})


def grids(session: Session, rows: Sequence[dict[str, Any]], groups: Sequence[int]) -> dict[int, ScanGrid]:
    """Return the grids of data collections; one that names only a group is that of all of the group."""
    import sqlalchemy as sa

    table = results_table("GridInfo")
    of_group = sa.and_(table.c.dataCollectionId.is_(None), table.c.dataCollectionGroupId.in_(groups))
    mine = sa.or_(table.c.dataCollectionId.in_([row["dcid"] for row in rows]), of_group)
    names = ("dataCollectionId", "dataCollectionGroupId", "steps_x", "steps_y", "snaked", "orientation")
    chosen = sa.select(*(table.c[name] for name in names)).where(mine).order_by(table.c.gridInfoId).limit(_MAX_MEMBERS)
    by_collection: dict[int, ScanGrid] = {}
    by_group: dict[int, ScanGrid] = {}
    for dcid, group_id, steps_x, steps_y, snaked, orientation in session.execute(chosen):
        try:
            grid = ScanGrid((steps_x, steps_y), bool(snaked), str(orientation or "horizontal").lower())  # type: ignore[arg-type]  # checked by it
        except UsageError:
            continue  # the service says it in its dead letter; here its images are curves
        if dcid is None:
            by_group[group_id] = grid
        else:
            by_collection[dcid] = grid
    found = {row["dcid"]: by_collection.get(row["dcid"]) or by_group.get(row["group_id"]) for row in rows}
    return {dcid: grid for dcid, grid in found.items() if grid is not None}


def members(session: Session, groups: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Return the data collections of each group, oldest first."""
    import sqlalchemy as sa

    made = results_table("DataCollection")
    chosen = sa.select(made.c.dataCollectionGroupId, made.c.dataCollectionId)
    chosen = chosen.where(made.c.dataCollectionGroupId.in_(groups)).order_by(made.c.dataCollectionId.desc())
    found: dict[int, list[int]] = {}
    for group_id, dcid in session.execute(chosen.limit(_MAX_MEMBERS)):
        found.setdefault(int(group_id), []).append(int(dcid))
    return {group_id: tuple(sorted(dcids)) for group_id, dcids in found.items()}


def centerings(session: Session, groups: Sequence[int]) -> list[Centering]:
    """Return the newest results of X-ray centering of these groups, newest first."""
    import sqlalchemy as sa

    centering, results = results_table("XrayCentring"), results_table("XrayCentringResult")
    joined = centering.outerjoin(results, results.c.xrayCentringId == centering.c.xrayCentringId)
    columns: list[sa.ColumnElement[Any]] = [
        centering.c.xrayCentringId,
        centering.c.dataCollectionGroupId,
        centering.c.xrayCentringType,
        centering.c.status,
        results.c.status,
        results.c.centreOfMassX,
        results.c.centreOfMassY,
        results.c.centreOfMassZ,
        results.c.numberOfVoxels,
        results.c.totalCount,
    ]
    chosen = sa.select(*columns).select_from(joined).where(centering.c.dataCollectionGroupId.in_(groups))
    newest = chosen.order_by(centering.c.xrayCentringId.desc(), results.c.xrayCentringResultId).limit(_MAX_CENTERINGS)
    found = []
    for key, group_id, kind, status, of_result, x, y, z, n_voxels, total in session.execute(newest):
        place = tuple(math.nan if value is None else float(value) for value in (x, y, z))
        found.append(
            Centering(
                int(key),
                int(group_id),
                str(kind or ""),
                str(of_result or status or ""),
                (place[0], place[1], place[2]),
                int(n_voxels or 0),
                math.nan if total is None else float(total),
            )
        )
    return found
