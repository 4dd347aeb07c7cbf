"""Of all that is wrong in a beamline file is said which key, line and what is allowed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beamline_texts import PIPELINE, SMALL, STREAM, TOKEN, load, problem, problems
from glimt.app.beamline_example import example_text
from glimt.app.beamline_file import load_beamline
from glimt.app.toml_lines import TomlLines
from glimt.model.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_error_has_file_line_key_value_and_what_is_allowed(folder: Path) -> None:
    assert problem(SMALL + 'when_full = "wait"') == (
        'beamline.toml:8: streams.eiger.when_full is "wait"; it can be block, drop-oldest or spill'
    )


def test_all_problems_are_told_at_once_in_the_order_of_lines(folder: Path) -> None:
    found = problems('[log]\nlevel = "loud"\n' + SMALL + "bind = 1\n[control]\nport = 70000\n[engine]\nworker = 3\n")
    assert [line.split(";")[0] for line in found] == [
        'beamline.toml:2: log.level is "loud"',
        "beamline.toml:10: streams.eiger.bind is 1",
        "beamline.toml:12: control.port is 70000",
        "beamline.toml:14: engine.worker is not a key",
    ]


def test_of_many_problems_twenty_are_told(folder: Path) -> None:
    found = problems(PARAMETERS + "" + "".join(f"p{number} = []\n" for number in range(50)))
    assert len(found) == 21
    assert found[-1] == "beamline.toml: 30 more problems"


EVENTS, ENGINE, PARAMETERS, OUTPUT, CONTROL = (
    f"{SMALL}[{name}]\n" for name in ("events", "engine", "parameters", "output", "control")
)


CASES = [
    (PIPELINE + STREAM.replace("address", "adress"), 6, "streams.eiger.adress is not a key; did you mean address?"),
    (SMALL + "[extras]", 8, "extras is not a key; the file can have name, pipeline, streams"),
    ("whorl = 3\n" + SMALL, 1, "whorl is not a key; the file can have name, pipeline"),
    (SMALL + "[log]\ncolour = 1", 9, "log.colour is not a key; log can have level"),
    (STREAM, None, "pipeline is missing; it must be a table"),
    (PIPELINE, None, "streams is missing; it must be a table"),
    (PIPELINE + "[streams]", 4, "streams has 0 streams; there must be 1 to 256"),
    ("streams = 3\n" + PIPELINE, 1, "streams is 3; it must be a table: [streams]"),
    (PIPELINE + '[streams]\neiger = "tcp://x"', 5, 'streams.eiger is "tcp://x"; it must be a table: [streams.eiger]'),
    ('[pipeline]\nworker = "a:B"\n' + STREAM, 1, "pipeline.reducer is missing; it must be a class as"),
    (SMALL.replace("src.worker:TestWorker", "src.worker.TestWorker"), 2, 'pipeline.worker is "src.worker.TestWorker"'),
    (SMALL.replace("src.worker:TestWorker", "src/worker.py:T"), 2, "it must be a class as package.module:Class"),
    (
        SMALL.replace("dectris-v1", "dectris_v1"),
        7,
        'is "dectris_v1"; did you mean dectris-v1? it can be albaem, contrast',
    ),
    (SMALL.replace('"dectris-v1"', "7"), 7, "streams.eiger.protocol is 7; it can be albaem"),
    (
        SMALL.replace("zmq-pull", "zmq-push"),
        5,
        'is "zmq-push"; it can be capture, http, tcp, zmq-pull, zmq-req or zmq-sub',
    ),
    (SMALL.replace("zmq-pull", "tcp"), 5, "does not carry dectris-v1; it can be zmq-pull, zmq-sub, zmq-req or capture"),
    (
        SMALL.replace("dectris-v1", "sardana"),
        5,
        'is "zmq-pull", which does not carry sardana; it can be http or capture',
    ),
    (SMALL.replace("dectris-v1", "pandabox-text"), 5, "does not carry pandabox-text; it can be tcp or capture"),
    (
        SMALL.replace("tcp://127.0.0.1:9999", "127.0.0.1:9999"),
        6,
        "for zmq-pull it must be tcp://host:port or ipc:///path",
    ),
    (SMALL.replace("tcp://127.0.0.1:9999", "udp://a:1"), 6, "it must be tcp://host:port"),
    (SMALL.replace(":9999", ":99999"), 6, "its port must be at most 65535"),
    (SMALL.replace(":9999", ":0"), 6, "it needs the port of the sender"),
    (SMALL.replace("127.0.0.1", "*"), 6, "it needs the name of the sender's machine; to listen there, set bind = true"),
    (SMALL.replace('"tcp://127.0.0.1:9999"', '""'), 6, 'is ""; it must be an address, such as tcp://127.0.0.1:9999'),
    (SMALL + 'queue = "5 XB"', 8, 'streams.eiger.queue is "5 XB"; it must be a size, such as 512 MB or 2 GiB'),
    (SMALL + "queue = 0", 8, "streams.eiger.queue is 0; it must be a size from 1 byte to 1024 TiB"),
    (SMALL + "queue = true", 8, "streams.eiger.queue is true; it must be a size"),
    (
        SMALL + "first_frame = -1",
        8,
        "is -1; it must be a whole number from 0 to 4611686018427387904 or auto",
    ),
    (SMALL + "number_field = 'a..b'", 8, "it must be a field of the decoded message, such as frame"),
    (SMALL + "topic = 'x'", 8, "topic means nothing for transport zmq-pull; it belongs to zmq-sub"),
    (SMALL + "speed = 2", 8, "streams.eiger.speed means nothing for transport zmq-pull; it belongs to capture"),
    (SMALL + 'token = "x"', 8, "streams.eiger.token means nothing for transport zmq-pull; it belongs to http"),
    (SMALL + "optional = true", 4, "streams are all optional; events need one stream that they wait for"),
    (SMALL + 'number_field = "id"', 8, 'number_field means nothing with events.join = "frame"'),
    (EVENTS + 'join = "trigger"', 4, 'streams.eiger.number_field is missing; events.join = "trigger" needs'),
    (
        SMALL + 'number_field = "t"\n[events]\njoin = "clock"',
        9,
        'events.clock_tolerance is missing; join = "clock" needs',
    ),
    (EVENTS + "clock_tolerance = 1", 9, 'events.clock_tolerance means nothing with join = "frame"'),
    (EVENTS + "late_s = -1", 9, "events.late_s is -1; it must be a number above 0 and up to 1000000 or never"),
    (EVENTS + "late_s = nan", 9, "events.late_s is nan; it must be a number"),
    (EVENTS + "late_s = inf", 9, "events.late_s is inf; it must be a number"),
    (
        SMALL + f"[events]\nreorder = 0x{'f' * 5000}",
        9,
        "events.reorder is a huge number; it must be a whole number from 1",
    ),
    (EVENTS + 'map = "m.json"', 9, 'events.map means nothing with mode = "automatic"; set mode = "map"'),
    (EVENTS + 'mode = "map"\nmap = "m.json"', 10, 'm.json"; it must be a file that exists'),
    (
        SMALL + 'number_field = "t"\n[events]\nmode = "map"\njoin = "clock"\nclock_tolerance = 1',
        11,
        "it can be frame or trigger",
    ),
    (ENGINE + 'use = "lokal:3"', 9, 'engine.use is "lokal:3"; it must be inline:, local:N with N workers'),
    (ENGINE + 'use = "local:"', 9, 'is "local:", which does not say how many workers; add it: local:N'),
    (ENGINE + 'use = "local:0"', 9, 'engine.use is "local:0"; it must be 1 to 1,024 workers'),
    (ENGINE + 'use = "local:9999"', 9, 'engine.use is "local:9999"; it must be 1 to 1,024 workers'),
    (ENGINE + 'use = "dask://a:1"', 9, "which does not say how many workers; add it: workers = N"),
    (ENGINE + 'use = "local:2"\nworkers = 3', 10, 'engine.workers is 3, but use is "local:2"'),
    (ENGINE + 'use = "inline:"\nworkers = 3', 10, 'engine.workers means nothing with use = "inline:"'),
    (
        SMALL + '[engine]\nuse = "inline:"\nslots = [{tags = ["a"]}]',
        10,
        'engine.slots means nothing with use = "inline:"',
    ),
    (
        SMALL + '[engine]\nuse = "local:2"\nslots = [{tags = ["generic"]}]',
        10,
        "engine.slots hold 1, but 2 workers",
    ),
    (
        SMALL + '[engine]\nuse = "local:"\nslots = [{tags = ["a"], workers = 600}, {tags = ["a"], workers = 600}]',
        10,
        "1,200",
    ),
    (ENGINE + 'use = "local:"\n[[engine.slots]]\ntags = ["gpu"]', 10, "no worker with the tag generic"),
    (
        SMALL + '[engine]\nuse = "local:"\n[[engine.slots]]\ntags = []',
        11,
        "engine.slots[0].tags is a list; it must be a list of 1",
    ),
    (ENGINE + 'slots = ["gpu"]', 9, 'engine.slots[0] is "gpu"; it must be a table'),
    (ENGINE + "slots = 2", 9, "engine.slots is 2; it must be tables, each as [[engine.slots]]"),
    (SMALL + "[engine.slurm]\ncores = 2", 8, 'engine.slurm means nothing with use = "local:2"'),
    (ENGINE + 'max_queue_bytes = "1 MB"', 9, "is 1 MB, but the queues of the streams are 256 MB together"),
    (
        SMALL + '[engine]\nuse = "slurm:a"\nworkers = 1\n[engine.slurm]\ndirectives = ["a\\nb"]',
        12,
        "each one line of text",
    ),
    (PARAMETERS + "a.b = 3", 9, "parameters.a is a table; a parameter is text, a number, true or false; put"),
    (PARAMETERS + "a = [1]", 9, "parameters.a is a list; it must be text, a number, true or false"),
    (PARAMETERS + "a = 1979-05-27", 9, "parameters.a is 1979-05-27; it must be text"),
    (
        SMALL + f"[parameters]\na = 0x{'f' * 5000}",
        9,
        "parameters.a is a huge number; it must be a number of fewer digits",
    ),
    (OUTPUT + 'file = "results.h5"', 9, "it must contain {scan}, or the next scan would have no file"),
    (OUTPUT + 'file = "r_{scan}_{user}.h5"', 9, "what stands in braces can be scan, date or name"),
    (OUTPUT + 'file = "r_{scan:>9999999999}.h5"', 9, "what stands in braces can be scan, date or name"),
    (OUTPUT + 'file = "r_{scan.x}.h5"', 9, "what stands in braces can be scan, date or name"),
    (OUTPUT + 'file = "r_{scan.h5"', 9, "its braces must come in pairs"),
    (OUTPUT + 'file = "no/where/r_{scan}.h5"', 9, "no/where shall be made in must exist"),
    (OUTPUT + 'spill_folder = "beamline.toml"', 9, 'beamline.toml", which is a file; it must be a folder'),
    (OUTPUT + 'spill_folder = "a\\u0000b"', 9, "it must be a path"),
    (OUTPUT + 'journal = "yes"', 9, 'output.journal is "yes"; it must be true or false'),
    (
        SMALL + '[control]\nhost = "0.0.0.0"',
        9,
        'control.host is "0.0.0.0", which other machines reach; that needs a token',
    ),
    (CONTROL + "port = 5001", 8, "control.view_port is 5001, as port is; they must differ"),
    (CONTROL + 'token = "short"', 9, "control.token holds no usable token; it must be 16 to 500"),
    (CONTROL + "token = 12345678901234567", 9, "control.token cannot be used; it must be text"),
    (CONTROL + 'token_file = "none.txt"', 9, 'none.txt", which cannot be read: No such file'),
    (CONTROL + f'token_file = "t"\ntoken = "{TOKEN}"', 9, "control.token_file and token are both given"),
    (PIPELINE + 'path = "nowhere"\n' + STREAM, 4, 'nowhere"; it must be a folder that exists'),
    ('name = "../etc"\n' + SMALL, 1, 'name is "../etc"; it must be a name of letters, digits'),
    (
        PIPELINE + STREAM.replace("eiger", '"my eiger"'),
        4,
        'streams."my eiger" is not allowed as a name; it must be a name',
    ),
]


@pytest.mark.parametrize(("text", "line", "says"), CASES)
def test_what_is_wrong_is_said_with_its_line(folder: Path, text: str, line: int | None, says: str) -> None:
    found = problem(text)
    assert found.startswith(f"beamline.toml:{line}: " if line else "beamline.toml: "), found
    assert says in found


def test_of_streams_joined_by_a_clock_the_first_cannot_be_optional(folder: Path) -> None:
    clocked = STREAM + 'number_field = "timestamp"\n'
    join = '[events]\njoin = "clock"\nclock_tolerance = 0.001\n'
    optional = clocked.replace("eiger", "i0") + "optional = true\n"
    text = PIPELINE + clocked + optional.replace(":9999", ":9998") + join
    assert load(text).streams["i0"].optional
    found = problem(PIPELINE + optional.replace(":9999", ":9998") + clocked + join)
    assert "streams.i0 is optional" in found


def test_a_token_is_never_shown(folder: Path) -> None:
    text = SMALL + f'[control]\ntoken = "{TOKEN} with blanks"\n'
    assert TOKEN not in problem(text)


def test_a_capture_that_is_not_there_is_named(folder: Path) -> None:
    text = SMALL.replace("zmq-pull", "capture").replace("tcp://127.0.0.1:9999", "data/run.cbors")
    assert f'is "{folder}/data/run.cbors"; it must be a file that exists' in problem(text)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"a = 1\nb = \n", "beamline.toml:2, column 5: this is not TOML: Invalid value; text needs quotes"),
        (b"a = 1\nb\n", "beamline.toml:2, column 2: this is not TOML: Expected '=' after a key"),
        (b"a = [1,\n", "beamline.toml:1: this is not TOML:"),
        (b"a = " + b"[" * 100_000, "beamline.toml: brackets are nested too deeply"),
        (b"a = " + b"9" * 5000, "beamline.toml:1: this is not TOML: Exceeds the limit"),
        (b"a = 1\n\xff", "beamline.toml:2: this is not text in UTF-8"),
        (b" " * ((1 << 18) + 1), "larger than 262.14 kB: that is no beamline file"),
    ],
)
def test_what_is_no_toml_is_said_with_its_line(folder: Path, content: bytes, says: str) -> None:
    Path("beamline.toml").write_bytes(content)
    with pytest.raises(UsageError, match=re.escape(says)):
        load_beamline("beamline.toml")


def test_no_file_and_a_folder_are_said(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no beamline file none\.toml"):
        load_beamline("none.toml")
    with pytest.raises(UsageError, match="cannot read beamline file"):
        load_beamline(folder)
    with pytest.raises(UsageError, match="cannot read beamline file"):
        load_beamline("a\0b")


LINES = example_text().splitlines()


VALUES = [
    '""',
    "[]",
    "{}",
    "-1",
    "1e400",
    "true",
    '"\\u0000"',
    "[[[1]]]",
    "{ a = 1 }",
    '"x:y"',
    "1979-05-27",
    '"{"',
    '"~~/"',
]


@given(st.lists(st.tuples(st.integers(0, len(LINES) - 1), st.sampled_from(VALUES)), min_size=1, max_size=4))
def test_whatever_values_keys_have_only_usage_errors_are_raised(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, str]]
) -> None:
    lines = [line.removeprefix("# ") if " = " in line or line.startswith("# [") else line for line in LINES]
    for number, value in changes:
        if " = " in lines[number]:
            lines[number] = f"{lines[number].split(' = ')[0]} = {value}"
    file = tmp_path_factory.getbasetemp() / "changed.toml"
    text = "\n".join(lines)
    file.write_text(text)
    with pytest.raises(UsageError) as caught:  # the whole example names files that are not there
        load_beamline(file)
    for line in str(caught.value).splitlines():
        assert re.match(rf"{re.escape(str(file))}(:\d+)?(, column \d+)?: ", line)


def test_every_line_that_is_told_has_the_key(folder: Path) -> None:
    lines = TomlLines(SMALL)
    for key, line in lines.items().items():
        assert str(key[-1]) in SMALL.splitlines()[line - 1]
