"""The live view over real sockets, read by the real h5pyd."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5pyd
import numpy as np
import pytest

from glimt.web.server import ViewServer
from live_view_rig import IMAGE, TABLE, opened, published, served


@pytest.fixture(scope="module")
def view() -> Iterator[ViewServer]:
    with served(published()) as (server, _):
        yield server


@pytest.fixture(scope="module")
def file(view: ViewServer) -> Iterator[h5pyd.File]:
    with opened(view) as opened_file:
        yield opened_file


def test_h5pyd_lists_what_is_published(file: h5pyd.File) -> None:
    assert "image" in file
    assert "map/deep/z" in file
    assert not {"bad", "5", "image_attrs", "_attrs"} & set(file)
    assert sorted(file["map"]) == ["deep", "x"]


def test_h5pyd_reads_scalars(file: h5pyd.File) -> None:
    assert file["live"][()] == 34
    assert file["live"].dtype == np.int64
    assert file["pi"][()] == 3.5
    assert np.isnan(file["nan"][()])
    assert file["flag"][()] == np.True_
    assert file["map/deep/z"][()] == -1
    assert file["scalar"].dtype == np.float32
    assert file["bytes"][()] == b"abc"
    assert file["nothing"].shape is None


def test_h5pyd_reads_text(file: h5pyd.File) -> None:
    assert file["hello"].asstr()[()] == "Wörld"
    assert file["names"].asstr()[:].tolist() == ["I", "q", "ååå"]
    assert file["names"].asstr()[1] == "q"
    assert file["names"].asstr()[1:3].tolist() == ["q", "ååå"]
    assert file["grid"].asstr()[:].tolist() == [["a", "b"], ["c", "d"]]
    assert file["grid"].asstr()[:, 1].tolist() == ["b", "d"]


def test_h5pyd_reads_arrays(file: h5pyd.File) -> None:
    np.testing.assert_array_equal(file["image"][:], IMAGE)
    assert file["image"].dtype == IMAGE.dtype
    assert file["map/x"][:].tolist() == [1.5, 2.5]
    assert file["empty"][:].shape == (0,)
    assert file["bools"][:].tolist() == [True, False]
    assert file["raw"][:].tolist() == [0, 255]
    assert file["complex"][:].view(complex).tolist() == [1 + 2j, 3]
    np.testing.assert_array_equal(file["masked"][:], [1, np.nan])


@pytest.mark.parametrize(
    "index",
    [
        np.s_[5:10],
        np.s_[3],
        np.s_[3, 1],
        np.s_[:, 2],
        np.s_[5:20:3, 1],
        np.s_[::7, ::2],
        np.s_[1999:, 0:1],
        np.s_[[1, 5, 9], :],
        np.s_[[1, 5, 9], 1:3],
        np.s_[list(range(0, 400, 2)), 1],
        np.s_[10:10],
    ],
    ids=str,
)
def test_h5pyd_reads_a_part_of_an_array(file: h5pyd.File, index: Any) -> None:
    np.testing.assert_array_equal(file["image"][index], IMAGE[index])


def test_h5pyd_reads_single_points(file: h5pyd.File) -> None:
    mask = np.zeros(IMAGE.shape, bool)
    mask[3, 1] = mask[100, 2] = True
    assert file["image"][mask].tolist() == IMAGE[mask].tolist()


def test_h5pyd_reads_structured_arrays(file: h5pyd.File) -> None:
    assert file["table"].dtype == TABLE.dtype
    np.testing.assert_array_equal(file["table"][:], TABLE)
    assert file["table"]["a"].tolist() == [0.5, 1.5]
    assert file["table"][1]["c"].tolist() == [3, 4]


def test_h5pyd_reads_attributes(file: h5pyd.File) -> None:
    assert dict(file.attrs) == {"NX_class": "NXentry"}
    assert dict(file["map"].attrs) == {"signal": "x"}
    attributes = file["image"].attrs
    assert attributes["axes"].tolist() == ["x", "y"]
    assert attributes["n"].tolist() == [1, 2]
    assert attributes["unit"] == "mm"
    assert attributes["c"] == 1 + 2j
    assert np.isnan(attributes["nan"])
    assert isinstance(attributes["none"], h5pyd.Empty)
    assert len(file["live"].attrs) == 0
    assert dict(file["bad_attr"].attrs) == {"fine": 1}


@pytest.mark.parametrize("name", ["nope", "map/nope", "live/x", "image_attrs", "bad"])
def test_missing_name_is_a_key_error_in_h5pyd(file: h5pyd.File, name: str) -> None:
    assert name not in file
    with pytest.raises(KeyError):
        file[name]
