"""The commands status and doctor against what answers over real sockets."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from typer.testing import CliRunner, Result

from glimt.app.beamline_example import write_example
from glimt.cli.doctor import doctor
from glimt.cli.status import status
from glimt.model.health import Health
from glimt.web.control_api import create_control_app
from glimt.web.log_ring import LogRing
from glimt.web.server import ViewServer

WHOLE: Health = {"name": "balder", "state": "running", "uptime_s": 5.0, "scan": {"scan_number": 1}}
BROKEN: Health = {"name": "balder", "state": "failed", "reason": "the disk is full"}

commands = typer.Typer()
commands.command()(status)
commands.command()(doctor)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(commands, list(arguments), env={"COLUMNS": "80"})


class Asked:
    """How often a run was asked for its health."""

    count = 0


@contextmanager
def answering(health: Health, *, asked: Asked | None = None, **options: Any) -> Iterator[str]:
    """Serve one health, through the real interface."""

    class Run:
        logs = LogRing()

        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"status and doctor read nothing but the health, not {name}")

        def health(self) -> Health:
            if asked is not None:
                asked.count += 1
            return health

    with ViewServer(create_control_app(Run(), **options), port=0) as server:
        yield server.url


@pytest.fixture
def free_port() -> Iterator[int]:
    """Give a port at which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def test_status_of_a_whole_run_exits_with_0() -> None:
    with answering(WHOLE) as url:
        result = run("status", url)
    assert result.exit_code == 0
    assert "balder: running, up 5 s" in result.stdout


def test_status_of_a_run_in_trouble_exits_with_1() -> None:
    with answering(BROKEN) as url:
        result = run("status", url)
    assert result.exit_code == 1
    assert "error: the run has failed: the disk is full" in result.stdout


@pytest.mark.parametrize("command", ["status", "doctor"])
def test_no_run_exits_with_2(command: str, free_port: int) -> None:
    result = run(command, f"http://127.0.0.1:{free_port}")
    assert result.exit_code == 2
    assert "start `glimt run`" in result.stderr


def test_status_as_json_is_the_health() -> None:
    with answering(BROKEN) as url:
        result = run("status", "--json", url)
    assert json.loads(result.stdout) == BROKEN
    assert result.exit_code == 1


def test_watching_ends_with_ctrl_c_and_the_exit_code_of_what_was_seen_last() -> None:
    code = "import typer; from glimt.cli.status import status; typer.run(status)"
    asked = Asked()
    with answering(BROKEN, asked=asked) as url:
        command = [sys.executable, "-c", code, url, "--watch"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            deadline = time.monotonic() + 30
            while asked.count < 2:  # asked again: what came first has been shown
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=20)
    assert process.returncode == 1, output
    assert "the disk is full" in output


def test_the_token_is_sent() -> None:
    with answering(WHOLE, token="secret") as url:
        refused = run("status", url)
        assert (refused.exit_code, "GLIMT_TOKEN" in refused.stderr) == (2, True)
        assert run("status", url, "--token", "secret").exit_code == 0


def test_doctor_says_what_is_wrong_why_and_what_to_do() -> None:
    with answering(BROKEN) as url:
        result = run("doctor", url)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[0] == "ERROR    the run has failed: the disk is full"
    assert lines[1].startswith("why      ")
    assert any(line.startswith("do       ") for line in lines)
    assert all(len(line) <= 80 for line in lines)


def test_doctor_finds_nothing_wrong_with_a_whole_run() -> None:
    with answering(WHOLE) as url:
        result = run("doctor", url)
    assert (result.exit_code, result.stdout) == (0, "nothing is wrong\n")


def test_doctor_reads_a_saved_report(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_bytes(msgspec.json.encode(BROKEN))
    assert "the disk is full" in run("doctor", str(report)).stdout


def beamline_file(folder: Path, *, control: int, stream: str) -> Path:
    """Write a beamline file whose addresses are of this test."""
    write_example(folder)
    path = folder / "beamline.toml"
    path.write_text(
        f"""
[pipeline]
worker = "src.worker:TestWorker"
reducer = "src.reducer:TestReducer"
[streams.eiger]
transport = "zmq-pull"
protocol = "stins"
{stream}
[control]
port = {control}
view_port = 0
"""
    )
    return path


def test_doctor_asks_the_run_that_a_beamline_file_describes(tmp_path: Path) -> None:
    with answering(BROKEN) as url:
        path = beamline_file(tmp_path, control=int(url.rpartition(":")[2]), stream='address = "tcp://127.0.0.1:1"')
        result = run("doctor", str(path))
    assert "the run has failed" in result.stdout


def test_doctor_tries_what_a_beamline_file_names_while_nothing_runs(tmp_path: Path, free_port: int) -> None:
    path = beamline_file(tmp_path, control=free_port, stream=f'address = "tcp://127.0.0.1:{free_port}"')
    result = run("doctor", str(path))
    words = " ".join(result.stdout.split())
    assert result.exit_code == 1
    assert f"stream eiger: nothing answers at tcp://127.0.0.1:{free_port} (Connection refused)" in words
    assert "is in order, but no run answers" in words


def test_doctor_says_when_a_port_to_listen_at_is_taken(tmp_path: Path, free_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        stream = f'bind = true\naddress = "tcp://127.0.0.1:{taken.getsockname()[1]}"'
        result = run("doctor", str(beamline_file(tmp_path, control=free_port, stream=stream)))
    assert "cannot listen at" in result.stdout
    assert result.exit_code == 1


def test_doctor_is_content_with_a_sender_that_listens(tmp_path: Path) -> None:
    """In a process of its own: it imports the classes, whose module has the name of another test's."""
    with socket.create_server(("127.0.0.1", 0)) as trial:
        free_port = trial.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as sender:
        stream = f'address = "tcp://127.0.0.1:{sender.getsockname()[1]}"'
        command = [sys.executable, "-m", "glimt", "doctor"]
        command.append(str(beamline_file(tmp_path, control=free_port, stream=stream)))
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("NOTE")
