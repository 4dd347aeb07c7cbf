from __future__ import annotations

import threading
from pathlib import Path

import pytest

from captures import stins_messages, write_capture
from glimt.app.dranspose_replay import get_internals, replay
from glimt.model.errors import CaptureError, UsageError

CLASSES = """
class Worker:
    def process_event(self, event):
        if event.event_number == 4 and fail:
            raise RuntimeError("no beam")
        return event.event_number

class Reducer:
    seen = []
    def process_result(self, result):
        self.seen.append(result.payload)

fail = False
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"classes_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(CLASSES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    write_capture(tmp_path / "a.cbors", stins_messages(5))
    return name


def test_a_script_that_calls_replay_runs(module: str) -> None:
    done = threading.Event()
    replay(f"{module}:Worker", f"{module}:Reducer", zmq_files=["a.cbors"], nworkers=1, done_event=done)
    assert done.is_set()
    assert __import__(module).Reducer.seen == [0, 1, 2, 3, 4, 5, 6]


def test_a_failed_event_is_raised_at_the_end(module: str) -> None:
    __import__(module).fail = True
    with pytest.raises(UsageError, match=r"not whole: Worker.process_event raised at event 4: RuntimeError: no beam"):
        replay(f"{module}:Worker", f"{module}:Reducer", zmq_files=["a.cbors"], nworkers=1)
    assert __import__(module).Reducer.seen == [0, 1, 2, 3, 5, 6]


def test_what_glimt_does_otherwise_is_refused(module: str) -> None:
    with pytest.raises(UsageError, match="leave these out"):
        replay(f"{module}:Worker", f"{module}:Reducer", zmq_files=["a.cbors"], latency=0.1)


def test_internals_are_the_items_and_truncation_is_not_silent(tmp_path: Path) -> None:
    messages = stins_messages(3, period_s=1)
    path = write_capture(tmp_path / "a.cbors", messages)
    assert list(get_internals(path)) == messages
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CaptureError):
        list(get_internals(str(path)))
