"""Where messages may point."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from glimt.model.errors import RejectedMessageError
from glimt.services.confined_path import MAX_PATH, confined_path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


def test_a_path_in_a_root_is_returned(root: Path) -> None:
    assert confined_path(str(root / "visit" / "a.cbf"), [Path("/nowhere"), root]) == root / "visit" / "a.cbf"


def test_the_root_itself_is_open(root: Path) -> None:
    assert confined_path(str(root), [root]) == root


def test_dots_that_stay_inside_are_followed(root: Path) -> None:
    assert confined_path(f"{root}/a/../b.cbf", [root]) == root / "b.cbf"


def test_a_root_may_be_a_link(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)
    assert confined_path(str(link / "a.cbf"), [link]) == root / "a.cbf"
    assert confined_path(str(root / "a.cbf"), [link]) == root / "a.cbf"


def test_a_folder_whose_name_begins_like_a_root_is_outside(root: Path) -> None:
    with pytest.raises(RejectedMessageError, match="outside"):
        confined_path(f"{root}2/a.cbf", [root])


def test_dots_that_lead_out_are_refused_with_the_roots_named(root: Path) -> None:
    with pytest.raises(RejectedMessageError, match="paths] roots of the site file") as refused:
        confined_path(f"{root}/../secret", [root])
    assert "glimt serve --root FOLDER" in str(refused.value)  # a site file need not be there
    assert str(root) in str(refused.value)
    assert str(root.parent / "secret") in str(refused.value)


def test_a_link_that_leads_out_is_refused(root: Path) -> None:
    (root / "out").symlink_to("/etc")
    with pytest.raises(RejectedMessageError, match=r"leads to /etc/passwd, which is outside"):
        confined_path(f"{root}/out/passwd", [root])


def test_dots_after_a_link_start_from_where_it_leads(root: Path, tmp_path: Path) -> None:
    (tmp_path / "other" / "deep").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path / "other" / "deep")
    with pytest.raises(RejectedMessageError, match="outside"):
        confined_path(f"{root}/link/../a.cbf", [root])


def test_links_in_a_circle_are_no_way_out(root: Path) -> None:
    (root / "a").symlink_to(root / "b")
    (root / "b").symlink_to(root / "a")
    assert confined_path(f"{root}/a", [root]).is_relative_to(root)
    with pytest.raises(RejectedMessageError, match="outside"):
        confined_path(f"{root}/a/../../x", [root])


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("", "empty"),
        ("a.cbf", "no absolute path"),
        ("~/a.cbf", "no absolute path"),
        ("/data/a\0b", "null character"),
        ("/" + "a" * MAX_PATH, "longer than"),
        ("/" + "\u00e9" * (MAX_PATH // 2), "longer than"),
        ("/data/\ud800", "no file name"),
        (None, "NoneType"),
        (5, "int"),
        (b"/data", "bytes"),
        (["/data"], "list"),
    ],
)
def test_what_is_no_path_is_refused_and_told(path: object, told: str) -> None:
    with pytest.raises(RejectedMessageError, match=told):
        confined_path(path, [Path("/")])


def test_without_roots_nothing_is_open(root: Path) -> None:
    with pytest.raises(RejectedMessageError, match="no folder is"):
        confined_path(str(root), [])


def test_a_path_object_will_do(root: Path) -> None:
    assert os.fspath(confined_path(root / "a", [root])) == str(root / "a")
