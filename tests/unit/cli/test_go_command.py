"""``glimt go`` and ``glimt recipe run|status``, with a real broker and database in files."""

from __future__ import annotations

import json
import sqlite3
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


def test_status_says_where_a_run_is(capsys: pytest.CaptureFixture[str]) -> None:
    run("go", RECIPE, *IMAGES, "--wait", "--timeout", "0", expected=1)
    told = capsys.readouterr()
    identity = told.out.strip()
    assert "the time is over, and the run goes on:" in told.err
    assert "the database has 0 images, 0 centring results of data collection 1" in told.err
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
