"""Enters images that no beamline entered as a data collection, so that recipes find them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from glimt.app.serve import prepare_results
from glimt.app.site import Site
from glimt.model.errors import UsageError

_STEPS = re.compile(r"\A([0-9]{1,6})[x×]([0-9]{1,6})\Z", re.ASCII)
_OF_MANY_IMAGES = (".h5", ".hdf5", ".hdf", ".nxs", ".tif", ".tiff")


@contextmanager
def entering_images(
    site: Site,
    template: str,
    *,
    first: int = 1,
    last: int | None = None,
    grid: str = "",
    is_snaked: bool = True,
    is_vertical: bool = False,
    visit: str = "xx0-1",
) -> Iterator[int]:
    """Enter images into the results database as a data collection, and yield its number; it is there after the block.

    If the block raises, nothing was entered.

    Parameters
    ----------
    site : Site
    template : str
        Path such as ``/data/thau_3_2_####.cbf``, or of a single file such as ``/data/thau_1.nxs``.
    first, last : int
        Numbers of the first and the last image; without ``last`` as many as ``grid`` has.
    grid : str
        A grid scan: ``19x1``, columns times rows.
    is_snaked : bool
        Of a grid scan: every second line was scanned backwards.
    is_vertical : bool
        Of a grid scan: its lines are columns, not rows.
    visit : str
        Such as ``mx12345-6``.

    Raises
    ------
    UsageError
        They make no sense together, or the database's packages are not installed.
    ResultsDatabaseError
        The database cannot be reached.
    """
    steps = _grid_steps(grid)
    n_images = _n_images(first, last, steps)
    path = Path(os.path.abspath(os.path.expanduser(template)))
    _check_template(path.name, n_images)
    prepare_results(site)
    from glimt.stores.collections_db_registration import RegisteredCollection, RegisteredGrid, register_collection
    from glimt.stores.results_db import ResultsDatabase

    orientation = "vertical" if is_vertical else "horizontal"
    collection = RegisteredCollection(
        image_directory=str(path.parent),
        image_template=path.name,
        n_images=n_images,
        first_image=first,
        experiment_type="Mesh" if steps else "OSC",
        beamline=site.beamline,
        visit=visit,
        grid=None if steps is None else RegisteredGrid(*steps, is_snaked=is_snaked, orientation=orientation),
        started=datetime.now(),
    )
    database = ResultsDatabase(str(site.results_url))
    try:
        with database.transaction() as session:
            yield register_collection(session, collection)
    finally:
        database.close()


def remove_images(site: Site, number: int) -> None:
    """Take a data collection out again that was just entered and that no recipe was started for.

    Raises
    ------
    ResultsDatabaseError
        The database cannot be reached: the data collection is still there.
    """
    from glimt.stores.collections_db_registration import remove_collection
    from glimt.stores.results_db import ResultsDatabase

    database = ResultsDatabase(str(site.results_url))
    try:
        with database.transaction() as session:
            remove_collection(session, number)
    finally:
        database.close()


def _check_template(name: str, n_images: int) -> None:
    """Refuse the name of one file for several images, unless files of its kind hold several."""
    if n_images > 1 and "#" not in name and "%" not in name and not name.lower().endswith(_OF_MANY_IMAGES):
        raise UsageError(
            f"{name!r} is one file, and {n_images} images are to be entered; write # for each digit of the image's"
            " number, such as 'thau_1_####.cbf' (in quotes)"
        )


def _grid_steps(text: str) -> tuple[int, int] | None:
    if not text:
        return None
    match = _STEPS.match(text)
    if match is None or not int(match[1]) or not int(match[2]):
        raise UsageError(f"the grid {text!r} is none; write columns times rows, such as 19x1")
    return int(match[1]), int(match[2])


def _n_images(first: int, last: int | None, steps: tuple[int, int] | None) -> int:
    in_grid = None if steps is None else steps[0] * steps[1]
    if last is None:
        if in_grid is None:
            raise UsageError("how many images there are is not said; give --last, or --grid for a grid scan")
        return in_grid
    if last < first:
        raise UsageError(f"--last {last} is before --first {first}")
    if in_grid is not None and in_grid != last - first + 1:
        raise UsageError(f"the grid has {in_grid} images, --first to --last are {last - first + 1}")
    return last - first + 1
