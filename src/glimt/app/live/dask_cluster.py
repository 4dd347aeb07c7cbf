"""Makes the cluster that a beamline file names: a Dask scheduler that runs already, or one with jobs of Slurm."""

from __future__ import annotations

import shutil
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from distributed import Client

    from glimt.app.beamline_engine import Engine, Slurm
    from glimt.engines.dask_placement import DaskPlacement

_CONNECT_S = 15.0
_MISSING = "workers on a cluster need more packages: pip install 'glimt[cluster]'"


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
        raise UsageError(f'use = "{engine.use}": {_MISSING}') from None
    if engine.kind == "slurm":
        return _place_on_slurm(engine, log_folder)
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


def _place_on_slurm(engine: Engine, log_folder: Path) -> DaskPlacement:
    import dask
    import distributed
    from distributed.utils import get_ip, get_ip_interface

    from glimt.engines.dask_placement import DaskPlacement

    partition, slurm, n_workers = engine.target, engine.slurm, len(engine.worker_tags)
    if shutil.which("sbatch") is None:
        raise UsageError(f'use = "slurm:{partition}": there is no sbatch here; run glimt where jobs are submitted')
    try:
        host = get_ip_interface(slurm.interface) if slurm.interface else get_ip()
    except (OSError, ValueError) as error:
        raise UsageError(f"[engine.slurm] interface: {error}") from None
    log_folder.mkdir(parents=True, exist_ok=True)
    # A machine that dies must not count against a worker; the supervisor decides when to stop trying.
    dask.config.set({"distributed.scheduler.allowed-failures": 1_000_000})
    try:
        from dask_jobqueue import SLURMCluster

        cluster = SLURMCluster(**_cluster_options(partition, slurm, host, log_folder))
    except ImportError:
        raise UsageError(f'use = "slurm:{partition}": {_MISSING}') from None
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(f"no Dask scheduler can be started on {host}: {error}") from None
    try:
        # Not `scale`: a job that was cancelled or has reached its time limit is to be replaced.
        cluster.adapt(minimum=n_workers, maximum=n_workers, interval="1s")
        client = distributed.Client(cluster, set_as_default=False, name="glimt")
    except BaseException:
        with suppress(OSError, RuntimeError, TimeoutError):
            cluster.close()
        raise
    return DaskPlacement(
        client,
        host,
        close_cluster=cluster.close,
        quiet_limit_s=engine.lost_after_s,
        encrypts_frames=engine.encrypt_frames,
    )


def _cluster_options(partition: str, slurm: Slurm, host: str, log_folder: Path) -> dict[str, Any]:
    import distributed

    from glimt.engines.dask_placement import SLOT_RESOURCE, stays_here

    security: Any = distributed.Security()
    if not security.require_encryption:
        # Who reaches a scheduler can run code in this user's name: beyond this machine only with keys of this run.
        security = None if stays_here(host) else distributed.Security.temporary()
    return {
        "queue": partition or None,
        "cores": slurm.cores,
        "processes": 1,
        "memory": f"{slurm.memory}B",
        "walltime": slurm.walltime,
        "account": slurm.account or None,
        "interface": slurm.interface or None,
        "job_extra_directives": list(slurm.directives),
        "job_script_prologue": list(slurm.prologue),
        "worker_extra_args": ["--no-dashboard", "--resources", f"{SLOT_RESOURCE}=1"],
        "scheduler_options": {"host": host, "dashboard_address": None, "port": 0},
        "log_directory": str(log_folder.resolve()),
        "shared_temp_directory": str(log_folder.resolve()),
        "security": security,
        "job_name": "glimt-worker",
        "silence_logs": "error",
    }
