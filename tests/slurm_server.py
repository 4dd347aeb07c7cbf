"""A Slurm of one's own on this machine: one node, loopback, its files in a folder, no services, no other users."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PARTITION = "main"
_PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "squeue", "sinfo")
_START_S = 60.0
_TOOL_PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))


def why_no_slurm() -> str:
    """Return what is missing to start one; empty if nothing is."""
    missing = [name for name in _PROGRAMS if shutil.which(name, path=_TOOL_PATH) is None]
    if missing:
        return f"Slurm is not installed here ({', '.join(missing)})"
    return "" if os.geteuid() == 0 else "Slurm's daemons start jobs as other users: they need root"


@dataclass(frozen=True)
class SlurmServer:
    """A Slurm that runs.

    Attributes
    ----------
    environment : dict of str to str
        What its commands need.
    """

    environment: dict[str, str]

    def command(self, *words: str) -> str:
        """Run one of Slurm's commands; return what it prints."""
        return subprocess.run(
            words, env=os.environ | self.environment, check=True, capture_output=True, text=True, timeout=30
        ).stdout

    def jobs(self) -> dict[str, str]:
        """Return the state of each job by its number."""
        lines = self.command("squeue", "--noheader", "-o", "%i %T").splitlines()
        return {number: state for number, _, state in (line.partition(" ") for line in lines)}


@contextmanager
def slurm_server(folder: Path, n_cpus: int = 4) -> Iterator[SlurmServer]:
    """Start the daemons in an empty folder with a short path, end them at the end."""
    for name in ("etc", "state", "spool", "log", "run", "munge"):
        (folder / name).mkdir(parents=True)
    (folder / "munge").chmod(0o700)
    key = folder / "munge" / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    configuration = folder / "etc" / "slurm.conf"
    configuration.write_text(_configuration(folder, n_cpus))
    server = SlurmServer({"SLURM_CONF": str(configuration), "PATH": _TOOL_PATH})
    with ExitStack() as running:
        running.enter_context(
            _daemon(
                folder,
                server,
                "munged",
                "--foreground",
                "--force",
                f"--key-file={key}",
                f"--socket={folder}/run/munge.sock",
                f"--pid-file={folder}/run/munged.pid",
                f"--log-file={folder}/munge/log",
                f"--seed-file={folder}/munge/seed",
            )
        )
        _wait_for(lambda: (folder / "run" / "munge.sock").exists(), folder)
        running.enter_context(_daemon(folder, server, "slurmctld", "-D"))
        _wait_for(lambda: _answers(server), folder)
        running.enter_context(_daemon(folder, server, "slurmd", "-D"))
        _wait_for(lambda: "idle" in server.command("sinfo", "--noheader", "-o", "%t"), folder)
        try:
            yield server
        finally:
            for number in server.jobs():
                with suppress(subprocess.CalledProcessError):  # it has ended meanwhile
                    server.command("scancel", "--signal=KILL", "--full", number)
                    server.command("scancel", number)
            _wait_for(lambda: not server.jobs(), folder)


def _configuration(folder: Path, n_cpus: int) -> str:
    host = socket.gethostname().partition(".")[0]
    return f"""
ClusterName=t
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={_free_port()}
SlurmdPort={_free_port()}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.sock
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
KillWait=5
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName={host} NodeAddr=127.0.0.1 CPUs={n_cpus} State=UNKNOWN
PartitionName={PARTITION} Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _daemon(folder: Path, server: SlurmServer, *command: str) -> Iterator[None]:
    program = shutil.which(command[0], path=_TOOL_PATH)
    assert program is not None
    with (folder / "log" / f"{command[0]}.out").open("wb") as output:
        process = subprocess.Popen(
            (program, *command[1:]),
            env=os.environ | server.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(server: SlurmServer) -> bool:
    try:
        server.command("sinfo", "--noheader")
    except subprocess.CalledProcessError:
        return False
    return True


def _wait_for(condition: object, folder: Path) -> None:
    assert callable(condition)
    deadline = time.monotonic() + _START_S
    while not condition():
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in (folder / "log").iterdir())
            raise AssertionError(f"Slurm does not get ready:\n{logs}")
        time.sleep(0.1)
