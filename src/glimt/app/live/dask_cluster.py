"""Finds the cluster that a beamline file names: a Dask scheduler that runs already, or one with jobs of Slurm."""

from __future__ import annotations

import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from glimt.app.beamline_engine import NEEDS_EXTRA
from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

    from glimt.app.beamline_engine import Engine
    from glimt.engines.dask_placement import DaskPlacement

_CONNECT_S = 15.0


def place_on_dask(engine: Engine, log_folder: Path = Path("slurm-logs")) -> DaskPlacement:
    """Return where the roles of a run are, for ``dask://host:port`` and ``slurm:PARTITION``.

    Parameters
    ----------
    engine : Engine
        Of the beamline file.
    log_folder : Path
        Where the jobs' output goes; made if it is not there. The machines of the cluster must see it.

    Raises
    ------
    UsageError
        Packages are missing, nobody answers at the address, Slurm refuses, or the scheduler has no place for a worker.
    """
    try:
        import distributed
    except ImportError:
        raise UsageError(f'use = "{engine.use}": {NEEDS_EXTRA}') from None
    logging.getLogger("distributed").setLevel(logging.WARNING)  # what matters of it is told by the supervisor
    if engine.kind == "slurm":
        from glimt.app.live.dask_slurm import place_on_slurm

        return place_on_slurm(engine, log_folder)
    security = distributed.Security()  # from Dask's own configuration
    address = engine.target.replace("tcp://", "tls://") if security.require_encryption else engine.target
    try:
        client = distributed.Client(address, timeout=_CONNECT_S, set_as_default=False, security=security, name="glimt")
    except (OSError, ValueError, TimeoutError) as error:
        raise UsageError(f"no Dask scheduler answers at {address}: {error}") from None
    from glimt.engines.dask_placement import DaskPlacement

    try:
        _check_places(client, address, len(engine.worker_tags))
        return DaskPlacement(
            client,
            _own_address_towards(address),
            quiet_limit_s=engine.lost_after_s,
            encrypts_frames=engine.encrypt_frames,
        )
    except BaseException:
        client.close()
        raise


def _check_places(client: Client, address: str, n_workers: int) -> None:
    """Refuse a scheduler whose workers offer fewer places than the run has workers: the rest would wait for ever."""
    from glimt.engines.dask_placement import SLOT_RESOURCE

    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    n_places = int(sum(worker["resources"].get(SLOT_RESOURCE, 0) for worker in workers))
    if n_places < n_workers:
        raise UsageError(
            f"the Dask workers at {address} have {n_places} places and the run has {n_workers} workers; start Dask"
            f" workers with one place each: dask worker {address} --nthreads 1 --resources {SLOT_RESOURCE}=1"
        )


def _own_address_towards(address: str) -> str:
    """Return the address of this machine on the network of another; nothing is sent."""
    parts = urlsplit(address)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((parts.hostname or "", parts.port or 0))
            return str(probe.getsockname()[0])
    except OSError as error:
        raise UsageError(f"{parts.hostname} cannot be reached over IPv4: {error.strerror or error}") from None
