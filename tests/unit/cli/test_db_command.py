"""``glimt db`` on a file."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from glimt.cli import main
from glimt.stores.results_db import prepare_results
from ispyb_rig import IspybRig

RUN = "2c9052d5-0a34-4572-bd01-8bd17d7c0d21"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("db")
    address = f"sqlite:///{folder}/results.sqlite"
    prepare_results(address)
    rig = IspybRig(address, (folder,))
    dcid = rig.collection.dcid
    for number in (1, 2):
        message = {"file-number": number, "n_spots_total": 10 * number, "estimated_d_min": 1.5}
        rig.run("store_per_image_analysis_results", message, dcid=dcid)
    results = [{"centre_of_mass": [1.5, 2.5], "n_voxels": 3}]
    found = {"status": "success", "type": "2d", "results": results}
    step = rig.step("insert_xray_centring", found, known={"ID": RUN}, dcgid=rig.collection.dcgid)
    rig.service.handle(step)
    program = rig.processing.program_id
    rig.run("add_program_message", program_id=program, severity="INFO", message="\x1b[31mred [bold]")
    rig.close()
    with closing(sqlite3.connect(folder / "results.sqlite")) as connection, connection:
        connection.execute(
            "INSERT INTO GridInfo (dataCollectionId, dataCollectionGroupId, dx_mm, dy_mm, steps_x, steps_y, snaked,"
            " orientation, recordTimeStamp) VALUES (1, 1, 0.02, 0.02, 5, 4, 1, 'horizontal', '2026-11-21 17:07:22')"
        )
    return address


def _output(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["db", *words])
    assert end.value.code in {0, None}
    return capsys.readouterr().out


def test_init_makes_what_is_missing_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/new/results.sqlite"

    assert "206 tables were made" in _output(capsys, "init", "--url", address)
    assert "all tables are there" in _output(capsys, "init", "--url", address)


def test_collections_are_listed_with_what_was_found(capsys: pytest.CaptureFixture[str], url: str) -> None:
    (row,) = json.loads(_output(capsys, "show", "--json", "--url", url))["collections"]

    assert (row["dcid"], row["images"], row["analysed"], row["most_spots"], row["centring"]) == (
        1,
        20,
        2,
        20,
        "success",
    )


def test_collection_shows_images_centring_and_programs(capsys: pytest.CaptureFixture[str], url: str) -> None:
    views = json.loads(_output(capsys, "show", "1", "--json", "--url", url))

    assert [(row["image"], row["n_spots_total"]) for row in views["images"]] == [(1, 10), (2, 20)]
    assert (views["centring"][0]["x"], views["centring"][0]["z"]) == (1.5, None)
    assert [row["name"] for row in views["programs"]] == ["xia2 dials"]
    assert [row["recipe"] for row in views["jobs"]] == ["xia2"]


def test_images_are_printed_as_csv(capsys: pytest.CaptureFixture[str], url: str) -> None:
    rows = list(csv.DictReader(io.StringIO(_output(capsys, "show", "1", "--csv", "--url", url))))

    assert [row["estimated_d_min"] for row in rows] == ["1.5", "1.5"]


def test_tables_for_people_show_undefined_as_a_dash(capsys: pytest.CaptureFixture[str], url: str) -> None:
    text = _output(capsys, "show", "1", "--url", url)

    assert "Images" in text
    assert " -" in text


def test_centring_has_its_time_and_its_run(capsys: pytest.CaptureFixture[str], url: str) -> None:
    (row,) = json.loads(_output(capsys, "show", "1", "--json", "--url", url))["centring"]

    assert row["run"] == RUN
    assert abs((datetime.fromisoformat(row["written"]) - datetime.now()).total_seconds()) < 600


def test_centring_of_which_nothing_is_kept_has_neither(
    capsys: pytest.CaptureFixture[str], url: str, tmp_path: Path
) -> None:
    shutil.copy(url.removeprefix("sqlite:///"), tmp_path / "copy.sqlite")
    with closing(sqlite3.connect(tmp_path / "copy.sqlite")) as connection, connection:
        connection.execute("UPDATE glimt_done SET result = '[no JSON' WHERE step = 'insert_xray_centring'")
    (row,) = json.loads(_output(capsys, "show", "1", "--json", "--url", f"sqlite:///{tmp_path}/copy.sqlite"))[
        "centring"
    ]
    assert (row["written"], row["run"]) == (None, None)
    with closing(sqlite3.connect(tmp_path / "copy.sqlite")) as connection, connection:
        connection.execute("DROP TABLE glimt_done")
    (row,) = json.loads(_output(capsys, "show", "1", "--json", "--url", f"sqlite:///{tmp_path}/copy.sqlite"))[
        "centring"
    ]
    assert (row["written"], row["run"]) == (None, None)


def test_a_table_too_wide_for_the_terminal_has_a_line_for_each_column(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.split() for line in _output(capsys, "show", "GridInfo", "--url", url).splitlines()]
    assert ["orientation", "horizontal"] in lines
    assert ["recordTimeStamp", "2026-11-21", "17:07:22"] in lines
    monkeypatch.setenv("COLUMNS", "300")
    (head, _) = _output(capsys, "show", "GridInfo", "--url", url).splitlines()[1:3]
    assert {"orientation", "snaked", "steps_x"} < set(head.split())


def test_no_name_of_a_column_is_broken_at_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = _output(capsys, "show", "1", "--url", url)
    assert "image n_spots_total n_spots_no_ice estimated_d_min total_intensity dozor_score\n" in text
    assert all(len(line) <= 80 for line in text.splitlines())


def test_text_from_messages_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str], url: str) -> None:
    text = _output(capsys, "show", "--program", "1", "--url", url)

    assert "\x1b" not in text
    assert "?[31mred [bold]" in text


def test_any_table_can_be_shown(capsys: pytest.CaptureFixture[str], url: str) -> None:
    rows = json.loads(_output(capsys, "show", "xraycentring", "--json", "--url", url))["XrayCentring"]

    assert rows == [{"xrayCentringId": 1, "dataCollectionGroupId": 1, "status": "success", "xrayCentringType": "2d"}]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("7654321",), "knows nothing of data collection 7654321"),
        (("--program", "7654321"), "no program 7654321"),
        (("Centring",), "XrayCentring"),
        (("1", "--json", "--csv"), "not both"),
        (("1", "--program", "1"), "one of them"),
    ],
)
def test_what_cannot_be_shown_is_told(
    capsys: pytest.CaptureFixture[str], url: str, words: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["db", "show", *words, "--url", url])
    assert end.value.code == 1
    assert reason in capsys.readouterr().err


def test_database_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as end:
        main(["db", "show", "--url", f"sqlite:///{tmp_path}/none.sqlite"])
    assert end.value.code == 1
    assert "glimt db init" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
