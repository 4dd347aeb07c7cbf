"""Which rows of a data collection were written since a moment, and which are of earlier runs."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from glimt.model.errors import GlimtError

if TYPE_CHECKING:
    import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class RowMark:
    """How far the results database was at a moment.

    Attributes
    ----------
    at : datetime
        By the clock of this machine, in local time and whole seconds, as the rows of images have it.
    centring_id : int or None
        The newest row of XrayCentring, which has no time; ``None``: it is not known.
    """

    at: datetime
    centring_id: int | None


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Rows of one kind, of one data collection.

    Attributes
    ----------
    what : str
        One of them.
    n_new : int or None
        Written since the mark; ``None`` where that is not known.
    n_rows : int
        All.
    """

    what: str
    n_new: int | None
    n_rows: int


def mark_rows(results_url: str) -> RowMark:
    """Return how far the results database is; one that is not there yet, or cannot be read, is no error here."""
    from glimt.stores.results_address import results_address
    from glimt.stores.results_db import ResultsDatabase

    now = datetime.now().replace(microsecond=0)
    try:
        target = results_address(results_url)
        if target.get_backend_name() == "sqlite" and not os.path.exists(target.database or ""):
            return RowMark(now, 0)  # to look into it would make it
        import sqlalchemy as sa

        from glimt.stores.results_schema import results_table

        with closing(ResultsDatabase(results_url)) as database, database.reading() as session:
            newest = session.execute(sa.select(sa.func.max(results_table("XrayCentring").c.xrayCentringId))).scalar()
    except GlimtError:
        return RowMark(now, None)
    return RowMark(now, int(newest or 0))


def count_rows(results_url: str, dcid: int, mark: RowMark) -> list[RowCounts]:
    """Return how many rows there are of a data collection: of its images, and of centring results of its group.

    Raises
    ------
    ResultsDatabaseError
        The database cannot be read.
    """
    import sqlalchemy as sa

    from glimt.stores.results_db import ResultsDatabase
    from glimt.stores.results_schema import results_table

    made, images = results_table("DataCollection"), results_table("ImageQualityIndicators")
    centring, results = results_table("XrayCentring"), results_table("XrayCentringResult")
    group = sa.select(made.c.dataCollectionGroupId).where(made.c.dataCollectionId == dcid).scalar_subquery()
    mine = sa.select(centring.c.xrayCentringId).where(centring.c.dataCollectionGroupId == group)
    of_images = sa.select(sa.func.count()).where(images.c.dataCollectionId == dcid)
    of_centring = sa.select(sa.func.count()).where(results.c.xrayCentringId.in_(mine))
    later: list[tuple[str, sa.Select[Any], sa.ColumnElement[bool] | None]] = [
        ("image", of_images, images.c.recordTimeStamp >= mark.at),
        (
            "centring result",
            of_centring,
            None if mark.centring_id is None else results.c.xrayCentringId > mark.centring_id,
        ),
    ]
    counts = []
    with closing(ResultsDatabase(results_url)) as database, database.reading() as session:
        for what, query, is_new in later:
            n_rows = int(session.execute(query).scalar_one())
            n_new = None if is_new is None else int(session.execute(query.where(is_new)).scalar_one())
            counts.append(RowCounts(what, n_new, n_rows))
    return counts


def told_rows(counts: list[RowCounts], dcid: int) -> str:
    """Return in words what was written since a run was sent, and what is of earlier ones."""
    where = f"data collection {dcid} (glimt db show {dcid})"
    in_all = ", ".join(_amount(one.n_rows, one.what) for one in counts)
    if any(one.n_new is None for one in counts):
        return f"the database has {in_all} of {where}; rows of earlier runs may be among them"
    new = ", ".join(_amount(one.n_new or 0, one.what) for one in counts)
    told = f"written since the run was sent: {new} of {where}"
    if all(one.n_new == one.n_rows for one in counts):
        return told
    if not any(one.n_new for one in counts):
        told = f"nothing was written since the run was sent, of {where}"
    return f"{told}; with those of earlier runs the database has {in_all}"


def _amount(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
