from __future__ import annotations

import collections
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from glimt.brokers.broker import Outgoing, QueueSpec
from glimt.brokers.sqlite import SqliteBroker

SERVICES = Path(__file__).parents[1] / "unit" / "services"
LIMIT_S = 60.0


class Site:
    """A folder with a site file, services under `glimt serve` and a connection to their broker."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written = folder / "written.txt"
        self.file = folder / "site.toml"
        self.processes: list[subprocess.Popen[str]] = []
        self.broker = SqliteBroker(f"sqlite:{folder / 'broker.sqlite'}")
        self.broker.declare([QueueSpec("to_file"), QueueSpec("done")])

    def write(self, **keys: Any) -> None:
        lines = [f"{key} = {json.dumps(value)}" for key, value in {"file": str(self.written), **keys}.items()]
        self.file.write_text(
            '[broker]\nurl = "sqlite:broker.sqlite"\n[results]\nurl = "sqlite:///results.sqlite"\n'
            '[paths]\nstate = "state"\n[services."runner_services:FileService"]\n' + "\n".join(lines)
        )

    def serve(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "glimt",
                "serve",
                *(arguments or ("runner_services:FileService",)),
                "--site",
                str(self.file),
            ],
            env={**os.environ, "PYTHONPATH": str(SERVICES)},
            cwd=self.folder,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def send(self, count: int) -> None:
        self.broker.send([Outgoing(body=str(number).encode(), queue="to_file") for number in range(count)])

    def n_ready(self, queue: str) -> int:
        return {status.name: status.n_ready for status in self.broker.status()}.get(queue, 0)

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.written.read_text().splitlines()] if self.written.exists() else []


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.broker.close()
    for process in made.processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)
    return found


def children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == pid and b"spawn_main" in command:
            found.append(int(entry.name))
    return found


def is_alive(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_killed_service_is_started_again_and_every_message_is_answered_once(site: Site) -> None:
    site.write(pause_s=0.02)
    site.send(60)
    process = site.serve()
    killed = 0
    for n_lines in (5, 25, 45):
        wait_for(lambda n_lines=n_lines: len(site.lines()) >= n_lines, f"{n_lines} lines")
        os.kill(int(site.lines()[-1][1]), signal.SIGKILL)
        killed += 1
        wait_for(lambda: len({pid for _, pid in site.lines()}) > killed, "a new process")  # noqa: B023
    wait_for(lambda: site.n_ready("done") == 60, "all answers")
    site.broker.subscribe("done", prefetch=100)
    answers = collections.Counter(int(delivery.body) for delivery in site.broker.receive(100, timeout_s=5.0))
    assert answers == collections.Counter(range(60))
    # A message that was in hand when its process was killed was handled twice, and no other.
    handled = collections.Counter(int(payload) for payload, _ in site.lines())
    assert set(handled) == set(range(60))
    assert sum(n - 1 for n in handled.values()) <= 4 * killed
    os.kill(process.pid, signal.SIGINT)
    _, log = process.communicate(timeout=LIMIT_S)
    assert log.count("was ended by SIGKILL; its message is delivered again") == 3
    assert process.returncode == 0


def test_ctrl_c_lets_the_message_at_hand_finish(site: Site) -> None:
    site.write(pause_s=1.0)
    site.send(3)
    process = site.serve()
    wait_for(site.lines, "the first message")
    pids = children(process.pid)
    assert pids
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, log = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, log
    assert [payload for payload, _ in site.lines()] == ["0"]
    assert site.n_ready("done") == 1
    assert not any(is_alive(pid) for pid in pids)
    assert "Traceback" not in log
    # The two that were fetched ahead are there for the next one.
    wait_for(lambda: site.n_ready("to_file") == 2, "the others come back")


def test_second_ctrl_c_ends_at_once(site: Site) -> None:
    site.write(pause_s=30.0)
    site.send(1)
    process = site.serve()
    wait_for(site.lines, "the first message")
    pids = children(process.pid)
    os.kill(process.pid, signal.SIGINT)
    assert process.stderr is not None
    assert any("Ctrl-C ends at once" in line for line in iter(process.stderr.readline, ""))
    began = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=LIMIT_S)
    assert time.monotonic() - began < 20
    assert not any(is_alive(pid) for pid in pids)
    assert site.n_ready("done") == 0


def test_nobody_is_left_when_the_command_is_killed(site: Site) -> None:
    site.write(instances=2)
    process = site.serve()
    pids = wait_for(lambda: len(found := children(process.pid)) == 2 and found, "two processes")
    site.send(1)
    wait_for(site.lines, "the first message")
    process.kill()
    process.wait()
    wait_for(lambda: not any(is_alive(pid) for pid in pids), "the end of all")


def test_status_is_broadcast_as_zocalo_does_and_shutdown_is_obeyed(site: Site) -> None:
    site.write(pause_s=2.5)
    site.broker.listen("transient.status")
    process = site.serve()
    site.send(1)
    seen: dict[str, dict[str, Any]] = {}

    def heard(text: str) -> bool:
        for delivery in site.broker.receive(100, timeout_s=0.1):
            message = json.loads(delivery.body)
            seen[message["statustext"]] = message
        return any(each.startswith(text) for each in seen)

    wait_for(lambda: heard("processing"), "the status: processing")
    wait_for(lambda: heard("idle"), "the status: idle")
    status = seen["idle"]
    (pid,) = children(process.pid)
    assert status["host"].endswith(f".{pid}")
    assert status["status"] == 2
    assert status["serviceclass"] == "FileService"
    assert set(status["utilization"]) <= {"0", "1", "2", "3", "4"}
    assert status["messages"]["handled"] == 1
    command = {"command": "shutdown", "host": status["host"]}
    site.broker.send([Outgoing(body=json.dumps(command).encode(), topic="command")])
    _, log = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
    assert "was told to shut down" in log


def test_second_command_on_the_same_queues_with_other_folders_says_so_when_it_starts(site: Site) -> None:
    site.write()
    (site.folder / "other").mkdir()
    first = site.serve()
    wait_for(lambda: children(first.pid), "the first")
    site.send(1)
    wait_for(site.lines, "the first to be ready")
    second = site.serve("runner_services:FileService", "--root", "other")
    assert second.stderr is not None
    while "WARNING" not in (line := second.stderr.readline()):
        assert line
    assert f"opens other folders to them: {site.folder}; here it is {site.folder}/other" in line
    second.send_signal(signal.SIGINT)
    second.communicate(timeout=LIMIT_S)
    third = site.serve()
    assert third.stderr is not None
    while "all services are ready, after" not in (line := third.stderr.readline()):
        assert line
        assert "WARNING" not in line


def test_service_that_cannot_run_says_why_and_is_not_started_again(site: Site) -> None:
    site.write()
    process = site.serve("runner_services:NoService")
    _, log = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1
    assert "runner_services has no class NoService" in log
    assert "is not started again" in log


def test_messages_wait_for_a_service_that_is_started_later(site: Site) -> None:
    site.write()
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "glimt",
            "go",
            "-f",
            "own.json",
            "-n",
            "-s",
            "name=thau",
            "-s",
            "n:=3",
            "--site",
            str(site.file),
        ],
        cwd=site.folder,
        input="",
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert answer.returncode == 1
    assert "own.json" in answer.stderr
    (site.folder / "own.json").write_text('{"1": {"queue": "to_file"}, "start": [[1, []]]}')
    answer = subprocess.run(
        [
            sys.executable,
            "-m",
            "glimt",
            "go",
            "-f",
            "own.json",
            "-n",
            "-s",
            "name=thau",
            "-s",
            "n:=3",
            "--site",
            str(site.file),
        ],
        cwd=site.folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert answer.returncode == 0, answer.stderr
    (message,) = site.broker.peek("processing_recipe")
    body = json.loads(message.body)
    assert body["parameters"] == {"name": "thau", "n": 3, "guid": answer.stdout.strip()}
    assert body["recipes"] == []
    assert body["custom_recipe"]["1"] == {"queue": "to_file"}
    assert set(message.headers) == {"zocalo.go.user", "zocalo.go.host"}


def test_recipe_runs_in_one_process_and_tells_every_message(site: Site) -> None:
    pytest.importorskip("sqlalchemy", reason="the results database needs the extra `services`")
    pytest.importorskip("ispyb", reason="the results database needs the extra `services`")
    site.write()
    own = {"1": {"queue": "add", "output": {"result": 2}}, "2": {"queue": "jsonlines"}}
    answers = []
    for payload in (4, "reject"):
        (site.folder / "own.json").write_text(json.dumps({**own, "start": [[1, payload]]}))
        command = [
            "recipe",
            "run",
            "-f",
            "own.json",
            "--service",
            "runner_services:AddService",
            "--site",
            str(site.file),
        ]
        answers.append(
            subprocess.run(
                [sys.executable, "-m", "glimt", *command],
                cwd=site.folder,
                env={**os.environ, "PYTHONPATH": str(SERVICES)},
                capture_output=True,
                text=True,
                timeout=LIMIT_S,
            )
        )
    good, bad = answers
    assert good.returncode == 0, good.stderr
    assert "dispatcher -> add: step 1, 4" in good.stdout
    assert "runner_services:AddService -> jsonlines: step 2, 5" in good.stdout
    assert bad.returncode == 1
    assert "dead letter of add: this number is no number" in bad.stdout
