"""What is sent of a published value, and messages."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glimt.model.errors import DecodeError
from glimt.web.page_feed import PageNode
from glimt.web.page_message import Buffers, message, sendable
from glimt.web.page_plot import CannotPlotError, Held, plot_of
from glimt.web.page_plot_kind import plot_kind
from glimt.web.page_want import PlotWant, message_from_page


def held(array: npt.NDArray[Any], shape: tuple[int, ...] | None = None) -> Held:
    node = PageNode("/a", "dataset", {}, dtype=str(array.dtype), shape=array.shape if shape is None else shape)
    return Held(array, 1, 0.0, None, node)


def plot(array: npt.NDArray[Any], kind: Any, **wanted: Any) -> tuple[dict[str, Any], list[npt.NDArray[Any]]]:
    buffers = Buffers()
    x = wanted.pop("x", None)
    return plot_of(PlotWant("p", "/a", kind, **wanted), held(array), buffers, x=x), buffers.arrays


def parsed(data: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    (length,) = struct.unpack_from("<I", data)
    header = json.loads(data[4 : 4 + length])
    return header, {
        entry["name"]: np.frombuffer(data, entry["dtype"], int(np.prod(entry["shape"])), entry["offset"]).reshape(
            entry["shape"]
        )
        for entry in header["buffers"]
    }


def test_a_message_holds_header_and_aligned_buffers() -> None:
    buffers = Buffers()
    arrays: list[npt.NDArray[Any]] = [
        np.arange(3, dtype=np.uint8),
        np.zeros((0, 3)),
        np.arange(6.0).reshape(2, 3),
        np.array(7, np.int16),
    ]
    names = [buffers.add(array) for array in arrays]
    header, found = parsed(message({"type": "data", "x": float("nan")}, buffers))
    assert header["x"] is None
    assert all(entry["offset"] % 8 == 0 for entry in header["buffers"])
    for name, array in zip(names, arrays, strict=True):
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize(
    ("dtype", "sent"),
    [("i8", "float64"), ("u8", "float64"), ("?", "uint8"), ("f2", "float32"), ("c16", "float64"), (">u2", "uint16")],
)
def test_types_that_a_browser_does_not_have_are_converted(dtype: str, sent: str) -> None:
    assert sendable(np.ones(2, dtype)).dtype == sent


def test_a_curve_of_a_million_points_keeps_its_spike() -> None:
    curve = np.zeros(1_000_000)
    curve[654_321] = 5.0
    told, arrays = plot(curve, "curve", size=(1, 500))
    assert told["is_thinned"]
    y, x = (arrays[int(told[key][1:])] for key in ("y", "x"))
    assert len(y) == 1000
    assert x[y.argmax()] == 654_321
    assert (np.diff(x) >= 0).all()


def test_a_curve_has_its_x_values_or_says_that_they_are_indices() -> None:
    told, arrays = plot(np.arange(5.0), "curve", x=np.arange(5) * 2, columns=(1, 3))
    assert arrays[1].tolist() == [2.0, 4.0]
    told, _ = plot(np.arange(5.0), "curve", x=np.arange(4), columns=(1, 3))
    assert (told["x"], told["x0"], told["step"]) == (None, 1, 1)


def test_a_long_curve_with_nan_only_in_places_is_thinned_without_a_warning() -> None:
    curve = np.full(10_000, np.nan)
    curve[5000] = 1.0
    told, arrays = plot(curve, "curve", size=(1, 16))
    assert np.nanmax(arrays[0]) == 1.0
    assert told["is_thinned"]


def test_a_table_shows_its_newest_rows() -> None:
    rows = np.array([(i, b"\xff<b>") for i in range(500)], [("n", "i8"), ("s", "S4")])
    told, arrays = plot(rows, "table")
    assert told["rows"] == (300, 500)
    assert arrays[0][-1] == 499.0
    assert told["fields"][1]["texts"][0] == "\ufffd<b>"


def test_text_is_cut_and_lists_of_text_are_lines() -> None:
    assert plot(np.array("x" * 100_000, object), "text")[0]["text"] == "x" * 65536
    assert plot(np.array(["a", "b"], object), "text")[0]["text"] == "a\nb"
    assert plot(np.array(["a", "b"], object), "table")[0]["fields"] == [{"name": "value", "texts": ["a", "b"]}]


@pytest.mark.parametrize(
    ("array", "kind"),
    [
        (np.zeros(3), "image"), (np.zeros((2, 2, 2)), "curve"), (np.zeros((1, 1, 1)), "table"),
        (np.array("text", object), "image"), (np.zeros(3), "number"), (np.array(["a"], object), "curve"),
    ],
)  # fmt: skip
def test_what_does_not_fit_says_so(array: npt.NDArray[Any], kind: str) -> None:
    with pytest.raises(CannotPlotError):
        plot(array, kind)


@given(
    st.sampled_from(["image", "curve", "number", "table", "text"]),
    st.sampled_from(["u2", "f4", "f8", "i8", "c8", "?", "S3", "O", "i4,f8"]),
    st.lists(st.integers(0, 5), max_size=3).map(tuple),
    st.tuples(st.integers(-5, 9), st.integers(-5, 9)),
)
def test_whatever_is_published_is_drawn_or_refused(
    kind: Any, dtype: str, shape: tuple[int, ...], part: tuple[int, int]
) -> None:
    array = np.full(shape, "t", object) if dtype == "O" else np.zeros(shape, dtype)
    try:
        told, arrays = plot(array, kind, rows=part, columns=part)
    except CannotPlotError:
        return
    buffers = Buffers()
    buffers.arrays = arrays
    parsed(message(told, buffers))


@pytest.mark.parametrize(
    ("dtype", "shape", "asked", "kind"),
    [
        ("float64", (), None, "number"), ("uint16", (5,), None, "curve"), ("uint16", (5, 5), None, "image"),
        ("uint16", (5, 5), "curve", "curve"), ("uint16", (5, 5, 5), None, "image"), ("text", (), None, "text"),
        ("struct", (3,), "image", "table"), ("text", (3,), None, "table"), ("float64", None, None, "none"),
        ("float64", (5,), "none", "none"), ("float64", (5,), ["x"], "curve"),
    ],
)  # fmt: skip
def test_the_kind_comes_from_the_shape_unless_an_attribute_fits(
    dtype: str, shape: tuple[int, ...] | None, asked: object, kind: str
) -> None:
    assert plot_kind(dtype, shape, asked) == kind


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", '{"op": "dance"}', '{"op": "want"}', '{"op": "want", "plots": [{"id": "a"}]}',
        '{"op": "want", "plots": [{"id": "a", "path": "/a", "kind": "image", "size": [60000, 60000]}]}',
        '{"op": "want", "plots": [{"id": "a", "path": "/a", "kind": "image", "size": [0, 1]}]}',
        '{"op": "want", "plots": [{"id": "a", "path": "/a", "kind": "image", "rows": [1e99, 2]}]}',
        json.dumps({"op": "want", "plots": [{"id": "a", "path": "/a", "kind": "curve"}] * 2}),
        json.dumps({"op": "want", "plots": [{"id": str(i), "path": "/a", "kind": "curve"} for i in range(65)]}),
        json.dumps({"op": "hello", "who": "x" * 61}), "[" * 100_000, '{"op": "ready"}' + " " * 300_000,
    ],
)  # fmt: skip
def test_a_message_that_makes_no_sense_is_a_decode_error(text: str) -> None:
    with pytest.raises(DecodeError):
        message_from_page(text)
