"""A beamline file is read with its defaults, and all that is written in it is in the result."""

from __future__ import annotations

from pathlib import Path

import pytest

from beamline_texts import HTTP, SMALL, TOKEN, load
from glimt.app.beamline import Output
from glimt.app.beamline_file import load_beamline
from glimt.app.beamline_stream import source_options


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_small_file_has_defaults_for_all_else(folder: Path) -> None:
    beamline = load(SMALL)
    assert beamline.name == "beamline"
    assert beamline.path == folder / "beamline.toml"
    assert beamline.pipeline.path == folder
    stream = beamline.streams["eiger"]
    assert (stream.queue, stream.when_full, stream.first_frame, stream.bind) == (256_000_000, "block", "auto", False)
    assert (beamline.events.mode, beamline.events.join, beamline.events.late_after_s) == ("automatic", "frame", 30.0)
    assert (beamline.engine.kind, beamline.engine.target) == ("local", "")
    assert beamline.engine.worker_tags == {"worker-0": frozenset({"generic"}), "worker-1": frozenset({"generic"})}
    assert beamline.queue_bytes == 256_000_000
    assert beamline.output.file is None
    assert beamline.output.journal_folder == folder / "journal"
    assert beamline.output.spill_folder == folder / "spill"
    assert (beamline.control.host, beamline.control.port, beamline.control.view_port) == ("127.0.0.1", 5000, 5001)
    assert beamline.log.level == "info"
    assert beamline.parameters == {}


def test_everything_that_is_written_is_in_the_result(folder: Path) -> None:
    (folder / "site").mkdir()
    for name in ("site/mapping.json", "site/params.json", "site/run.cbors"):
        (folder / name).write_text("{}")
    (folder / "site" / "code").mkdir()
    (folder / "site" / "token").write_text(TOKEN + "\n")
    (folder / "site" / "balder.toml").write_text(
        """
name = "balder-1"
[pipeline]
worker = "a.b:C.D"
reducer = "e:F"
path = "code"
parameter_file = "params.json"
[streams.eiger]
transport = "zmq-pull"
address = "tcp://*:9999"
protocol = "dectris-v1"
bind = true
queue = "1 GiB"
when_full = "drop-oldest"
first_frame = 1
number_field = "image_id"
[streams.recorded]
transport = "capture"
address = "run.cbors"
protocol = "stins"
speed = 2
loops = 0
stream = "xrd"
optional = true
number_field = "extra.id"
[streams.sardana]
transport = "http"
address = "http://0.0.0.0:8010"
protocol = "sardana"
token_file = "token"
number_field = "point_nb"
[events]
mode = "map"
map = "mapping.json"
join = "trigger"
late_s = "never"
reorder = 1
incomplete = "deliver"
[engine]
use = "slurm:short"
max_queue_bytes = "2 GB"
max_restarts = 0
[[engine.slots]]
tags = ["generic"]
workers = 2
[[engine.slots]]
tags = ["generic", "gpu"]
[engine.slurm]
memory = "16 GiB"
directives = ["--gres=gpu:1"]
[parameters]
till_x = 3
threshold = 1.5
mode = "mean"
on = true
"with.dot" = "x"
[output]
file = "out_{date}_{scan}.h5"
journal = false
[control]
host = "0.0.0.0"
port = 0
view_port = 0
token = "0123456789abcdef!"
[log]
level = "debug"
"""
    )
    beamline = load_beamline(folder / "site" / "balder.toml")
    site = folder / "site"
    assert beamline.name == "balder-1"
    assert (beamline.pipeline.path, beamline.pipeline.parameter_file) == (site / "code", site / "params.json")
    eiger, recorded, sardana = beamline.streams.values()
    assert (eiger.queue, eiger.first_frame, eiger.bind, eiger.number_field) == (1 << 30, 1, True, "image_id")
    assert (recorded.address, recorded.speed, recorded.stream) == (str(site / "run.cbors"), 2.0, "xrd")
    assert sardana.token == TOKEN
    assert (beamline.events.map, beamline.events.late_after_s) == (site / "mapping.json", None)
    assert (beamline.engine.kind, beamline.engine.target) == ("slurm", "short")
    assert list(beamline.engine.worker_tags.values()) == [{"generic"}, {"generic"}, {"generic", "gpu"}]
    assert beamline.engine.slurm.memory == 16 << 30
    assert beamline.queue_bytes == 2_000_000_000
    assert beamline.parameters == {
        "till_x": b"3",
        "threshold": b"1.5",
        "mode": b"mean",
        "on": b"True",
        "with.dot": b"x",
    }
    assert beamline.control.token == "0123456789abcdef!"
    assert "0123456789abcdef" not in repr(beamline)
    file = beamline.output.file_of(scan="7", date="20250101", name=beamline.name)
    assert file == site / "out_20250101_7.h5"


@pytest.mark.parametrize(
    ("use", "kind", "target", "n_workers"),
    [
        ('"inline:"', "inline", "", 1),
        ('"local:1"', "local", "", 1),
        ('"local:"\nworkers = 3', "local", "", 3),
        ('"dask://node-1:8786"\nworkers = 5', "dask", "tcp://node-1:8786", 5),
        ('"slurm:"\nworkers = 2', "slurm", "", 2),
    ],
)
def test_engines_are_named_with_their_workers(folder: Path, use: str, kind: str, target: str, n_workers: int) -> None:
    engine = load(f"{SMALL}[engine]\nuse = {use}\n").engine
    assert (engine.kind, engine.target, len(engine.worker_tags)) == (kind, target, n_workers)


def test_streams_become_options_of_their_sources(folder: Path) -> None:
    Path("run.cbors").write_bytes(b"")
    text = SMALL + HTTP.replace("PORT", "8010") + f'token = "{TOKEN}"\n'
    text += (
        '[streams.play]\ntransport = "capture"\naddress = "run.cbors"\nprotocol = "stins"\nrate_hz = 50\nloops = 0\n'
    )
    text += '[streams.ask]\ntransport = "zmq-req"\naddress = "tcp://om:1"\nprotocol = "stins"\nrequest = "more"\n'
    pull, http, play, ask = (source_options(stream) for stream in load(text).streams.values())
    assert (pull.transport, pull.address, pull.bind, pull.token) == ("zmq-pull", "tcp://127.0.0.1:9999", False, None)
    assert (http.address, http.token) == ("http://127.0.0.1:8010", TOKEN)
    assert (play.address, play.rate_hz, play.loops) == (str(folder / "run.cbors"), 50.0, 0)
    assert (ask.request, ask.timeout_s) == ("more", 5.0)


def test_a_file_with_a_byte_order_mark_is_read(folder: Path) -> None:
    Path("beamline.toml").write_bytes(b"\xef\xbb\xbf" + SMALL.encode())
    assert load_beamline("beamline.toml").streams


@pytest.mark.parametrize("value", ["a/b", "..", ".", "", "a\0"])
def test_a_scan_cannot_lead_the_output_elsewhere(value: str) -> None:
    with pytest.raises(ValueError, match="cannot be part of a file name"):
        Output(file=Path("/data/{scan}.h5")).file_of(scan=value, date="d", name="n")


def test_a_value_with_braces_is_not_filled_in_again() -> None:
    assert Output(file=Path("/{scan}_{name}")).file_of(scan="{name}", date="d", name="n") == Path("/(name)_n")
