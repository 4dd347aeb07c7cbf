"""The example of a beamline file loads, its comments are true, and its classes analyse what the simulator sends."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import numpy as np
import pytest

from glimt.app.beamline import BeamlineFile
from glimt.app.beamline_engine import Slots, Slurm
from glimt.app.beamline_example import example_text, explain_text, write_example
from glimt.app.beamline_file import load_beamline
from glimt.app.beamline_stream import Stream
from glimt.app.replay import Replay, ReplayOptions
from glimt.codecs.capture import encode_item
from glimt.codecs.stins import StinsEnd, StinsImage, StinsStart
from glimt.model.errors import UsageError
from glimt.model.event import InternalWorkerMessage

ROOT = Path(__file__).resolve().parents[3]


def sections() -> dict[str, type[msgspec.Struct]]:
    """Return the records of a beamline file by the section whose keys they are."""
    found: dict[str, type[msgspec.Struct]] = {"streams": Stream, "engine.slots": Slots, "engine.slurm": Slurm}
    for field in msgspec.structs.fields(BeamlineFile):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found[field.name] = field.type
    return found


def uncommented(text: str) -> str:
    """Return the example with all keys in it that stand as comments."""
    return re.sub(r"^# (?=(\[|\w+ = ))", "", text, flags=re.MULTILINE)


def test_example_is_a_beamline_file(tmp_path: Path) -> None:
    files = write_example(tmp_path / "new" / "folder")
    assert [str(file.relative_to(tmp_path / "new" / "folder")) for file in files] == [
        "beamline.toml",
        "src/worker.py",
        "src/reducer.py",
    ]
    beamline = load_beamline(files[0])
    assert files[0].read_text() == example_text()
    assert beamline.pipeline.path == tmp_path / "new" / "folder"
    assert beamline.streams["detector"].address == "tcp://127.0.0.1:9999"
    assert list(beamline.engine.worker_tags) == ["worker-0", "worker-1"]
    assert beamline.parameters == {"roi_rows": b"100"}


def test_comments_of_the_example_show_the_defaults() -> None:
    shown = tomllib.loads(uncommented(example_text()))
    written = tomllib.loads(example_text())
    for name in ("events", "engine", "control", "log", "output"):
        defaults = {
            field.name: field.default for field in msgspec.structs.fields(sections()[name]) if not field.required
        }
        for key in shown[name].keys() - written[name].keys() - {"slots", "map", "token_file", "max_queue_bytes"}:
            default = defaults[key]
            assert shown[name][key] == (str(default) if isinstance(default, Path) else default), key


def test_example_names_every_key_that_most_need() -> None:
    shown = tomllib.loads(uncommented(example_text()))
    for name in ("pipeline", "events", "output", "log"):
        assert set(shown[name]) | {"clock_tolerance"} >= {
            field.name for field in msgspec.structs.fields(sections()[name])
        }


def test_example_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "reducer.py").write_text("mine")
    with pytest.raises(UsageError, match=r"reducer\.py would be overwritten"):
        write_example(tmp_path)
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["reducer.py"]
    assert (tmp_path / "src" / "reducer.py").read_text() == "mine"


def test_example_in_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write the example"):
        write_example(tmp_path / "file" / "folder")


def test_classes_of_the_example_take_the_mean_of_the_region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_example(tmp_path)
    images = np.random.default_rng(1).integers(0, 1000, (5, 200, 20), dtype=np.uint16)
    messages: list[StinsStart | StinsImage | StinsEnd] = [StinsStart(msg_number=0, filename="")]
    for number, pixels in enumerate(images):
        image = StinsImage(msg_number=number + 1, frame=number, shape=[200, 20], type="uint16", compression="none")
        image.data = pixels
        messages.append(image)
    messages.append(StinsEnd(msg_number=6))
    with (tmp_path / "capture.cbors").open("wb") as capture:
        for number, message in enumerate(messages):
            capture.write(encode_item(InternalWorkerMessage(number, {"detector": message.to_stream_data()})))
    # A package of its own: other tests may have imported theirs under the name `src`.
    (tmp_path / "src").rename(tmp_path / "example_of_a_beamline")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    replay = Replay(
        ReplayOptions(
            worker="example_of_a_beamline.worker:TestWorker",
            reducer="example_of_a_beamline.reducer:TestReducer",
            files=[tmp_path / "capture.cbors"],
        )
    )
    report = replay.run()
    replay.reducer.finish()
    assert report.n_failures == 0
    publish = replay.reducer.reducer.publish
    assert publish["n_frames"] == 5
    np.testing.assert_allclose(publish["mean"], images[:, :100].mean(axis=(1, 2)))


def test_explanation_shows_a_file_that_loads(tmp_path: Path) -> None:
    text = explain_text()
    small = "\n".join(line[4:] for line in text.split("\n\nThis writes")[0].splitlines()[1:] if line.startswith("    "))
    (tmp_path / "beamline.toml").write_text(small)
    assert load_beamline(tmp_path / "beamline.toml").streams["detector"].protocol == "stins"
    assert "glimt simulate stins" in text
    assert "glimt run --example" in text


def test_explanation_names_what_was_written(tmp_path: Path) -> None:
    files = write_example(tmp_path)
    text = explain_text(files)
    assert f"glimt run {files[0]}" in text
    assert all(str(file) in text for file in files)


def test_reference_has_every_key_with_its_default() -> None:
    page = (ROOT / "docs" / "reference" / "beamline-file.md").read_text()
    for name, record in sections().items():
        part = re.split(rf"^## `\[+{re.escape(name)}(?:\.NAME)?\].*$", page, flags=re.MULTILINE)
        assert len(part) == 2, name
        rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", part[1].split("\n## ")[0], re.MULTILINE))
        assert set(rows) == set(record.__struct_fields__), name
        for field in msgspec.structs.fields(record):
            assert (rows[field.name].strip() == "required") == field.required, field.name
            if not field.required and isinstance(field.default, str | int | float) and field.name != "queue":
                expected = {"True": "true", "False": "false", "": '""'}.get(str(field.default), str(field.default))
                assert rows[field.name].strip().strip('`"') == expected.strip('"'), field.name
