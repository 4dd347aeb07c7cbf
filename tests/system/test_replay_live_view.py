"""``glimt replay --port``: what the reducer publishes, read by the current h5pyd while and after the replay runs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5pyd
import httpx
import numpy as np
import pytest

from captures import pixels, stins_messages, write_capture

GLIMT = str(Path(sys.executable).parent / "glimt")

ANALYSIS = """
import threading
import time
from dranspose.middlewares.stream1 import parse
from dranspose.data.stream1 import Stream1Data
from dranspose.parameters import IntParameter

class Worker:
    @staticmethod
    def describe_parameters():
        return [IntParameter(name="factor", default=1)]
    def __init__(self, **kwargs):
        pass
    def process_event(self, event, parameters=None):
        packet = parse(event.streams["xrd"])
        if isinstance(packet, Stream1Data):
            time.sleep(0.005)
            return packet.data.astype(float).mean() * parameters["factor"].value

class Patient(Worker):
    # It leaves time for a change of the parameter.
    def process_event(self, event, parameters=None):
        if parameters["factor"].value == 1:
            time.sleep(0.05)
        return super().process_event(event, parameters)

class Reducer:
    def __init__(self, **kwargs):
        self.publish = {"map": {}, "title": "demo", "_attrs": {"version": 1}}
        self.publish_rlock = threading.RLock()
        self.hashes = []
        self.by_hash = {}
    def process_result(self, result, parameters=None):
        with self.publish_rlock:
            self.publish["map"].setdefault("values", []).append(result.payload)
            self.publish["last"] = result.event_number
            self.by_hash.setdefault(result.parameters_hash, []).append(result.event_number)
    def timer(self):
        with self.publish_rlock:
            self.publish["timed"] = time.time()
        return 0.05
    def finish(self, parameters=None):
        self.publish["ranges"] = [[numbers[0], numbers[-1]] for numbers in self.by_hash.values()]
"""


@contextmanager
def running(
    project: Path, *options: str, worker: str = "Worker"
) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """Run a replay with a live view; yield the process, the view's address and what is printed."""
    command = [
        GLIMT,
        "replay",
        "-w",
        f"analysis:{worker}",
        "-r",
        "analysis:Reducer",
        "-f",
        "a.cbors",
        "--port",
        "0",
        *options,
    ]
    process = subprocess.Popen(
        command, cwd=project, stderr=subprocess.PIPE, text=True, env=os.environ | {"LOG_LEVEL": "INFO"}
    )
    lines: list[str] = []
    address = ""
    reader: threading.Thread | None = None
    assert process.stderr is not None
    try:
        for line in process.stderr:
            lines.append(line)
            if found := re.match(r"live view on (\S+)", line):
                address = found[1]
                break
        assert address, "".join(lines)
        stderr = process.stderr
        reader = threading.Thread(target=lambda: lines.extend(stderr), daemon=True)
        reader.start()
        yield process, address, lines
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
        if reader is not None:
            reader.join(timeout=20)
        process.stderr.close()


def wait_for(lines: list[str], text: str) -> None:
    until = time.monotonic() + 60
    while not any(text in line for line in lines):
        assert time.monotonic() < until, "".join(lines)
        time.sleep(0.02)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "analysis.py").write_text(ANALYSIS)
    write_capture(tmp_path / "a.cbors", stins_messages(400))
    return tmp_path


def test_h5pyd_reads_the_tree_while_it_grows_and_after_the_end(project: Path) -> None:
    with running(project, "--keep-alive") as (_, address, lines):
        wait_for(lines, "the live view stays")
        file = h5pyd.File("/", "r", endpoint=address, retries=0)
        values = file["map/values"][:]
        np.testing.assert_allclose(values, [pixels(frame).mean() for frame in range(400)])
        assert file["last"][()] == 400
        assert file.attrs["version"] == 1
        assert file["title"][()] in {"demo", b"demo"}
        assert file["timed"][()] > 0
        assert httpx.get(f"{address}/api/v1/progress").json()["n_events"] == 402


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_parameter_takes_effect_at_one_event_and_results_carry_its_hash(workers: str, project: Path) -> None:
    with running(project, "--keep-alive", "--nworkers", workers, worker="Patient") as (_, address, lines):
        assert httpx.get(f"{address}/api/v1/parameter/factor").content == b"1"
        until = time.monotonic() + 60
        while httpx.get(f"{address}/api/v1/progress").json()["n_events"] < 5:
            assert time.monotonic() < until, "".join(lines)
        answer = httpx.post(f"{address}/api/v1/parameter/factor", content=b"3")
        assert len(answer.json()) == 64
        assert httpx.post(f"{address}/api/v1/parameter/factor", content=b"x").status_code == 400
        assert httpx.get(f"{address}/api/v1/parameter/nope").status_code == 404
        assert [entry["name"] for entry in httpx.get(f"{address}/api/v1/parameters").json()] == ["factor"]
        wait_for(lines, "the live view stays")
        file = h5pyd.File("/", "r", endpoint=address, retries=0)
        (first, before), (after, last) = file["ranges"][:].tolist()
        assert (first, last) == (1, 400)
        assert after == before + 1, "one border, and no event with mixed parameters"
        values = file["map/values"][:]
        means = np.array([pixels(frame).mean() for frame in range(400)])
        np.testing.assert_allclose(values, np.where(np.arange(400) < before, means, 3 * means))
        assert f"parameters factor changed from event {after} on" in "".join(lines)


def test_a_port_that_is_taken_is_one_clear_line(project: Path) -> None:
    with running(project, "--keep-alive") as (_, address, _lines):
        port = address.rsplit(":", 1)[1].strip("/")
        command = [GLIMT, "replay", "-w", "analysis:Worker", "-r", "analysis:Reducer", "-f", "a.cbors", "--port", port]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert port in done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
