from __future__ import annotations

from pathlib import Path

import pytest

from captures import stins_messages, write_capture
from glimt.app.replay import Replay, ReplayOptions
from glimt.app.stream_names import StreamNames, advice_on_missing_stream, recorded_names
from glimt.model.errors import UsageError
from glimt.pipeline.failure import Failure
from glimt.pipeline.report import RunReport

CLASSES = """
class Worker:
    def process_event(self, event):
        return event.streams["detector"].typ

class Elsewhere:
    def process_event(self, event):
        return {}["detector"]

class Reducer:
    def __init__(self, **kwargs):
        self.publish = {}
    def process_result(self, result):
        pass
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module with classes that run beside a capture of the stream ``stins``."""
    name = f"names_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(CLASSES)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    write_capture(tmp_path / "rec.cbors", stins_messages(3, stream="stins"))
    write_capture(tmp_path / "rec.cbors.gz", stins_messages(3, stream="stins"))
    write_capture(tmp_path / "i0.cbors", stins_messages(3, stream="i0"))
    return name


def replayed(
    module: str, *files: str, worker: str = "Worker", rename: list[str] | None = None, n: int = 1
) -> RunReport:
    paths = [Path(file) for file in files]
    options = ReplayOptions(f"{module}:{worker}", f"{module}:Reducer", paths, n_workers=n, rename_streams=rename or [])
    return Replay(options).run()


def test_a_stream_recorded_under_another_name_is_told_once_with_the_cure(module: str) -> None:
    report = replayed(module, "rec.cbors")
    assert report.n_failures == 5
    assert report.errors == [
        "the capture has the stream 'stins', and the worker asked for 'detector': "
        "replay with --rename-stream stins=detector, or record with --stream detector"
    ]


def test_of_several_streams_the_user_knows_which_is_meant(module: str) -> None:
    (error,) = replayed(module, "rec.cbors", "i0.cbors").errors
    assert "has the streams 'stins', 'i0', and the worker asked for 'detector'" in error
    assert "--rename-stream NAME=detector, where NAME is the one it means" in error


def test_a_key_that_is_missing_elsewhere_is_not_taken_for_a_stream(module: str) -> None:
    report = replayed(module, "rec.cbors", worker="Elsewhere")
    assert (report.n_failures, report.errors) == (5, [])


@pytest.mark.parametrize("file", ["rec.cbors", "rec.cbors.gz"])
@pytest.mark.parametrize("n_workers", [1, 2])
def test_renamed_the_capture_runs(module: str, file: str, n_workers: int) -> None:
    report = replayed(module, file, rename=["stins=detector"], n=n_workers)
    assert report.is_whole
    assert (report.n_events, report.n_results) == (5, 4 + n_workers)  # every worker has the start packet


def test_a_new_name_that_another_stream_has_is_refused(module: str) -> None:
    with pytest.raises(UsageError, match="event 0 has a stream of the new name already"):
        replayed(module, "rec.cbors", "i0.cbors", rename=["stins=i0"])


def test_two_streams_may_change_their_names(module: str) -> None:
    report = replayed(module, "rec.cbors", "i0.cbors", rename=["i0=stins", "stins=detector"])
    assert report.is_whole


def test_a_name_that_is_not_in_the_capture_is_warned_of(module: str, caplog: pytest.LogCaptureFixture) -> None:
    report = replayed(module, "rec.cbors", rename=["stin=detector"])
    assert "there is no stream 'stin' at the beginning; there is 'stins'" in caplog.text
    assert "the worker asked for 'detector'" in report.errors[0]


@pytest.mark.parametrize("given", [["stins"], ["stins="], ["=detector"], ["a=b", "a=c"], ["a=c", "b=c"]])
def test_what_is_no_pair_of_names_is_refused(given: list[str]) -> None:
    with pytest.raises(UsageError, match="--rename-stream"):
        StreamNames.from_options(given)


def test_names_of_captures_that_cannot_be_read_are_those_before_the_damage(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "a.cbors", stins_messages(3, stream="xrd"))
    path.write_bytes(path.read_bytes()[:300])
    (tmp_path / "b.cbors").write_bytes(b"no capture")
    assert recorded_names([path, tmp_path / "b.cbors", tmp_path / "c.cbors"]) == ["xrd"]


@pytest.mark.parametrize(
    "error", ["KeyError: 5", "KeyError: (", "KeyError: ", "KeyError", "KeyError: ['a']", "OSError: 'a'"]
)
def test_an_error_that_names_no_stream_gives_no_advice(error: str) -> None:
    failure = Failure(1, "Worker.process_event", error, 'event.streams["a"]')
    assert advice_on_missing_stream([failure], ["xrd"], StreamNames()) == ""


def test_a_hostile_name_is_not_part_of_a_command() -> None:
    failure = Failure(1, "Worker.process_event", "KeyError: 'a'", 'event.streams["a"]')
    advice = advice_on_missing_stream([failure], ["\x1b[2J" + 500 * "x"], StreamNames())
    assert "\x1b" not in advice
    assert "--rename-stream" not in advice
    assert len(advice) < 400
    assert "'; rm -rf ~=a'" in advice_on_missing_stream([failure], ["; rm -rf ~"], StreamNames())
