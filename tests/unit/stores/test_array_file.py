"""An array as a file."""

from __future__ import annotations

import io

import h5py
import numpy as np
import pytest

from glimt.model.errors import UsageError
from glimt.model.publish_value import TEXT
from glimt.stores.array_file import MAX_CSV_ELEMENTS, array_file, table_file


def test_a_curve_as_csv_has_its_x_or_its_indices() -> None:
    curve = np.array([1.5, 2.5])
    assert array_file(curve, "/scan/i", "csv", x=("/scan/q", np.array([0.1, 0.2]))) == b"q,i\r\n0.1,1.5\r\n0.2,2.5\r\n"
    assert array_file(curve, "/scan/i", "csv") == b"index,i\r\n0,1.5\r\n1,2.5\r\n"
    assert array_file(np.array(4), "/n", "csv") == b"index,n\r\n0,4\r\n"


@pytest.mark.parametrize("file_format", ["csv", "h5"])
def test_x_values_that_do_not_fit_are_refused_and_never_left_out(file_format: str) -> None:
    for array, n_x in ((np.zeros(2), 3), (np.zeros((2, 3)), 2), (np.zeros(0), 1)):
        with pytest.raises(UsageError, match=rf"/a has the shape .* and /q, its x values, \[{n_x}\]: publish one"):
            array_file(array, "/a", file_format, x=("/q", np.zeros(n_x)))
    assert array_file(np.zeros(2), "/a", "npy", x=("/q", np.zeros(3)))
    assert array_file(np.array(4), "/n", file_format, x=("/q", np.zeros(3)))


def test_x_values_head_the_columns_of_curves_and_are_beside_a_table() -> None:
    x = ("/q", np.array([0.5, 1.5]))
    assert array_file(np.array([[1, 2], [3, 4]]), "/a", "csv", x=x) == b"0.5,1.5\r\n1,2\r\n3,4\r\n"
    table = np.array([(1, 2.0), (3, 4.0)], [("slow", "i4"), ("fast", "f8")])
    assert array_file(table, "/spots", "csv", x=x) == b"q,slow,fast\r\n0.5,1,2.0\r\n1.5,3,4.0\r\n"
    assert array_file(np.array(["a", "b"], TEXT), "/t", "csv", x=x) == b"q,t\r\n0.5,a\r\n1.5,b\r\n"


def test_a_table_is_csv_or_a_dataset_a_column_whatever_its_names() -> None:
    names = ["a/b", "a_b", ".", "", "x\0y", "a_b"]
    rows = np.arange(12.0).reshape(2, 6)
    assert table_file(["n", "x"], rows[:, :2], "csv") == b"n,x\r\n0.0,1.0\r\n6.0,7.0\r\n"
    with h5py.File(io.BytesIO(table_file(names, rows, "h5"))) as file:
        found = {file[name].attrs["name"]: file[name][()].tolist() for name in file}
        assert len(file) == 6
    assert found["a/b"] == [0, 6]
    assert found["."] == [2, 8]
    with pytest.raises(UsageError, match="there are csv and h5"):
        table_file(names, rows, "npy")
    with pytest.raises(UsageError, match="take h5"):
        table_file(["n"], np.broadcast_to(np.float64(0), (MAX_CSV_ELEMENTS + 1, 1)), "csv")


def test_an_image_and_a_table_as_csv_have_a_line_a_row() -> None:
    assert array_file(np.array([[1, 2], [3, 4]]), "/image", "csv") == b"0,1\r\n1,2\r\n3,4\r\n"
    table = np.array([(1, 2.0)], [("slow", "i4"), ("fast", "f8")])
    assert array_file(table, "/spots", "csv") == b"slow,fast\r\n1,2.0\r\n"


@pytest.mark.parametrize("array", [np.arange(6, dtype=np.uint16).reshape(2, 3), np.array(["a", "ä"], TEXT)])
def test_numpy_and_hdf5_give_the_array_back(array: np.ndarray) -> None:
    again = np.load(io.BytesIO(array_file(array, "/a/b", "npy")), allow_pickle=False)
    assert again.tolist() == array.tolist()
    x = np.arange(float(array.shape[-1]))
    content = array_file(array, "/a/b", "h5", x=("/a/x", x), units="counts")
    with h5py.File(io.BytesIO(content)) as file:
        dataset = file["/a/b"]
        assert (dataset.asstr()[()] if array.dtype == TEXT else dataset[()]).tolist() == array.tolist()
        assert dataset.attrs["units"] == "counts"
        assert file["/a/x"][()].tolist() == x.tolist()


def test_what_is_too_large_or_no_format_is_refused() -> None:
    with pytest.raises(UsageError, match="take npy or h5"):
        array_file(np.broadcast_to(np.uint8(0), MAX_CSV_ELEMENTS + 1), "/a", "csv")
    with pytest.raises(UsageError, match="there are csv, npy, h5"):
        array_file(np.zeros(1), "/a", "xlsx")
