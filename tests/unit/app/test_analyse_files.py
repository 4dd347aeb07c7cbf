"""Which images a command line names."""

from __future__ import annotations

from pathlib import Path

import pytest

from glimt.app.analyse_files import MAX_IMAGES, find_images
from glimt.model.errors import UsageError


def _touch(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"###CBF: VERSION 1.5\r\n")


def test_numbered_files_are_one_group_in_order_of_their_numbers(tmp_path: Path) -> None:
    _touch(tmp_path, "a_2.cbf", "a_10.cbf", "a_1.cbf", "notes.txt")
    (group,) = find_images([tmp_path])
    assert [Path(file).name for file in group.files] == ["a_1.cbf", "a_2.cbf", "a_10.cbf"]
    assert list(group.numbers) == [1, 2, 10]
    assert Path(group.file_of(2)).name == "a_10.cbf"


def test_other_names_are_other_groups(tmp_path: Path) -> None:
    _touch(tmp_path, "a_1.cbf", "a_2.cbf", "b_1.cbf.gz", "b_2.cbf.gz")
    _touch(tmp_path / "more", "a_3.cbf")
    groups = find_images([tmp_path, tmp_path / "more", tmp_path / "a_1.cbf"])
    assert [len(group) for group in groups] == [2, 2, 1, 1]


def test_packed_and_plain_files_of_a_series_belong_together(tmp_path: Path) -> None:
    _touch(tmp_path, "a_1.cbf", "a_2.cbf.bz2", "a_3.cbf.gz")
    assert [len(group) for group in find_images([tmp_path])] == [3]


def test_holes_of_a_template_are_images(tmp_path: Path) -> None:
    _touch(tmp_path, "a_0003.cbf", "a_0006.cbf")
    (group,) = find_images([tmp_path / "a_####.cbf"])
    assert list(group.numbers) == [3, 4, 5, 6]
    assert Path(group.files[1]).name == "a_0004.cbf"


def test_data_files_beside_a_master_are_not_analyzed_twice(tmp_path: Path) -> None:
    _touch(tmp_path, "scan_master.h5", "scan_data_000001.h5", "scan_meta.h5")
    (group,) = find_images([tmp_path])
    assert Path(group.files[0]).name == "scan_master.h5"


def test_a_damaged_file_is_an_image_with_an_error(tmp_path: Path) -> None:
    (tmp_path / "scan.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    (group,) = find_images([tmp_path / "scan.h5"])
    assert len(group) == 1
    assert "scan.h5" in group.error


def test_a_link_to_nowhere_is_an_image(tmp_path: Path) -> None:
    (tmp_path / "a_1.cbf").symlink_to(tmp_path / "gone.cbf")
    (group,) = find_images([tmp_path / "a_1.cbf"])
    assert list(group.numbers) == [1]


@pytest.mark.parametrize("name", ["missing.cbf", "missing_####.cbf", "empty"])
def test_what_is_not_there_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=name):
        find_images([tmp_path / name])


def test_a_template_cannot_ask_for_a_billion_images(tmp_path: Path) -> None:
    _touch(tmp_path, "a_000000001.cbf", "a_900000000.cbf")
    with pytest.raises(UsageError, match=str(MAX_IMAGES)):
        find_images([tmp_path / "a_#########.cbf"])
