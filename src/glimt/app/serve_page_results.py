"""What the results database says of the newest data collections, for the page of services."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from glimt.app.serve_page_queries import centerings, counted, grids, image_results, members, newest
from glimt.app.serve_page_records import N_GRIDS, N_ROTATIONS, Collection, ImageResults, Results
from glimt.kernels.centering_grid import ScanGrid
from glimt.stores.results_db import ResultsDatabase
from glimt.stores.results_rows import json_value

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


class ResultsLook:
    """Reads what is new; for one thread.

    Parameters
    ----------
    url : str
        The results database.
    beamline : str
        Only its data collections, where a server holds those of others too. Files are taken whole.

    Raises
    ------
    UsageError
        See `ResultsDatabase`.
    """

    def __init__(self, url: str, beamline: str = "") -> None:
        self._database = ResultsDatabase(url)
        self._beamline = "" if self._database.is_sqlite else beamline
        self._signs: dict[int, tuple[Any, ...]] = {}
        self._images: dict[int, ImageResults] = {}

    def read(self) -> Results:
        """Read.

        Raises
        ------
        ResultsDatabaseError
            The database is away.
        """
        began = time.monotonic()
        with self._database.reading() as session:
            rows = newest(session, self._beamline)
            groups = sorted({int(row["group_id"]) for row in rows if row["group_id"] is not None})
            counts = counted(session, [int(row["dcid"]) for row in rows])
            collections = _collections(rows, counts, grids(session, rows, groups), members(session, groups))
            self._read_images(session, shown(collections), counts)
            found = centerings(session, groups)
        return Results(collections, dict(self._images), found, time.monotonic() - began)

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def _read_images(
        self, session: Session, collections: Sequence[Collection], counts: dict[int, tuple[Any, ...]]
    ) -> None:
        """Read the images of collections whose count or sums are others than last time."""
        wanted = {collection.dcid: collection for collection in collections}
        for dcid in self._images.keys() - wanted.keys():
            del self._images[dcid], self._signs[dcid]
        for dcid, collection in wanted.items():
            sign = counts.get(dcid, ())
            if self._signs.get(dcid) != sign:
                self._images[dcid], self._signs[dcid] = image_results(session, collection), sign


def shown(collections: Iterable[Collection]) -> list[Collection]:
    """Return those whose images are shown: the newest grid scans and the newest others."""
    listed = list(collections)
    scans = [collection for collection in listed if collection.grid is not None][:N_GRIDS]
    others = [collection for collection in listed if collection.grid is None][:N_ROTATIONS]
    return scans + others


def _collections(
    rows: Sequence[dict[str, Any]],
    counts: dict[int, tuple[Any, ...]],
    grid_of: dict[int, ScanGrid],
    partners: dict[int, tuple[int, ...]],
) -> list[Collection]:
    found = []
    for row in rows:
        dcid, group_id = int(row["dcid"]), int(row["group_id"] or 0)
        n_analysed, most_spots, *_ = counts.get(dcid, (0, None))
        found.append(
            Collection(
                dcid,
                group_id,
                str(row["file"] or ""),
                str(json_value(row["started"]) or "").replace("T", " "),
                int(row["n_images"] or 0),
                1 if row["first_image"] is None else int(row["first_image"]),
                grid_of.get(dcid),
                int(n_analysed),
                math.nan if most_spots is None else float(most_spots),
                partners.get(group_id, (dcid,)),
            )
        )
    return found
