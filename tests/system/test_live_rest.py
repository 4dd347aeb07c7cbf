"""A client as beamlines have them for dranspose steers a live run over HTTP, without a change."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import h5py
import httpx
import pytest

GLIMT = [sys.executable, "-m", "glimt"]

ANALYSIS = """
from dranspose.event import EventData, ResultData
from dranspose.middlewares.stream1 import parse
from dranspose.data.stream1 import Stream1Data
from dranspose.parameters import IntParameter


class Worker:
    @staticmethod
    def describe_parameters():
        return [IntParameter(name="rows", default=2)]

    def __init__(self, *args, **kwargs):
        pass

    def process_event(self, event: EventData, parameters=None, *args, **kwargs):
        acq = parse(event.streams["xrd"])
        if isinstance(acq, Stream1Data):
            return {"frame": acq.frame, "rows": parameters["rows"].value}


class Reducer:
    def __init__(self, *args, **kwargs):
        self.publish = {"frames": [], "rows": []}

    def process_result(self, result: ResultData, parameters=None, *args, **kwargs):
        self.publish["frames"].append(result.payload["frame"])
        self.publish["rows"].append(result.payload["rows"])
"""

BEAMLINE = """
[pipeline]
worker = "analysis:Worker"
reducer = "analysis:Reducer"
[streams.xrd]
transport = "zmq-pull"
address = "tcp://127.0.0.1:*"
bind = true
protocol = "stins"
[events]
mode = "map"
[engine]
use = "local:2"
[control]
port = 0
view_port = 0
[output]
file = "out_{scan}.h5"
"""

# As beamlines write them: nothing of glimt in it.
CLIENT = """
import sys, time
import httpx

url, n_frames = sys.argv[1], int(sys.argv[2])
ntrig = n_frames
mapping = {"xrd": [[{"constraint": i // 10}] for i in range(ntrig)]}
resp = httpx.post(f"{url}/api/v1/parameter/rows", content=b"5")
assert resp.status_code == 200, resp.text
resp = httpx.post(f"{url}/api/v1/mapping/", params={"all_wrap": True}, json=mapping, follow_redirects=True)
assert resp.status_code == 200, resp.text
print(resp.json(), flush=True)
while True:
    state = httpx.get(f"{url}/api/v1/progress").json()
    if state["finished"]:
        break
    time.sleep(0.05)
print(state, flush=True)
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A live run in map mode: the address of its control port, and its folder."""
    (tmp_path / "analysis.py").write_text(ANALYSIS)
    (tmp_path / "beamline.toml").write_text(BEAMLINE)
    process = subprocess.Popen([*GLIMT, "run", "beamline.toml"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = ""
    while "control on" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    (url,) = re.findall(r"control on (\S+)", said)
    yield url, tmp_path
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 0, said + rest
    assert "0 failed" in rest


def simulate(url: str, n_frames: int, *options: str) -> None:
    address = httpx.get(f"{url}/api/v1/sources").json()["xrd"]["address"]
    command = [*GLIMT, "simulate", "stins", "--connect", "--address", address, "--shape", "10x10", "--rate", "0"]
    subprocess.run([*command, "--frames", str(n_frames), *options], check=True, capture_output=True, timeout=60)


def test_a_client_written_for_dranspose_uploads_polls_and_gets_its_results(run: tuple[str, Path]) -> None:
    url, folder = run
    (folder / "client.py").write_text(CLIENT)
    client = subprocess.Popen(
        [sys.executable, "client.py", url, "40"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert client.stdout is not None
    scan_id = client.stdout.readline().strip()
    simulate(url, 40)
    out, errors = client.communicate(timeout=60)
    assert client.returncode == 0, errors
    assert "'completed_events': 42, 'total_events': 42, 'finished': True" in out
    with h5py.File(folder / f"out_{scan_id}.h5") as file:
        assert file["frames"][()].tolist() == list(range(40))
        assert set(file["rows"][()].tolist()) == {5}
        ledger = file["glimt/ledger/xrd"]
        assert (ledger["received"][()], ledger["reduced"][()], ledger["n_missing"][()]) == (42, 42, 0)


def test_stop_ends_a_scan_whose_frames_never_come_and_the_next_scan_is_whole(run: tuple[str, Path]) -> None:
    url, folder = run
    first = httpx.post(
        f"{url}/api/v1/sequence", json={"parts": {"a": {"xrd": [[{"constraint": 0}]] * 9}}, "sequence": ["a"]}
    )
    assert first.status_code == 200
    assert httpx.get(f"{url}/api/v1/progress").json()["finished"] is False
    assert httpx.post(f"{url}/api/v1/stop").status_code == 200
    wait_until_finished(url)
    second = httpx.post(f"{url}/api/v1/mapping", json={"xrd": [[{"constraint": i}] for i in range(5)]})
    simulate(url, 5)
    wait_until_finished(url)
    with h5py.File(folder / f"out_{second.json()}.h5") as file:
        assert file["frames"][()].tolist() == [0, 1, 2, 3, 4]


def test_scans_follow_each_other_through_one_connection(run: tuple[str, Path]) -> None:
    url, _ = run
    with httpx.Client() as client:
        scans = []
        for _ in range(5):
            scans.append(client.post(f"{url}/api/v1/mapping", json={"xrd": [[{"constraint": 0}]]}).json())
            client.post(f"{url}/api/v1/stop")
            wait_until_finished(url)
        assert len(set(scans)) == 5
        assert client.get(f"{url}/api/v1/config").json()["reducer"]["mapping_uuid"] == scans[-1]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"nope": [[{"constraint": 1}]]}', "streams {'nope'} not available"),
        ('{"xrd": [[{"constraint": 1}, {"constraint": 2}, {"constraint": 3}]]}', "only 2 workers available, but 3"),
        ('{"xrd": 5}', "xrd"),
        ("not json", "JSON"),
        ('{"parts": {"a": {"xrd": [null]}}, "sequence": ["b"]}', "b"),
    ],
    ids=["stream", "workers", "type", "json", "part"],
)
def test_a_map_that_cannot_be_is_refused_with_the_reason(run: tuple[str, Path], body: str, reason: str) -> None:
    url, _ = run
    path = "sequence" if "parts" in body else "mapping"
    answer = httpx.post(f"{url}/api/v1/{path}", content=body)
    assert answer.status_code in {400, 422}
    assert reason in json.dumps(answer.json()).replace('\\"', '"')


def wait_until_finished(url: str) -> None:
    deadline = time.monotonic() + 30
    while not httpx.get(f"{url}/api/v1/progress").json()["finished"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_client_names_nothing_of_ours() -> None:
    assert "glimt" not in textwrap.dedent(CLIENT)
