"""Live runs whose workers are jobs of a real Slurm."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from glimt.sim.plan import SimulationPlan
from glimt.sim.stins import StinsDevice
from live_rig import (
    LiveRig,
    check_ledger,
    check_result,
    sending,
    sent_by,
    wait_for,
    wait_for_scans,
    wait_until,
    whole_events,
)
from slurm_server import PARTITION, SlurmServer, slurm_server, why_no_slurm

pytest.importorskip("dask_jobqueue", reason="workers as jobs of Slurm need the extra `cluster`")

from glimt.app.beamline_file import load_beamline
from glimt.app.live.dask_cluster import place_on_dask
from glimt.engines.dask_placement import DaskPlacement

ENGINE = f"""
use = "slurm:{PARTITION}"
workers = 2
"""
JOBS = """
[engine.slurm]
walltime = "00:10:00"
cores = 1
memory = "1 GB"
interface = "lo"
directives = ["--mem=0"]
"""
REPLACED_S = 120.0
"""Slurm gives a job some seconds to end, and looks for a free place now and then."""


@pytest.fixture(scope="module")
def slurm() -> Iterator[SlurmServer]:
    if reason := why_no_slurm():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # its sockets need a short path
    folder.chmod(0o755)
    try:
        with slurm_server(folder) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_cancelled_job_is_replaced_and_nothing_is_lost(
    tmp_path: Path, slurm: SlurmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    with sending(StinsDevice((64, 64)), SimulationPlan(n_frames=0, rate_hz=200)) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, engine=ENGINE, sections=JOBS)

        def place() -> DaskPlacement:
            return place_on_dask(load_beamline(rig.file).engine, tmp_path / "logs")

        with rig.run(place) as run:
            first = slurm.jobs()
            assert len(first) == 2
            assert set(first.values()) == {"RUNNING"}
            sender.start()
            wait_for(run, lambda r: r.get("n_finished", 0) > 20, "events")
            processes = {run.roles[f"worker-{number}"].process_id for number in range(2)}
            slurm.command("scancel", min(first))
            wait_until(lambda: set(slurm.jobs()) - set(first) != set(), "another job", REPLACED_S)
            wait_until(
                lambda: len({run.roles[f"worker-{n}"].process_id for n in range(2)} - processes) == 1,
                "a worker in it",
                REPLACED_S,
            )
            sender.stop()
            report = wait_for_scans(run, 1)
        [sent] = sent_by(sender)
    check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=2))
    accounts = check_ledger(report)
    assert accounts["det"]["failed"] == 0
    assert accounts["det"]["received"] == accounts["det"]["reduced"] == sender.join().n_messages
    wait_until(lambda: not slurm.jobs(), "the jobs are given back")


@pytest.mark.slow
def test_beyond_the_machine_scheduler_events_and_results_are_encrypted(
    tmp_path: Path, slurm: SlurmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography", reason="certificates for a run need the extra `cluster`")
    for name, value in slurm.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("glimt.engines.dask_placement.stays_here", lambda host: False)  # as if others could reach it
    logs = tmp_path / "logs"
    with sending(StinsDevice((400, 400)), SimulationPlan(n_frames=50)) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, engine=ENGINE, sections=JOBS)
        with rig.run(lambda: place_on_dask(load_beamline(rig.file).engine, logs)) as run:
            placement = run.placement
            assert isinstance(placement, DaskPlacement)
            assert placement.keys.public
            assert placement.frame_keys.public
            assert placement.scheduler_address.startswith("tls://")
            [private] = logs.glob(".tls-*")
            assert private.stat().st_mode & 0o077 == 0
            assert len(list(private.iterdir())) == 3
            sender.start()
            report = wait_for_scans(run, 1)
        [sent] = sent_by(sender)
    check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=2))
    assert not private.exists()
