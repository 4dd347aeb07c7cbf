from __future__ import annotations

import json
from pathlib import Path

import pytest

from glimt.cli.main import main

BAD = '{"1": {"queue": "filewatchr", "output": {"every": 2}}, "2": {"queue": "images"}, "start": [[1, []]]}'


def _run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["recipe", *arguments])
    return int(caught.value.code or 0)


def test_check_says_every_problem_with_file_and_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad, broken = tmp_path / "bad.json", tmp_path / "broken.json"
    bad.write_text(BAD)
    broken.write_text("{")
    assert _run("check", str(bad), str(broken), str(tmp_path / "none.json"), "per-image-analysis-rotation") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{bad}: step 1: there is no queue 'filewatchr'; did you mean 'filewatcher'?"
    assert lines[1] == f"{bad}: step 2: the parameter image_command is missing, which images needs"
    assert lines[2].startswith(f"{broken}: the recipe is not JSON: line 1, column 2: ")
    assert lines[3] == f"{tmp_path / 'none.json'}: No such file or directory"
    assert lines[4] == "per-image-analysis-rotation: nothing is wrong"


def test_check_says_that_a_file_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run("check", "nosuch.json") == 1
    assert "there is no file 'nosuch.json', and there is no recipe 'nosuch'; there are" in capsys.readouterr().out


def test_check_says_in_which_line_a_file_is_no_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.json"
    path.write_text('{"1": {"queue": "x"},\n "start": [[1, []]\n}\n')
    assert _run("check", str(path)) == 1
    assert "the recipe is not JSON: line 3, column 1: Expecting ',' delimiter" in capsys.readouterr().out


def test_check_knows_the_queues_of_zocalo_and_those_it_is_told(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text('{"1": {"queue": "archive.filelist", "output": 2}, "2": {"queue": "mine"}, "start": [[1, []]]}')
    assert _run("check", str(own)) == 1
    assert _run("check", str(own), "--queue", "mine") == 0
    assert _run("check", str(own), "--any-queue") == 0


def test_check_with_parameters_finds_names_that_are_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = tmp_path / "given.json"
    given.write_text('{"ispyb_image_pattern": "x"}')
    assert _run("check", "per-image-analysis-rotation", "--parameters", str(given), "-s", "ispyb_dcid=4") == 1
    said = capsys.readouterr().out
    assert "step 1: parameters: {ispyb_image_first} is not among the parameters" in said
    assert "ispyb_image_pattern" not in said
    assert "ispyb_dcid" not in said


def test_a_warning_is_nothing_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.json"
    path.write_text('{"1": {"queue": "per_image_analysis"}, "start": [[1, []]]}')
    assert _run("check", str(path)) == 0
    assert "warning: step 1" in capsys.readouterr().out


def test_show_prints_a_recipe_with_parameters_put_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("show", "per-image-analysis-rotation") == 0
    assert json.loads(capsys.readouterr().out)["4"]["parameters"]["dcid"] == "{ispyb_dcid}"
    assert _run("show", "per-image-analysis-rotation", "-s", "ispyb_dcid=12") == 0
    assert json.loads(capsys.readouterr().out)["4"]["parameters"]["dcid"] == "12"


def test_show_without_a_name_lists_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.json").write_text(BAD)
    assert _run("show", "--folder", str(tmp_path)) == 0
    assert {"mine", "per-image-analysis-gridscan"} <= set(capsys.readouterr().out.split())


def test_graph_draws_text_and_mermaid(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("graph", "per-image-analysis-gridscan-swmr", "--ascii") == 0
    assert "`- every -> 2 filewatcher" in capsys.readouterr().out
    assert _run("graph", "per-image-analysis-gridscan-swmr", "--mermaid") == 0
    assert capsys.readouterr().out.startswith("flowchart TD\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "nothing-like-it"],
        ["graph", "no/such/file.json"],
        ["show", "per-image-analysis-rotation", "-s", "novalue"],
        ["show", "per-image-analysis-rotation", "--parameters", "no-such-file.json"],
    ],
)
def test_mistakes_of_the_user_are_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(*arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("glimt: ")
    assert said.count("\n") == 1
