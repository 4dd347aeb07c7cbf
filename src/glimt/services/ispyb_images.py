"""Per-image results: rows of ImageQualityIndicators, many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from glimt.model.errors import RejectedMessageError
from glimt.services.ispyb_command import Command, CommandRun, Count, Number
from glimt.stores.results_rows import checked_row
from glimt.stores.results_schema import results_table

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.orm import Session

TABLE = "ImageQualityIndicators"
_KEYS = ("dataCollectionId", "imageNumber")
_NOT_MEASURED = (
    "iceRings",
    "maxUnitCell",
    "pctSaturationTop50Peaks",
    "inResolutionOvrlSpots",
    "binPopCutOffMethod2Res",
)
_COLUMNS = (
    *_KEYS,
    "spotTotal",
    "inResTotal",
    "goodBraggCandidates",
    "method1Res",
    "method2Res",
    "totalIntegratedSignal",
    "dozor_score",
    "driftFactor",
    "recordTimeStamp",
    *_NOT_MEASURED,
)


class StoreImageResults(msgspec.Struct, frozen=True, kw_only=True):
    """What was found in one image; ``file-pattern-index`` outranks ``file-number``, and both count from 1."""

    dcid: int
    pattern_index: Count = msgspec.field(default=None, name="file-pattern-index")
    file_number: Count = msgspec.field(default=None, name="file-number")
    n_spots_total: Count = None
    n_spots_no_ice: Count = None
    estimated_d_min: Number = None
    method1_res: Number = None
    method2_res: Number = None
    total_intensity: Number = None
    dozor_score: Number = None
    drift_factor: Number = None


def image_row(run_now: Any, command: StoreImageResults) -> dict[str, Any]:
    """Return the row for an image.

    Raises
    ------
    RejectedMessageError
        It names no image, or number 0 or less, or says nothing about it.
    """
    number = command.file_number if command.pattern_index is None else command.pattern_index
    if number is None:
        raise RejectedMessageError("neither file-number nor file-pattern-index says which image this is about")
    if number < 1 or command.dcid < 1:
        raise RejectedMessageError(f"image {number} of data collection {command.dcid}: both count from 1")
    measured = (command.n_spots_total, command.dozor_score, command.estimated_d_min, command.method1_res)
    if all(value is None for value in (*measured, command.method2_res)):
        raise RejectedMessageError(
            f"image {number}: none of n_spots_total, dozor_score, estimated_d_min, method1_res and method2_res is given"
        )
    resolution = command.estimated_d_min if command.method1_res is None else command.method1_res
    second = command.estimated_d_min if command.method2_res is None else command.method2_res
    row: dict[str, Any] = dict.fromkeys(_COLUMNS)
    row |= {
        "dataCollectionId": command.dcid,
        "imageNumber": number,
        "spotTotal": command.n_spots_total,
        "inResTotal": command.n_spots_total,
        "goodBraggCandidates": command.n_spots_no_ice,
        "method1Res": resolution,
        "method2Res": second,
        "totalIntegratedSignal": command.total_intensity,
        "dozor_score": command.dozor_score,
        "driftFactor": command.drift_factor,
        "recordTimeStamp": run_now,
    }
    if command.n_spots_total is not None:
        row |= dict.fromkeys(_NOT_MEASURED, 0)
    return checked_row(results_table(TABLE), row)


def write_image_rows(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows by data collection and image: what is there already is updated where the new row has a value.

    To write the same rows twice is the same as to write them once.
    """
    if not rows:
        return
    session.execute(_upsert(session.get_bind().dialect.name), list(rows))


def _upsert(dialect: str) -> sa.Insert:
    import sqlalchemy as sa
    from sqlalchemy.dialects import mysql, sqlite

    table = results_table(TABLE)
    others = [name for name in _COLUMNS if name not in _KEYS]
    if dialect == "sqlite":
        insert = sqlite.insert(table)
        newer = {name: sa.func.coalesce(insert.excluded[name], table.c[name]) for name in others}
        return insert.on_conflict_do_update(index_elements=list(_KEYS), set_=newer)
    statement = mysql.insert(table)
    return statement.on_duplicate_key_update(
        {name: sa.func.coalesce(statement.inserted[name], table.c[name]) for name in others}
    )


def _store(run: CommandRun, command: StoreImageResults) -> int:
    row = image_row(run.now, command)
    write_image_rows(run.session, [row])
    return int(row["imageNumber"])


STORE_IMAGE_RESULTS = Command("store_per_image_analysis_results", StoreImageResults, _store, (TABLE,))
COMMANDS = (STORE_IMAGE_RESULTS,)
