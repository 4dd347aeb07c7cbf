"""``glimt go`` and ``glimt recipe run|status``, with a real broker and database in files."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from glimt.app.site_file import load_site
from glimt.brokers.sqlite import SqliteBroker
from glimt.cli.main import main

RECIPE = "per-image-analysis-gridscan"
IMAGES = ("--images", "scan/x_####.cbf", "--grid", "3x2")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GLIMT_SITE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "scan").mkdir()
    for number in range(1, 5):
        (tmp_path / "scan" / f"x_{number:04d}.cbf").write_bytes(b"x")
    return tmp_path


def run(*arguments: str, expected: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main([*arguments])
    assert (end.value.code or 0) == expected


def n_collections() -> int:
    file = load_site().state_folder / "results.sqlite"
    with sqlite3.connect(file) as connection:
        found = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("DataCollection", "DataCollectionGroup", "GridInfo")
        ]
    connection.close()
    assert len(set(found)) == 1
    return int(found[0])


def test_dry_run_says_that_images_are_to_come_and_leaves_nothing_behind(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("go", RECIPE, *IMAGES, "--dry-run")
    told = capsys.readouterr().err
    assert "warning: there is no broker yet" in told
    assert f"{RECIPE}: 8 steps, all parameters are there" in told
    assert f"step 1: 4 of 6 files are there, {folder}/scan/x_0005.cbf is not; the file watcher would wait 36" in told
    assert not (folder / "state").exists()


def test_dry_run_finds_what_the_dispatcher_would_reject(capsys: pytest.CaptureFixture[str]) -> None:
    run("go", RECIPE, "3", "--dry-run", expected=1)
    assert "error: there is no results database yet" in capsys.readouterr().err
    run("go", RECIPE, *IMAGES)
    run("go", RECIPE, "3", "--dry-run", expected=1)
    assert "error: ispyb_dcid is 3, and there is no such data collection" in capsys.readouterr().err
    run("go", RECIPE, "-n", "--dry-run", expected=1)
    assert f"error: {RECIPE}: step 1: parameters: {{ispyb_dc_info}} is not among" in capsys.readouterr().err
    run("go", RECIPE, "1", "--dry-run")
    told = capsys.readouterr().err
    assert "warning: no dispatcher runs" in told
    assert "ispyb_dcid 1 is known" in told
    assert "nobody takes messages of filewatcher" in told


def test_dry_run_finds_queues_that_are_not_there_and_folders_that_are_not_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    watched = {"pattern": "/elsewhere/x_%d.cbf", "pattern-start": 1, "pattern-end": 2}
    recipe = {"1": {"queue": "filewatcher", "parameters": watched, "output": {"every": 2}}, "start": [[1, []]]}
    (tmp_path / "own.json").write_text(json.dumps({**recipe, "2": {"queue": "nobody"}}))
    run("go", "own.json", "-n", "--dry-run", expected=1)
    assert "error: your recipe: step 2: there is no queue 'nobody'" in capsys.readouterr().err
    (tmp_path / "own.json").write_text(json.dumps({**recipe, "2": {"queue": "mimas"}}))
    run("go", "own.json", "-n", "--dry-run", expected=1)
    assert "/elsewhere/x_1.cbf is outside the folders open to messages" in capsys.readouterr().err


def test_dry_run_does_not_take_the_trial_for_a_data_collection_that_is_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run("go", RECIPE, *IMAGES)
    capsys.readouterr()
    run("go", RECIPE, *IMAGES, "--dry-run")
    told = capsys.readouterr().err
    assert "the images can be entered as a new data collection" in told
    assert "ispyb_dcid 1" not in told
    assert n_collections() == 1


@pytest.mark.parametrize(
    ("options", "order", "row"),
    [
        ((), "grid 3 x 2, snaked, horizontal: image 4 is beside image 3", (1, "horizontal")),
        (("--not-snaked",), "grid 3 x 2, not snaked, horizontal: image 4 is beside image 1", (0, "horizontal")),
        (("--vertical",), "grid 3 x 2, snaked, vertical: image 3 is beside image 2", (1, "vertical")),
        (("--first", "11"), "grid 3 x 2, snaked, horizontal: image 14 is beside image 13", (1, "horizontal")),
    ],
)
def test_the_order_of_a_grid_is_told_and_can_be_chosen(
    options: tuple[str, ...], order: str, row: tuple[int, str], capsys: pytest.CaptureFixture[str]
) -> None:
    run("go", RECIPE, *IMAGES, *options)
    assert f"glimt: {order}\n" in capsys.readouterr().err
    with sqlite3.connect(load_site().state_folder / "results.sqlite") as connection:
        assert connection.execute("SELECT snaked, orientation FROM GridInfo").fetchall() == [row]
    connection.close()
    run("go", RECIPE, "1", "--dry-run")
    assert order in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("1", "--grid", "3x2"), "--grid is for --images"),
        (("--images", "scan/x_####.cbf", "--last", "6", "--vertical"), "--not-snaked and --vertical are for --grid"),
        ((*IMAGES, "--dry-run", "--no-check"), "--dry-run and --no-check exclude each other"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    words: tuple[str, ...], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run("go", RECIPE, *words, expected=2)
    assert what in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_mistakes_of_a_recipe_are_refused_before_anything_is_sent(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = {
        "1": {"queue": "per_image_analysis", "output": {"resluts": 2}},
        "2": {"queue": "ispyb_connector", "parameters": {"ispyb_comand": "x"}},
        "start": [[1, []]],
    }
    (folder / "bad.json").write_text(json.dumps(bad))
    run("go", "bad.json", "-n", "-s", "ispyb_dcid=1", expected=1)
    told = capsys.readouterr().err
    assert "error: your recipe: step 1: per_image_analysis never sends to an output 'resluts'" in told
    assert "error: your recipe: step 2: the parameter ispyb_command is missing" in told
    assert "nothing was sent" in told
    assert not (folder / "state").exists()
    run("go", "bad.json", *IMAGES, expected=1)
    assert n_collections() == 0
    assert n_requests() == 0
    run("go", "bad.json", "-n", "--no-check")
    assert n_requests() == 1
    (folder / "site.toml").write_text('[services.dispatcher]\nlint = "warn"\n')
    capsys.readouterr()
    run("go", "bad.json", "-n")
    assert "warning: your recipe: step 1: per_image_analysis never sends" in capsys.readouterr().err


def test_a_queue_may_come_with_a_service_until_the_dispatcher_runs(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "own.json").write_text('{"1": {"queue": "of_my_service"}, "start": [[1, []]]}')
    run("go", "own.json", "-n")
    assert "warning: your recipe: step 1: there is no queue 'of_my_service'" in capsys.readouterr().err
    with closing(SqliteBroker(str(load_site().broker_url))) as broker:
        broker.subscribe("processing_recipe")
        run("go", "own.json", "-n", expected=1)
    assert "error: your recipe: step 1: there is no queue 'of_my_service'" in capsys.readouterr().err


def test_what_may_come_later_is_told_and_the_request_is_sent(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("go", RECIPE, "1")
    told = capsys.readouterr().err
    assert "warning: there is no broker yet" in told
    assert "waits until `glimt serve` runs" in told
    assert "warning: there is no results database yet" in told
    run("go", RECIPE, "--images", "nosuch/x_####.cbf", "--grid", "3x2")
    told = capsys.readouterr().err
    assert "warning: no dispatcher runs" in told
    assert f"there is no folder {folder}/nosuch yet" in told
    run("go", f"{RECIPE}-swmr", "--images", "scan/x_1.nxs", "--grid", "3x2")
    assert f"{folder}/scan/x_1.nxs is not" in capsys.readouterr().err
    assert n_requests() == 3


def test_one_file_is_not_taken_for_many_images(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("go", RECIPE, "--images", "scan/x_0001.cbf", "--grid", "3x2", expected=1)
    assert "'x_0001.cbf' is one file, and 6 images are to be entered; write #" in capsys.readouterr().err
    assert n_requests() == 0
    assert not (folder / "state" / "glimt" / "results.sqlite").exists()


def test_a_recipe_that_is_neither_file_nor_name_is_told_as_both(capsys: pytest.CaptureFixture[str]) -> None:
    run("go", "nosuch.json", "-n", expected=1)
    assert "there is no file 'nosuch.json' here, and there is no recipe 'nosuch'" in capsys.readouterr().err


def test_images_have_the_time_at_which_they_were_entered(capsys: pytest.CaptureFixture[str]) -> None:
    before = datetime.now().replace(microsecond=0)
    run("go", RECIPE, *IMAGES)
    capsys.readouterr()
    run("db", "show", "--json")
    (row,) = json.loads(capsys.readouterr().out)["collections"]
    assert before <= datetime.fromisoformat(row["started"]) <= datetime.now()


def test_rows_of_earlier_runs_are_not_told_as_of_this_one(capsys: pytest.CaptureFixture[str]) -> None:
    run("go", RECIPE, *IMAGES)
    with sqlite3.connect(load_site().state_folder / "results.sqlite") as connection:
        connection.execute(
            "INSERT INTO ImageQualityIndicators (dataCollectionId, imageNumber, recordTimeStamp)"
            " VALUES (1, 1, '2020-02-02 02:02:02.000000'), (1, 2, '2020-02-02 02:02:02.000000')"
        )
        connection.execute("INSERT INTO XrayCentring (xrayCentringId, dataCollectionGroupId) VALUES (7, 1)")
        connection.execute("INSERT INTO XrayCentringResult (xrayCentringId) VALUES (7)")
    connection.close()
    capsys.readouterr()
    run("go", RECIPE, "1", "--wait", "--timeout", "0", expected=1)
    assert capsys.readouterr().err.splitlines()[-1] == (
        "glimt: nothing was written since the run was sent, of data collection 1 (glimt db show 1);"
        " with those of earlier runs the database has 2 images, 1 centring result"
    )


def n_requests() -> int:
    with closing(SqliteBroker(str(load_site().broker_url))) as broker:
        found = {status.name: status.n_ready for status in broker.status()}
    return found.get("processing_recipe", 0)


def test_images_are_not_entered_when_the_rest_fails(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("go", "no-such-recipe", *IMAGES, expected=1)
    assert n_collections() == 0
    (folder / "site.toml").write_text(
        f'[broker]\nurl = "sqlite:{folder}/nowhere/b.sqlite"\n[results]\nurl = "sqlite:///state/glimt/results.sqlite"\n'
    )
    run("go", RECIPE, *IMAGES, expected=1)
    assert n_collections() == 0
    (folder / "site.toml").unlink()
    run("go", RECIPE, *IMAGES)
    assert n_collections() == 1
    assert "the images are data collection 1" in capsys.readouterr().err


def test_images_are_taken_out_again_when_the_request_cannot_be_sent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("go", RECIPE, *IMAGES)
    file = load_site().state_folder / "broker.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON body BEGIN SELECT RAISE(ABORT, 'nothing more is taken'); END"
        )
    connection.close()
    run("go", RECIPE, *IMAGES, expected=1)
    assert "nothing more is taken" in capsys.readouterr().err
    assert n_collections() == 1
    results = load_site().state_folder / "results.sqlite"
    with sqlite3.connect(results) as connection:
        connection.execute(
            "CREATE TRIGGER kept BEFORE DELETE ON DataCollection BEGIN SELECT RAISE(ABORT, 'nothing is deleted'); END"
        )
    connection.close()
    run("go", RECIPE, *IMAGES, expected=1)
    told = capsys.readouterr().err
    assert "the images stay entered, as data collection" in told
    assert "nothing is deleted" in told
    assert "nothing more is taken" in told
    assert n_collections() == 2


def test_status_says_where_a_run_is(capsys: pytest.CaptureFixture[str]) -> None:
    run("go", RECIPE, *IMAGES, "--wait", "--timeout", "0", expected=1)
    told = capsys.readouterr()
    identity = told.out.strip()
    assert "the time is over, and the run goes on:" in told.err
    assert "written since the run was sent: 0 images, 0 centring results of data collection 1" in told.err
    run("recipe", "status", identity)
    assert "processing_recipe: 1 waiting (no service takes them now)" in capsys.readouterr().out
    broker = SqliteBroker(str(load_site().broker_url))
    broker.subscribe("processing_recipe")
    (request,) = broker.receive()
    broker.refuse(request, "no such recipe")
    broker.close()
    run("recipe", "status", identity, expected=1)
    told = capsys.readouterr()
    assert "it is over" in told.out
    assert "no such recipe" in told.out
    run("recipe", "status", identity, "--json", expected=1)
    told = capsys.readouterr()
    assert json.loads(told.out)["is_over"] is True
    run("recipe", "status", "no run; at all", expected=1)
    assert "is not the identity of a run" in capsys.readouterr().err


def test_timeout_without_wait_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    run("go", RECIPE, "1", "--timeout", "3", expected=2)
    assert "--timeout is for --wait" in capsys.readouterr().err


@pytest.mark.parametrize("guid", ["guid=\u00fc-run", "guid:=5", "guid=", 'guid:=["a"]', "guid=a/../b"])
def test_an_identity_that_the_dispatcher_would_reject_is_refused_before_anything_is_sent(
    folder: Path, guid: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run("go", RECIPE, "-n", "-s", guid, "--wait", expected=1)
    assert "the dispatcher takes 3 to 200 letters, digits and _ - only" in capsys.readouterr().err
    assert not (folder / "state").exists()


def test_numbers_that_no_data_collection_has_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    run("go", RECIPE, str(1 << 64), "--wait", expected=1)
    assert "it must be 1 or more, and below 9007199254740992" in capsys.readouterr().err
    run("go", RECIPE, "-n", "-s", f"ispyb_dcid:={1 << 64}", "--wait", "--timeout", "0", expected=1)
    told = capsys.readouterr().err
    assert "the time is over, and the run goes on" in told
    assert "the database has" not in told
