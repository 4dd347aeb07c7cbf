"""Live runs whose workers are Dask tasks: the same results as on one machine, whatever dies."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq

from glimt.engines.event_block import ResultHead, pack_results
from glimt.engines.live_messages import Acknowledged, Hello, Quit, encode
from glimt.model.errors import UsageError, WorkerDiedError
from glimt.pipeline.result_codec import decode_result, encode_result
from glimt.sim.plan import SimulationPlan
from glimt.sim.stins import StinsDevice
from live_rig import (
    LIMIT_S,
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

distributed = pytest.importorskip("distributed", reason="workers on Dask need the extra `cluster`")

from glimt.app.beamline_engine import Engine  # noqa: E402 - after the skip
from glimt.app.live.dask_cluster import place_on_dask  # noqa: E402
from glimt.engines.dask_placement import DaskPlacement  # noqa: E402

pytestmark = pytest.mark.slow

LARGE = StinsDevice((400, 400))
"""Frames that are parts of their own."""


class DaskProcesses:
    """A scheduler and Dask workers, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.address = ""
        self.scheduler = self._start("dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        wait_until(lambda: "Scheduler at:" in self._log("dask_scheduler0"), "a Dask scheduler")
        line = next(line for line in self._log("dask_scheduler0").splitlines() if "Scheduler at:" in line)
        self.address = line.split()[-1]
        self.workers: list[subprocess.Popen[bytes]] = []

    _n_started = 0

    def _log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{module}{self._n_started}.log").open("wb") as log:
            self._n_started += 1
            command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=self._folder)

    def add_worker(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a Dask worker with one place, without a nanny: what dies stays dead."""
        options = ["--no-nanny", "--nthreads", "1", "--memory-limit", "0", "--no-dashboard", "--host", "127.0.0.1"]
        process = self._start("dask_worker", self.address, *options, "--resources", "slot=1", *arguments)
        self.workers.append(process)
        return process

    def wait_for_workers(self) -> None:
        """Wait until all are known to the scheduler."""
        with distributed.Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(len(self.workers), timeout=LIMIT_S)

    def close(self) -> None:
        """End all of them."""
        for process in (*self.workers, self.scheduler):
            process.terminate()
        for process in (*self.workers, self.scheduler):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def dask_processes(folder: Path, n_workers: int) -> Iterator[DaskProcesses]:
    folder.mkdir()
    processes = DaskProcesses(folder)
    try:
        for _ in range(n_workers):
            processes.add_worker()
        processes.wait_for_workers()
        yield processes
    finally:
        processes.close()


@pytest.fixture(scope="module")
def two_places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskProcesses]:
    with dask_processes(tmp_path_factory.mktemp("dask") / "processes", 2) as processes:
        yield processes


def engine_of(processes: DaskProcesses, n_workers: int = 2) -> Engine:
    return Engine(use=processes.address.replace("tcp:", "dask:"), workers=n_workers)


def parent_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("PPid:")).split()[1])


def wait_until_gone(pid: int) -> None:
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), f"process {pid} ends")


@pytest.mark.parametrize("encrypts", [False, True])
def test_workers_on_dask_give_the_results_of_local_ones(
    tmp_path: Path, two_places: DaskProcesses, encrypts: bool
) -> None:
    def place() -> DaskPlacement:
        client = distributed.Client(two_places.address, set_as_default=False)
        return DaskPlacement(client, "127.0.0.1", encrypts=encrypts)

    plan = SimulationPlan(n_frames=400, rate_hz=0)
    outputs = []
    for name in ("local", "dask"):
        (tmp_path / name).mkdir()
        with sending(LARGE, plan) as sender:
            rig = LiveRig(tmp_path / name, {"det": sender.address})
            with rig.run() if name == "local" else rig.run(place) as run:
                sender.start()
                report = wait_for_scans(run, 1)
            [sent] = sent_by(sender)
        assert check_ledger(report)["det"]["reduced"] == 402
        outputs.append(rig.output(report["scan_id"]))
        check_result(outputs[-1], whole_events(sent, n_workers=2))
    assert outputs[0] == outputs[1]


def test_a_killed_role_process_is_replaced_and_nothing_is_lost(tmp_path: Path, two_places: DaskProcesses) -> None:
    with sending(LARGE, SimulationPlan(n_frames=0, rate_hz=300)) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address})
        with rig.run(lambda: place_on_dask(engine_of(two_places))) as run:
            sender.start()
            wait_for(run, lambda r: r.get("n_finished", 0) > 20, "events")
            for n_restarts in (1, 2):
                os.kill(run.roles["worker-0"].process_id, signal.SIGKILL)
                wait_until(lambda n=n_restarts: run.roles["worker-0"].n_restarts == n, "it is replaced")  # type: ignore[misc]
                wait_until(lambda: not run.roles["worker-0"].is_new, "it is there")
            sender.stop()
            report = wait_for_scans(run, 1)
            assert "killed by SIGKILL" in run.roles["worker-0"].last_death
        [sent] = sent_by(sender)
    check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=2))
    assert check_ledger(report)["det"]["failed"] == 0


def test_a_killed_dask_worker_loses_nothing_and_its_role_goes_elsewhere(tmp_path: Path) -> None:
    with (
        dask_processes(tmp_path / "dask", 3) as processes,  # one place more than roles
        sending(LARGE, SimulationPlan(n_frames=0, rate_hz=300)) as sender,
    ):
        rig = LiveRig(tmp_path, {"det": sender.address})
        with rig.run(lambda: place_on_dask(engine_of(processes))) as run:
            sender.start()
            wait_for(run, lambda r: r.get("n_finished", 0) > 20, "events")
            pid = run.roles["worker-1"].process_id
            os.kill(parent_of(pid), signal.SIGKILL)
            wait_until_gone(pid)  # a process whose keeper is dead does not stay
            wait_until(lambda: run.roles["worker-1"].process_id != pid, "another one takes its place")
            sender.stop()
            report = wait_for_scans(run, 1)
        [sent] = sent_by(sender)
    check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=2))
    assert check_ledger(report)["det"]["failed"] == 0


def test_a_stopped_process_is_taken_as_dead_and_its_events_are_done_by_others(
    tmp_path: Path, two_places: DaskProcesses
) -> None:
    def place() -> DaskPlacement:
        client = distributed.Client(two_places.address, set_as_default=False)
        return DaskPlacement(client, "127.0.0.1", quiet_limit_s=1.5)

    with sending(LARGE, SimulationPlan(n_frames=0, rate_hz=300)) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address})
        with rig.run(place) as run:
            sender.start()
            wait_for(run, lambda r: r.get("n_finished", 0) > 20, "events")
            pid = run.roles["worker-0"].process_id
            os.kill(pid, signal.SIGSTOP)  # as a machine that hangs: no end, no answer
            wait_until_gone(pid)  # its keeper was told
            wait_until(lambda: run.roles["worker-0"].process_id != pid, "another one takes its place")
            assert "not been heard" in run.roles["worker-0"].last_death
            sender.stop()
            report = wait_for_scans(run, 1)
        [sent] = sent_by(sender)
    check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=2))
    assert check_ledger(report)["det"]["failed"] == 0


def test_a_killed_ingester_makes_workers_connect_to_the_new_one(tmp_path: Path, two_places: DaskProcesses) -> None:
    with sending(StinsDevice((16, 16)), SimulationPlan(n_frames=50, rate_hz=0)) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address})
        with rig.run(lambda: place_on_dask(engine_of(two_places))) as run:
            address = run.report["address"]
            os.kill(run.roles["ingester"].process_id, signal.SIGKILL)
            wait_for(run, lambda r: r["address"] != address, "another ingester at another port")
            wait_until(lambda: all(not role.is_new and role.placed for role in run.roles.values()), "all are back")
            sender.start()
            report = wait_for_scans(run, 1)
        [sent] = sent_by(sender)
    check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=2))


RUN_AND_HANG = """
import sys, time
import distributed
from glimt.app.beamline_file import load_beamline
from glimt.app.live.live_run import LiveRun
from glimt.engines.dask_placement import DaskPlacement
if __name__ == "__main__":
    client = distributed.Client(sys.argv[2], set_as_default=False)
    with LiveRun(load_beamline(sys.argv[1]), DaskPlacement(client, "127.0.0.1", lease_s=2.0)) as run:
        print(*(run.roles[f"worker-{n}"].process_id for n in range(2)), flush=True)
        time.sleep(600)
"""


def test_a_killed_control_process_leaves_nothing_behind(tmp_path: Path, two_places: DaskProcesses) -> None:
    (tmp_path / "control.py").write_text(RUN_AND_HANG)
    with sending(StinsDevice((16, 16)), SimulationPlan(n_frames=1)) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address})
        control = subprocess.Popen(
            [sys.executable, "control.py", rig.file, two_places.address], stdout=subprocess.PIPE, cwd=tmp_path
        )
        with control:
            assert control.stdout is not None
            pids = [int(pid) for pid in control.stdout.readline().split()]
            control.kill()
        assert len(pids) == 2
        for pid in pids:
            wait_until_gone(pid)
    with distributed.Client(two_places.address, set_as_default=False) as client:
        wait_until(lambda: not any(client.processing().values()), "the tasks end")


def test_a_class_that_cannot_be_imported_there_is_named(tmp_path: Path, two_places: DaskProcesses) -> None:
    here = f"""
import os
if {os.getpid()} not in (os.getpid(), os.getppid()):
    raise ImportError("no accelerator on this machine")
"""
    with sending(StinsDevice((16, 16)), SimulationPlan(n_frames=1)) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address}, analysis=here)
        with (
            pytest.raises(WorkerDiedError, match="no accelerator on this machine"),
            rig.run(lambda: place_on_dask(engine_of(two_places))),
        ):
            pass


def test_too_few_places_are_refused_with_the_command_that_makes_more(two_places: DaskProcesses) -> None:
    with pytest.raises(UsageError, match=r"have 2 places and the run has 3 workers; .*--resources slot=1"):
        place_on_dask(engine_of(two_places, 3))


def test_an_address_where_nobody_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glimt.app.live.dask_cluster._CONNECT_S", 1.0)
    with pytest.raises(UsageError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        place_on_dask(Engine(use="dask://127.0.0.1:9", workers=1))


def open_sockets(address: str) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.connect(address)
    return socket


class Trap:
    """A pickle that leaves a mark where it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("encrypts", [False, True])
def test_strangers_are_not_listened_to(tmp_path: Path, two_places: DaskProcesses, encrypts: bool) -> None:
    def place() -> DaskPlacement:
        client = distributed.Client(two_places.address, set_as_default=False)
        return DaskPlacement(client, "127.0.0.1", encrypts=encrypts)

    mark = tmp_path / "a pickle was read"
    result = ResultHead(1, 0, 0, "worker-0", "", [0, 1], [0, 0], [encode_result(Trap(mark))] * 2, [])
    other = encode_result(Trap(tmp_path / "as it would"))
    decode_result(other)
    assert (tmp_path / "as it would").exists()
    messages = [
        [encode(Quit())],
        [encode(Hello(b"guessed", "worker-0", 1, "elsewhere"))],
        [encode(Hello("\udcff".encode("utf-8", "surrogatepass") * 16, "ingester", 1, ""))],
        [encode(Acknowledged(0, []))],
        pack_results(result),
        [pickle.dumps(Trap(mark))],
        [b"\xc1" * 1000],
        [b""],
    ]
    with sending(LARGE, SimulationPlan(n_frames=100, rate_hz=0)) as sender:
        rig = LiveRig(tmp_path, {"det": sender.address})
        with rig.run(place) as run:
            control = run._supervisor.address
            addresses = [run.report["address"], run.roles["reducer"].state["address"], control]
            assert all(address.startswith("tcp://127.0.0.1:") for address in addresses)
            sockets = [open_sockets(address) for address in addresses]
            for message in messages:
                for socket in sockets:
                    socket.send_multipart(message)
            sender.start()
            report = wait_for_scans(run, 1)
            heard = [socket.poll(0) for socket in sockets]
            assert not any(heard[:2])  # nothing of the run is told to them; control says to whom it does not know: end
            assert sum(role.n_restarts for role in run.roles.values()) == 0
            for socket in sockets:
                socket.close()
        [sent] = sent_by(sender)
    check_result(rig.output(report["scan_id"]), whole_events(sent, n_workers=2))
    assert not mark.exists()
