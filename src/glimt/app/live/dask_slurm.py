"""A Dask scheduler of this run's own, whose workers are jobs of Slurm."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask
import distributed
from distributed.utils import get_ip, get_ip_interface

from glimt.app.beamline_engine import NEEDS_EXTRA
from glimt.engines import dask_placement
from glimt.engines.dask_placement import SLOT_RESOURCE, DaskPlacement
from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from glimt.app.beamline_engine import Engine, Slurm

_ROLES = ("scheduler", "worker", "client")


def place_on_slurm(engine: Engine, log_folder: Path) -> DaskPlacement:
    """Start a scheduler in this process, and ask Slurm for a job for each worker; does not wait for them.

    Parameters
    ----------
    engine : Engine
        Of the beamline file.
    log_folder : Path
        Where the jobs' output goes, and the certificates of the run; made if it is not there.

    Raises
    ------
    UsageError
        There is no Slurm, packages are missing, or the scheduler cannot be started.
    """
    if shutil.which("sbatch") is None:
        raise UsageError(f'use = "{engine.use}": there is no sbatch here; run glimt where jobs are submitted')
    interface, n_workers = engine.slurm.interface, len(engine.worker_tags)
    try:
        host = get_ip_interface(interface) if interface else get_ip()
        log_folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise UsageError(f"[engine.slurm]: {error}") from None
    dask.config.set(
        {
            # A machine that dies must not count against a worker; the supervisor decides when to stop trying.
            "distributed.scheduler.allowed-failures": 1_000_000,
            "distributed.scheduler.http.routes": [],
        }
    )
    with ExitStack() as opened:
        try:
            from dask_jobqueue.slurm import SLURMCluster

            security = _security(host, log_folder, opened)
            cluster = SLURMCluster(
                **_job_options(engine.target, engine.slurm, log_folder),
                security=security,
                # The HTTP server cannot be left out; there is nothing on it, and it stays within this machine.
                scheduler_options={"host": host, "port": 0, "dashboard": False, "dashboard_address": "127.0.0.1:0"},
            )
            opened.callback(_close, cluster)
        except ImportError:
            raise UsageError(f'use = "{engine.use}": {NEEDS_EXTRA}') from None
        except (OSError, RuntimeError, ValueError) as error:
            raise UsageError(f"no Dask scheduler can be started on {host}: {error}") from None
        # Not `scale`: a job that was cancelled or has reached its time limit is to be replaced.
        cluster.adapt(minimum=n_workers, maximum=n_workers, interval="1s")
        client = distributed.Client(cluster, set_as_default=False, name="glimt")
        placement = DaskPlacement(
            client,
            host,
            close_cluster=opened.pop_all().close,
            quiet_limit_s=engine.lost_after_s,
            encrypts_frames=engine.encrypt_frames,
        )
    return placement


def _close(cluster: Any) -> None:
    with suppress(OSError, RuntimeError, TimeoutError):
        cluster.close()


def _job_options(partition: str, slurm: Slurm, log_folder: Path) -> dict[str, Any]:
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
        "log_directory": str(log_folder.resolve()),
        "job_name": "glimt-worker",
        "silence_logs": "error",
    }


def _security(host: str, folder: Path, opened: ExitStack) -> distributed.Security | None:
    """Return how the scheduler is reached; who reaches it can run code in this user's name."""
    configured = distributed.Security()
    if configured.require_encryption:
        return configured
    if dask_placement.stays_here(host):
        return None
    made = distributed.Security.temporary()
    # In files of our own and not of dask-jobqueue, which forgets to delete them as long as the process lives.
    private = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix=".tls-", dir=folder.resolve())))
    paths = {"ca_file": made.tls_ca_file, "cert": made.tls_worker_cert, "key": made.tls_worker_key}
    for name, content in paths.items():
        path = private / f"{name}.pem"
        path.touch(mode=0o600)
        path.write_text(str(content))
        paths[name] = str(path)
    by_role = {f"tls_{role}_{part}": paths[part] for role in _ROLES for part in ("cert", "key")}
    return distributed.Security(require_encryption=True, tls_ca_file=paths["ca_file"], **by_role)
