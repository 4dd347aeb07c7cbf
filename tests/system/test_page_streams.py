"""The page divides by a stream that the worker does not pass on: live, with a killed reducer, and in replay."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import zmq

from captures import write_capture
from glimt.app.beamline_file import load_beamline
from glimt.app.live.session import LiveSession
from glimt.codecs.albaem import AlbaemData, AlbaemEnd, AlbaemStart
from glimt.codecs.stins import StinsEnd, StinsImage, StinsStart
from glimt.model.event import InternalWorkerMessage, StreamData
from live_rig import kill

SHAPE = (4, 4)
RATIO = 2.0 * SHAPE[0] * SHAPE[1]
"""Sum of an image, divided by the current of its own event; of any other event it would be another number."""
N_FRAMES = 150

# The worker looks at the detector alone. Of every fifth event there is an image, which says its event or does not.
ANALYSIS = """
import threading
from glimt import IntParameter, parse

class Worker:
    @staticmethod
    def describe_parameters():
        return [IntParameter(name="factor", default=1)]
    def __init__(self, **_):
        pass
    def process_event(self, event, parameters=None):
        image = parse(event.streams["detector"])
        return image.data if hasattr(image, "shape") else None

class Reducer:
    says_event = True
    def __init__(self, **_):
        self.publish, self.publish_rlock = {}, threading.RLock()
    def process_result(self, result, parameters=None):
        if self.says_event and result.event_number % 5:
            return
        with self.publish_rlock:
            self.publish["image"] = result.payload
            self.publish["image_attrs"] = {"event_number": result.event_number} if self.says_event else {}

    def finish(self):
        self.publish["n_finished"] = 1

class SilentReducer(Reducer):
    says_event = False
"""

BEAMLINE = """
[pipeline]
worker = "{module}:Worker"
reducer = "{module}:Reducer"
[streams.detector]
transport = "zmq-pull"
address = "tcp://127.0.0.1:*"
bind = true
protocol = "stins"
[streams.i0]
transport = "zmq-pull"
address = "tcp://127.0.0.1:*"
bind = true
protocol = "albaem"
[engine]
use = "{engine}"
[control]
port = 0
view_port = 0
"""

REGION = {"name": "all", "kind": "rectangle", "image": "/image", "bounds": [0, *SHAPE[:1], 0, *SHAPE[1:]]}


def current(frame: int) -> float:
    return 100.0 + frame


def packets(n_frames: int) -> list[tuple[StreamData, StreamData]]:
    """Return what detector and electrometer send, from start to end."""
    made: list[tuple[Any, Any]] = [(StinsStart(msg_number=0, filename=""), AlbaemStart(message_id=1, version=1))]
    for frame in range(n_frames):
        image = StinsImage(msg_number=frame + 1, frame=frame, shape=list(SHAPE), type="uint16", compression="none")
        image.data = np.full(SHAPE, 2 * current(frame), np.uint16)
        sample = AlbaemData(
            message_id=frame + 2, version=1, frame_number=frame, timestamp=0.0, acquisition_timestamp=0,
            current=current(frame),
        )  # fmt: skip
        made.append((image, sample))
    made.append((StinsEnd(msg_number=n_frames + 1), AlbaemEnd(message_id=n_frames + 2, version=1)))
    return [(image.to_stream_data(), sample.to_stream_data()) for image, sample in made]


def points(rest: httpx.Client, region: str) -> list[dict[str, float]]:
    answer = rest.get(f"regions/{region}.csv")
    assert answer.status_code == 200, answer.text
    return [{k: float(v or "nan") for k, v in row.items()} for row in csv.DictReader(io.StringIO(answer.text))]


def wait_for_event(rest: httpx.Client, region: str, event: int) -> list[dict[str, float]]:
    """Return the points of a region once there is one of this event."""
    until = time.monotonic() + 60
    while not (found := points(rest, region)) or found[-1]["event_number"] < event:
        assert time.monotonic() < until, found
        time.sleep(0.1)
    return found


def wait_for_end(url: str) -> None:
    until = time.monotonic() + 60
    while "n_finished" not in httpx.get(f"{url}/json").text:
        assert time.monotonic() < until
        time.sleep(0.1)


def check(found: list[dict[str, float]]) -> None:
    """Check that every point was divided by the current of the event that its image is of."""
    assert len(found) >= 2  # unwatched, the page reads twice a second; less often while nobody answers
    for point in found:
        assert point["value"] == RATIO, point
        frame = point["denominator"] - current(0)
        assert point["sum"] == 2 * current(int(frame)) * SHAPE[0] * SHAPE[1]
    assert len({point["denominator"] for point in found}) == len(found)


@contextmanager
def live(folder: Path, engine: str) -> Iterator[tuple[LiveSession, threading.Event]]:
    module = "streams_" + "".join(filter(str.isalnum, engine))
    (folder / f"{module}.py").write_text(ANALYSIS)
    (folder / "beamline.toml").write_text(BEAMLINE.format(module=module, engine=engine))
    session = LiveSession(load_beamline(folder / "beamline.toml"))
    stop = threading.Event()

    def watch() -> None:
        for _ in session.watch(stop.is_set, n_scans=1):
            pass

    with session:
        loop = threading.Thread(target=watch)
        loop.start()
        try:
            yield session, stop
        finally:
            stop.set()
            loop.join()


def send(session: LiveSession, *, after_60: Callable[[], object] = int) -> None:
    addresses = {stream["name"]: stream["address"] for stream in session.run.report["streams"]}
    with zmq.Context() as context, context.socket(zmq.PUSH) as detector, context.socket(zmq.PUSH) as i0:
        detector.connect(addresses["detector"])
        i0.connect(addresses["i0"])
        for index, (image, sample) in enumerate(packets(N_FRAMES)):
            detector.send_multipart(image.frames)
            i0.send_multipart(sample.frames)
            if index == 60:
                after_60()
            time.sleep(0.02)


@pytest.mark.parametrize(("engine", "is_killed"), [("local:2", False), ("local:2", True), ("inline:", False)])
def test_a_region_is_divided_by_a_stream_of_the_same_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str, is_killed: bool
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    with (
        live(tmp_path, engine) as (session, _),
        httpx.Client(base_url=f"{session.url}/api/v1/page/", timeout=60) as rest,
    ):
        made = rest.post("regions", json=REGION | {"denominator": "/streams/i0/current"}).json()["region"]["id"]
        mean = rest.post("regions", json=REGION | {"name": "m", "denominator": "/stream_means/i0/current"}).json()

        def kill_reducer() -> None:
            wait_for_event(rest, made, 1)
            kill(session.run, "reducer")  # type: ignore[arg-type]  # an engine with processes

        send(session, after_60=kill_reducer if is_killed else int)
        check(wait_for_event(rest, made, N_FRAMES))
        means = points(rest, mean["region"]["id"])[-1]["denominator"]
        assert current(0) <= means <= current(N_FRAMES)
        history = rest.get("history/streams/i0/current.csv")
        assert history.status_code == 200
        assert len(history.text.splitlines()) > 2
        assert set(httpx.get(f"{session.view_url}/json").json()) <= {"image", "image_attrs", "n_finished"}


@pytest.mark.parametrize("reducer", ["Reducer", "SilentReducer"])
@pytest.mark.parametrize("n_workers", [1, 2])
def test_in_replay_too_and_a_changed_parameter_says_its_event(tmp_path: Path, reducer: str, n_workers: int) -> None:
    slow = ANALYSIS.replace("image = parse", f"import time; time.sleep({0.02 * n_workers}); image = parse")
    (tmp_path / "analysis.py").write_text(slow)
    messages = [
        InternalWorkerMessage(number, {"detector": image, "i0": sample})
        for number, (image, sample) in enumerate(packets(N_FRAMES))
    ]
    write_capture(tmp_path / "a.cbors", messages)
    command = [sys.executable, "-m", "glimt", "replay", "-w", "analysis:Worker", "-r", f"analysis:{reducer}"]
    command += ["-f", "a.cbors", "--port", "0", "--keep-alive", "--nworkers", str(n_workers)]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        url = next(line.split()[-1].rstrip("/") for line in process.stderr if line.startswith("live view on"))
        with httpx.Client(base_url=f"{url}/api/v1/page/", timeout=60) as rest:
            made = rest.post("regions", json=REGION | {"denominator": "/streams/i0/current"}).json()["region"]["id"]
            changed = rest.post("parameters/factor", content=b"7").json()
            assert 0 <= changed["event_number"] <= N_FRAMES
            assert rest.get("changes").json()[-1]["event_number"] == changed["event_number"]
            check(wait_for_event(rest, made, N_FRAMES))
            wait_for_end(url)
            began = time.monotonic()
            assert rest.post("parameters/factor", content=b"8").json()["event_number"] is None
            assert time.monotonic() - began < 1.5, "nobody waits for the next event of a replay that is over"
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stderr.close()  # type: ignore[union-attr]
