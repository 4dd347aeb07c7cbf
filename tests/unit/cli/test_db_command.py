"""``glimt db`` on a file."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from glimt.cli import main
from glimt.stores.results_db import prepare_results
from ispyb_rig import IspybRig


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
    rig.run("insert_xray_centring", {"status": "success", "type": "2d", "results": results}, dcgid=rig.collection.dcgid)
    program = rig.processing.program_id
    rig.run("add_program_message", program_id=program, severity="INFO", message="\x1b[31mred [bold]")
    rig.close()
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
