"""What published values mean as HDF5."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from glimt.model.errors import ResultError
from glimt.model.publish_value import NOTHING, TEXT, hold_array, hold_extent

CASES = [
    (1, "i8", ()),
    (-(2**63), "i8", ()),
    (2**64 - 1, "u8", ()),
    (True, "?", ()),
    (1.5, "f8", ()),
    (1j, "c16", ()),
    (np.float32(2), "f4", ()),
    (np.bool_(True), "?", ()),
    ("Wörld", TEXT, ()),
    (b"abc", "S3", ()),
    (b"", "S1", ()),
    (b"\x00\xff", "u1", (2,)),
    ([], "f8", (0,)),
    ([1, 2], "i8", (2,)),
    ([1, 2.5], "f8", (2,)),
    ([2**63, 2**63 + 1], "u8", (2,)),
    ([True, False], "?", (2,)),
    ([1.5, None], "f8", (2,)),
    ([[1, None], [3, 4]], "f8", (2, 2)),
    ([np.float32(1), np.float32(2)], "f4", (2,)),
    (["I", "q"], TEXT, (2,)),
    ([["I"], ["q"]], TEXT, (2, 1)),
    ([b"a", b"bcd"], "S3", (2,)),
    ((1, 2, 3), "i8", (3,)),
    (deque([1.0, 2.0]), "f8", (2,)),
    ([np.ones(3), np.ones(3)], "f8", (2, 3)),
    (np.array(7), "i8", ()),
    (np.zeros((2, 3), ">u2"), ">u2", (2, 3)),
    (np.zeros((0, 3), "u1"), "u1", (0, 3)),
    (np.array(["x", "yy"]), TEXT, (2,)),
    (np.array(["x", "yy"], dtype=object), TEXT, (2,)),
    (np.array([1, None], dtype=object), "f8", (2,)),
    (np.ma.array([1, 2], mask=[False, True], dtype="i4"), "f8", (2,)),
    (np.ma.array([1, 2], mask=[False, True], dtype="f4"), "f4", (2,)),
]


@pytest.mark.parametrize(("value", "dtype", "shape"), CASES, ids=lambda case: repr(case).split(" at 0x")[0][:40])
def test_value_has_a_type_and_a_shape_and_its_elements_agree(value: Any, dtype: Any, shape: tuple[int, ...]) -> None:
    extent = hold_extent(value)()
    array = hold_array(value)()
    assert extent.dtype == array.dtype == np.dtype(dtype)
    assert extent.shape == array.shape == shape


def test_elements_are_those_of_the_value() -> None:
    assert hold_array([1.5, None])().tolist() == pytest.approx([1.5, np.nan], nan_ok=True)
    assert hold_array(np.ma.array([1, 2], mask=[False, True]))().tolist() == pytest.approx([1, np.nan], nan_ok=True)
    assert hold_array(["I", "å"])().tolist() == ["I", "å"]
    assert hold_array(b"abc")().item() == b"abc"
    assert hold_array(2**64 - 1)().item() == 2**64 - 1


def test_none_is_nothing_and_no_number() -> None:
    assert hold_extent(None)() == NOTHING
    assert NOTHING.shape is None


def test_structured_array_is_packed_and_keeps_its_fields() -> None:
    aligned = np.dtype([("flag", "u1"), ("value", "f8", (2,))], align=True)
    array = np.array([(1, (2.0, 3.0))], dtype=aligned)
    held = hold_array(array)()
    assert held.dtype.itemsize == 17 < aligned.itemsize
    assert hold_extent(array)().dtype == held.dtype
    assert held["flag"].tolist() == [1]
    assert held["value"].tolist() == [[2.0, 3.0]]


class _NotAnArray:
    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("the detector is off")


class _Measurement:
    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return np.arange(3)


def test_object_that_turns_into_an_array_is_one() -> None:
    assert hold_array(_Measurement())().tolist() == [0, 1, 2]


_CYCLE: list[Any] = []
_CYCLE.append(_CYCLE)

IMPOSSIBLE = [
    (object(), "publish"),
    ({1, 2}, "set"),
    (2**70, "71 bits"),
    ([1, "a"], "mixes"),
    (["a", 1], "mixes text with int"),
    ([[1, 2], [3]], "one length"),
    ([{}], "publish a dict"),
    ([object()], "holds object"),
    (_CYCLE, "list"),
    (_NotAnArray(), "the detector is off"),
    (datetime(2026, 1, 1), "datetime"),
    (np.datetime64("2026-01-01"), "nanoseconds"),
    (np.longdouble(1), "float128"),
    (np.zeros(2, [("name", "U3")]), "field 'name'"),
    (np.zeros(2, [("thing", object)]), "object"),
    ("a\0b", "NUL"),
    ("\ud800", "Unicode"),
    (["ok", "\ud800"], "Unicode"),
]


@pytest.mark.parametrize(
    ("value", "reason"), IMPOSSIBLE, ids=lambda case: case if isinstance(case, str) else type(case).__name__
)
def test_value_that_hdf5_cannot_hold_is_refused_with_a_reason(value: Any, reason: str) -> None:
    with pytest.raises(ResultError, match=reason):
        hold_extent(value)()
    with pytest.raises(ResultError, match=reason):
        hold_array(value)()


def test_picked_elements_of_an_array_are_copied_at_once() -> None:
    array = np.arange(10)
    held = hold_array(array, lambda whole: whole[2:8:3])
    array[:] = 0
    assert held().tolist() == [2, 5]


def test_list_is_copied_at_once() -> None:
    rows = [[1, 2], [3, 4]]
    flat = [1.0, 2.0]
    held_rows, held_flat, extent = hold_array(rows), hold_array(flat, lambda whole: whole[:1]), hold_extent(flat)
    rows[0].append(9)
    flat.clear()
    assert held_rows().tolist() == [[1, 2], [3, 4]]
    assert held_flat().tolist() == [1.0]
    assert extent().shape == (2,)


def test_large_array_is_not_copied_for_a_slice_of_it() -> None:
    seen = []

    def pick(whole: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        seen.append(whole)
        return whole[:1]

    array = np.zeros((1000, 1000))
    assert hold_array(array, pick)().nbytes == 8000
    assert seen[0] is array


class Refusing:
    """As a tensor that has gradients: it turns into no array, and says so in its own way."""

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("call detach() first")


def test_a_list_of_what_refuses_to_be_an_array_is_told() -> None:
    with pytest.raises(ResultError, match=r"call detach\(\) first"):
        hold_extent([Refusing()])()
    with pytest.raises(ResultError, match=r"call detach\(\) first"):
        hold_array([Refusing()])()


def test_a_field_whose_name_is_not_unicode_is_told() -> None:
    with pytest.raises(ResultError, match=r"name of the field .* is not Unicode"):
        hold_array(np.zeros(2, [("x\udcff", "f8")]))()
