"""From the engine that a beamline file names to a live run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from glimt.app.live.inline_run import InlineRun
from glimt.app.live.live_run import LiveRun
from glimt.engines.placement import LocalPlacement, Placement

if TYPE_CHECKING:
    from glimt.app.beamline import Beamline
    from glimt.app.live.live_engine import LiveEngine


def open_engine(
    beamline: Beamline, *, serve_view: Callable[[Any], AbstractContextManager[Any]] | None = None
) -> LiveEngine:
    """Return the run of a beamline file, not yet started.

    Parameters
    ----------
    beamline : Beamline
        Its ``engine.use`` says which: in this process, in processes of this machine, on a Dask cluster, or on Slurm.
    serve_view : callable, optional
        Where the reducer is, given an object with a method ``tree``: returns a context manager that shows it.

    Raises
    ------
    UsageError, UserCodeError, ParameterError
        A class or a parameter cannot be used, or the cluster cannot be reached.
    """
    if beamline.engine.kind == "inline":
        return InlineRun(beamline, serve_view=serve_view)
    placement: Placement = LocalPlacement()
    if beamline.engine.kind in {"dask", "slurm"}:
        from glimt.app.live.dask_cluster import place_on_dask  # an extra, and slow to import

        placement = place_on_dask(beamline.engine, beamline.path.parent / "slurm-logs")
    try:
        return LiveRun(beamline, placement, serve_view=serve_view)
    except BaseException:
        placement.close()
        raise
