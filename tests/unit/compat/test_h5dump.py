"""``dranspose.helpers``: names that reducers import."""

from __future__ import annotations

import logging
from pathlib import Path

import h5py
import pytest

from glimt.compat.dranspose.helpers import h5dict
from glimt.compat.dranspose.helpers.h5dump import dump


def test_dump_writes_and_closes_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "dump.h5"
    with caplog.at_level(logging.WARNING):
        dump({"x": [1, 2], "x_attrs": {"unit": "mm"}, "bad": object()}, str(path))
    with h5py.File(path, "a") as file:
        assert file["x"][:].tolist() == [1, 2]
        assert file["x"].attrs["unit"] == "mm"
    assert "unable to dump /bad" in caplog.text


def test_router_says_where_it_went() -> None:
    with pytest.raises(ImportError, match=r"glimt\.web\.live_view"):
        _ = h5dict.router
