"""An array as a file."""

from __future__ import annotations

import io

import h5py
import numpy as np
import pytest

from glimt.model.errors import UsageError
from glimt.model.publish_value import TEXT
from glimt.stores.array_file import MAX_CSV_ELEMENTS, array_file


def test_a_curve_as_csv_has_its_x_or_its_indices() -> None:
    curve = np.array([1.5, 2.5])
    assert array_file(curve, "/scan/i", "csv", x=("/scan/q", np.array([0.1, 0.2]))) == b"q,i\r\n0.1,1.5\r\n0.2,2.5\r\n"
    assert array_file(curve, "/scan/i", "csv", x=("/scan/q", np.zeros(3))) == b"index,i\r\n0,1.5\r\n1,2.5\r\n"
    assert array_file(np.array(4), "/n", "csv") == b"index,n\r\n0,4\r\n"


def test_an_image_and_a_table_as_csv_have_a_line_a_row() -> None:
    assert array_file(np.array([[1, 2], [3, 4]]), "/image", "csv") == b"0,1\r\n1,2\r\n3,4\r\n"
    table = np.array([(1, 2.0)], [("slow", "i4"), ("fast", "f8")])
    assert array_file(table, "/spots", "csv") == b"slow,fast\r\n1,2.0\r\n"


@pytest.mark.parametrize("array", [np.arange(6, dtype=np.uint16).reshape(2, 3), np.array(["a", "ä"], TEXT)])
def test_numpy_and_hdf5_give_the_array_back(array: np.ndarray) -> None:
    again = np.load(io.BytesIO(array_file(array, "/a/b", "npy")), allow_pickle=False)
    assert again.tolist() == array.tolist()
    content = array_file(array, "/a/b", "h5", x=("/a/x", np.arange(3.0)), units="counts")
    with h5py.File(io.BytesIO(content)) as file:
        dataset = file["/a/b"]
        assert (dataset.asstr()[()] if array.dtype == TEXT else dataset[()]).tolist() == array.tolist()
        assert dataset.attrs["units"] == "counts"
        assert file["/a/x"][()].tolist() == [0, 1, 2]


def test_what_is_too_large_or_no_format_is_refused() -> None:
    with pytest.raises(UsageError, match="take npy or h5"):
        array_file(np.broadcast_to(np.uint8(0), MAX_CSV_ELEMENTS + 1), "/a", "csv")
    with pytest.raises(UsageError, match="there are csv, npy, h5"):
        array_file(np.zeros(1), "/a", "xlsx")
