"""A published tree as a real HDF5 file."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from glimt.model.errors import StoreError, UsageError
from glimt.stores.publish_file import write_publish_file

TREE: dict[str, Any] = {
    "_attrs": {"NX_class": "NXentry"},
    "map": {"x": [1.5, 2.5], "deep": {"z": 1}},
    "map_attrs": {"signal": "x", "axes": ["I", "q"], "none": None},
    "image": np.arange(6, dtype=">u2").reshape(2, 3),
    "image_attrs": {"n": [1, 2], "unit": "counts"},
    "names": ["I", "å"],
    "hello": "Wörld",
    "flag": True,
    "complex": np.array([1 + 2j]),
    "bytes": b"abc",
    "nothing": None,
    "table": np.array([(0.5, 1)], dtype=[("a", "f8"), ("b", "i4")]),
    "masked": np.ma.array([1, 2], mask=[False, True]),
}


def test_file_holds_the_tree(tmp_path: Path) -> None:
    path = tmp_path / "tree.h5"
    assert write_publish_file(TREE, path) == []
    with h5py.File(path) as file:
        assert set(file) == {name for name in TREE if not name.endswith("_attrs")}
        assert dict(file.attrs) == {"NX_class": "NXentry"}
        assert file["map/x"][:].tolist() == [1.5, 2.5]
        assert file["map/deep/z"][()] == 1
        assert file["map"].attrs["signal"] == "x"
        assert file["map"].attrs["axes"].tolist() == ["I", "q"]
        assert isinstance(file["map"].attrs["none"], h5py.Empty)
        np.testing.assert_array_equal(file["image"][:], TREE["image"])
        assert file["image"].dtype == np.dtype(">u2")
        assert file["image"].attrs["n"].tolist() == [1, 2]
        assert file["names"].asstr()[:].tolist() == ["I", "å"]
        assert file["hello"].asstr()[()] == "Wörld"
        assert file["flag"].dtype == bool
        assert file["complex"][0] == 1 + 2j
        assert file["bytes"][()] == b"abc"
        assert isinstance(file["nothing"][()], h5py.Empty)
        assert file["table"]["b"].tolist() == [1]
        assert np.isnan(file["masked"][1])


def test_what_hdf5_cannot_hold_is_left_out_and_told(tmp_path: Path) -> None:
    path = tmp_path / "tree.h5"
    tree: dict[Any, Any] = {
        "bad": object(),
        "good": 1,
        "good_attrs": {"odd": object(), "large": np.zeros(10_000), "fine": 2},
        5: 1,
    }
    problems = write_publish_file(tree, path)
    assert [problem.path for problem in problems] == ["/5", "/bad", "/good@odd", "/good@large"]
    with h5py.File(path) as file:
        assert list(file) == ["good"]
        assert dict(file["good"].attrs) == {"fine": 2}


def test_older_file_stays_when_the_new_one_cannot_be_written(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "kept").write_text("x")
    with pytest.raises(StoreError, match="cannot be written"):
        write_publish_file({"x": 1}, path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        write_publish_file({"x": 1}, tmp_path / "nowhere" / "tree.h5")


def test_tree_that_is_no_dict_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="list"):
        write_publish_file([1], tmp_path / "tree.h5")  # type: ignore[arg-type]  # what a user may do


def test_lock_is_held_while_the_tree_is_copied_and_given_back(tmp_path: Path) -> None:
    lock = threading.RLock()
    taken: list[bool] = []

    class Live:
        def __array__(self, *args: Any, **kwargs: Any) -> Any:
            # Another thread cannot take an RLock that is held.
            taker = threading.Thread(target=lambda: taken.append(lock.acquire(blocking=False)))
            taker.start()
            taker.join()
            return np.arange(3)

    assert write_publish_file({"one": Live(), "several": [Live()]}, tmp_path / "tree.h5", lock=lock) == []
    assert taken
    assert not any(taken)
    later = threading.Thread(target=lambda: taken.append(lock.acquire(blocking=False)))
    later.start()
    later.join()
    assert taken[-1]
