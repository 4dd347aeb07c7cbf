"""What is in the results database, as tables that a beamline scientist asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glimt.model.errors import UsageError
from glimt.stores.results_db import ResultsDatabase
from glimt.stores.results_done import done_rows
from glimt.stores.results_rows import json_value
from glimt.stores.results_schema import results_table, table_names

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.orm import Session

_IMAGES = {
    "image": "imageNumber",
    "n_spots_total": "spotTotal",
    "n_spots_no_ice": "goodBraggCandidates",
    "estimated_d_min": "method1Res",
    "total_intensity": "totalIntegratedSignal",
    "dozor_score": "dozor_score",
}
_CENTRING = {
    "result": "xrayCentringResultId",
    "centring": "xrayCentringId",
    "status": "status",
    "x": "centreOfMassX",
    "y": "centreOfMassY",
    "z": "centreOfMassZ",
    "n_voxels": "numberOfVoxels",
    "total_count": "totalCount",
    "sample": "blSampleId",
}
_PROGRAMS = {
    "program": "autoProcProgramId",
    "job": "processingJobId",
    "name": "processingPrograms",
    "status": "processingStatus",
    "message": "processingMessage",
    "started": "processingStartTime",
    "ended": "processingEndTime",
}
_JOBS = {
    "job": "processingJobId",
    "name": "displayName",
    "recipe": "recipe",
    "automatic": "automatic",
    "comment": "comments",
    "made": "recordTimestamp",
}
_FILES = {"file": "fileName", "folder": "filePath", "kind": "fileType", "added": "recordTimeStamp"}
_MESSAGES = {"severity": "severity", "message": "message", "description": "description", "when": "recordTimeStamp"}


@dataclass(frozen=True, slots=True)
class ResultView:
    """A table to show.

    Attributes
    ----------
    name : str
        As a key in JSON.
    title : str
    columns : tuple of str
    rows : list of tuple
        Values that JSON has.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def collections_view(database: ResultsDatabase, limit: int) -> list[ResultView]:
    """Return the newest data collections, and how many images of each have results.

    Raises
    ------
    ResultsDatabaseError
        The database cannot be read.
    """
    import sqlalchemy as sa

    made, images = results_table("DataCollection"), results_table("ImageQualityIndicators")
    centring = results_table("XrayCentring")
    of_collection = sa.select(sa.func.count()).where(images.c.dataCollectionId == made.c.dataCollectionId)
    spots = sa.select(sa.func.max(images.c.spotTotal)).where(images.c.dataCollectionId == made.c.dataCollectionId)
    centred = (
        sa.select(centring.c.status)
        .where(centring.c.dataCollectionGroupId == made.c.dataCollectionGroupId)
        .order_by(centring.c.xrayCentringId.desc())
        .limit(1)
    )
    wanted = sa.select(
        made.c.dataCollectionId.label("dcid"),
        made.c.startTime.label("started"),
        made.c.imageDirectory.label("folder"),
        made.c.fileTemplate.label("files"),
        made.c.numberOfImages.label("images"),
        of_collection.scalar_subquery().label("analysed"),
        spots.scalar_subquery().label("most_spots"),
        centred.scalar_subquery().label("centring"),
    )
    newest = wanted.order_by(made.c.dataCollectionId.desc()).limit(limit)
    with database.reading() as session:
        return [_view(session, "collections", "Data collections, newest first", newest)]


def collection_view(database: ResultsDatabase, dcid: int, limit: int) -> list[ResultView]:
    """Return what was found in a data collection: by image, where the crystal is, and what processed it.

    Raises
    ------
    UsageError
        Nothing is known of it.
    ResultsDatabaseError
        The database cannot be read.
    """
    import sqlalchemy as sa

    tables = {name: results_table(name) for name in ("ImageQualityIndicators", "XrayCentring", "XrayCentringResult")}
    made, jobs, programs = (results_table(name) for name in ("DataCollection", "ProcessingJob", "AutoProcProgram"))
    images, centring, results = tables.values()
    group = sa.select(made.c.dataCollectionGroupId).where(made.c.dataCollectionId == dcid).scalar_subquery()
    mine = sa.select(centring.c.xrayCentringId).where(centring.c.dataCollectionGroupId == group)
    of_job = sa.select(jobs.c.processingJobId).where(jobs.c.dataCollectionId == dcid)
    wanted = (
        ("images", "Images", _select(images, _IMAGES).where(images.c.dataCollectionId == dcid), images.c.imageNumber),
        (
            "centring",
            "X-ray centring, in boxes of the grid",
            _select(results, _CENTRING).where(results.c.xrayCentringId.in_(mine)),
            results.c.xrayCentringResultId,
        ),
        (
            "jobs",
            "Processing jobs",
            _select(jobs, _JOBS).where(jobs.c.dataCollectionId == dcid),
            jobs.c.processingJobId,
        ),
        (
            "programs",
            "Programs",
            _select(programs, _PROGRAMS).where(programs.c.processingJobId.in_(of_job)),
            programs.c.autoProcProgramId,
        ),
    )
    with database.reading() as session:
        views = [_view(session, name, title, query.order_by(key).limit(limit)) for name, title, query, key in wanted]
        views[1] = _with_run(session, views[1])
        known = session.execute(sa.select(made.c.dataCollectionId).where(made.c.dataCollectionId == dcid)).first()
    if known is None and not any(view.rows for view in views):
        raise UsageError(f"{database.address} knows nothing of data collection {dcid}; glimt db show lists the newest")
    return views


def program_view(database: ResultsDatabase, program_id: int, limit: int) -> list[ResultView]:
    """Return a program, its files and what it said.

    Raises
    ------
    UsageError
        There is no such program.
    ResultsDatabaseError
        The database cannot be read.
    """
    sections = (
        ("AutoProcProgram", "program", "Program", _PROGRAMS),
        ("AutoProcProgramAttachment", "files", "Files", _FILES),
        ("AutoProcProgramMessage", "messages", "Messages", _MESSAGES),
    )
    views = []
    with database.reading() as session:
        for table_name, name, title, columns in sections:
            table = results_table(table_name)
            query = _select(table, columns).where(table.c.autoProcProgramId == program_id)
            views.append(_view(session, name, title, query.order_by(*table.primary_key.columns).limit(limit)))
    if not views[0].rows:
        raise UsageError(f"{database.address} has no program {program_id}")
    return views


def table_view(database: ResultsDatabase, name: str, limit: int) -> list[ResultView]:
    """Return the newest rows of one of ISPyB's tables; of columns without any value only their names are missing.

    Raises
    ------
    UsageError
        There is no table of that name.
    ResultsDatabaseError
        The database cannot be read.
    """
    import sqlalchemy as sa

    found = {table.lower(): table for table in table_names()}.get(name.lower())
    if found is None:
        near = [table for table in table_names() if name.lower() in table.lower()]
        hint = f"; there are {', '.join(near[:8])}" if near else ""
        raise UsageError(f"ISPyB has no table {name!r}{hint}")
    table = results_table(found)
    newest = sa.select(table).order_by(*(column.desc() for column in table.primary_key.columns)).limit(limit)
    with database.reading() as session:
        view = _view(session, found, f"{found}, newest first", newest)
    filled = [index for index in range(len(view.columns)) if any(row[index] is not None for row in view.rows)]
    columns = tuple(view.columns[index] for index in filled)
    return [ResultView(found, view.title, columns, [tuple(row[index] for index in filled) for row in view.rows])]


def _with_run(session: Session, view: ResultView) -> ResultView:
    """Return centring results with when they were written and by which run, which ISPyB has no columns for."""
    place = view.columns.index("centring")
    done = done_rows(session, "insert_xray_centring", {row[place] for row in view.rows})
    rows = []
    for row in view.rows:
        at, run = done.get(row[place], (None, ""))
        rows.append((*row[:place], *row[place + 1 :], json_value(at), run or None))
    return ResultView(
        view.name, view.title, (*view.columns[:place], *view.columns[place + 1 :], "written", "run"), rows
    )


def _select(table: sa.Table, columns: dict[str, str]) -> sa.Select[Any]:
    import sqlalchemy as sa

    return sa.select(*(table.c[column].label(label) for label, column in columns.items()))


def _view(session: Session, name: str, title: str, query: sa.Select[Any]) -> ResultView:
    found = session.execute(query)
    columns: Sequence[str] = tuple(found.keys())
    return ResultView(name, title, tuple(columns), [tuple(json_value(value) for value in row) for row in found])
