"""What the system says about folders."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from glimt.sources.new_files import NewFiles
from glimt.sources.new_files_inotify import LOCAL_FILE_SYSTEMS, file_system_of


@pytest.fixture
def new_files(tmp_path: Path) -> Iterator[NewFiles]:
    if file_system_of(str(tmp_path)) not in LOCAL_FILE_SYSTEMS:
        pytest.skip(f"no notice is to be expected on {file_system_of(str(tmp_path)) or 'this system'}")
    watcher = NewFiles()
    yield watcher
    watcher.close()


def test_new_file_changes_the_generation(tmp_path: Path, new_files: NewFiles) -> None:
    path = str(tmp_path)
    assert new_files.follow(path)
    before = new_files.generation(path)
    assert not new_files.wait(0, {path: before})
    (tmp_path / "x").touch()
    assert new_files.wait(0, {path: before})
    assert not new_files.wait(0, {path: new_files.generation(path)})


def test_folder_that_is_not_there_is_noticed_when_it_comes(tmp_path: Path, new_files: NewFiles) -> None:
    path = str(tmp_path / "a" / "b")
    assert new_files.follow(path)
    before = new_files.generation(path)
    (tmp_path / "other").mkdir()
    assert not new_files.wait(0, {path: before})
    (tmp_path / "a" / "b").mkdir(parents=True)
    assert new_files.wait(0, {path: before})
    assert new_files.follow(path)
    before = new_files.generation(path)
    (tmp_path / "a" / "b" / "x").touch()
    assert new_files.wait(0, {path: before})


def test_folder_that_is_made_anew_is_followed_again(tmp_path: Path, new_files: NewFiles) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    path = str(folder)
    new_files.follow(path)
    before = new_files.generation(path)
    shutil.rmtree(folder)
    assert new_files.wait(0, {path: before})
    folder.mkdir()
    assert new_files.follow(path)
    before = new_files.generation(path)
    (folder / "x").touch()
    assert new_files.wait(0, {path: before})


def test_file_is_being_written_until_it_is_closed(tmp_path: Path, new_files: NewFiles) -> None:
    path = str(tmp_path)
    new_files.follow(path)
    with open(tmp_path / "x", "w"):
        assert new_files.written_for_s(path, "x") is not None
    assert new_files.written_for_s(path, "x") is None
    (tmp_path / "y").touch()
    (tmp_path / "y").rename(tmp_path / "z")
    assert new_files.written_for_s(path, "z") is None


def test_writes_are_noticed_where_that_is_asked_for(tmp_path: Path, new_files: NewFiles) -> None:
    path = str(tmp_path)
    with open(tmp_path / "x", "wb", buffering=0) as file:
        new_files.follow(path)
        before = new_files.generation(path)
        file.write(b"1")
        assert not new_files.wait(0, {path: before})
        new_files.follow(path, writes=True)
        before = new_files.generation(path)
        file.write(b"1")
        assert new_files.wait(0, {path: before})


def test_names_are_those_of_the_folder_with_and_without_notice(tmp_path: Path, new_files: NewFiles) -> None:
    path = str(tmp_path)
    plain = NewFiles("never")
    assert not plain.follow(path)
    assert plain.generation(path) is None
    new_files.follow(path)
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()
        assert name in new_files.names(path)
        plain = NewFiles("never")
        assert set(plain.names(path)) == set(new_files.names(path))
    assert set(new_files.names(str(tmp_path / "none"))) == set()


def test_two_who_follow_the_same_missing_folder_and_one_above_hear_their_own(
    tmp_path: Path, new_files: NewFiles
) -> None:
    above, below = str(tmp_path), str(tmp_path / "a")
    new_files.follow(above)
    new_files.follow(below)
    generations = {path: new_files.generation(path) for path in (above, below)}
    (tmp_path / "x").touch()
    assert new_files.generation(above) != generations[above]
    assert new_files.generation(below) == generations[below]
    (tmp_path / "a").mkdir()
    assert new_files.generation(below) != generations[below]
    new_files.follow(below)
    before = new_files.generation(above)
    (tmp_path / "y").touch()
    assert new_files.generation(above) != before
