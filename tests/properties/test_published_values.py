"""Whatever a reducer publishes and a client selects gives an answer or an error that says why."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

from glimt.model.errors import ResultError, UsageError
from glimt.model.publish_tree import Problem, find_node, walk
from glimt.model.publish_value import TEXT, hold_array, hold_extent
from glimt.web.hdf_types import shape_json, type_json, value_json
from glimt.web.selection import parse_select

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text()
    | st.binary()
    | st.datetimes()
    | numpy_strategies.scalar_dtypes().flatmap(lambda dtype: numpy_strategies.arrays(dtype, ()).map(lambda a: a[()]))
)
arrays = numpy_strategies.arrays(
    numpy_strategies.scalar_dtypes() | numpy_strategies.array_dtypes() | numpy_strategies.nested_dtypes(),
    numpy_strategies.array_shapes(min_dims=0, max_side=3),
)
values = st.recursive(
    scalars | arrays, lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner), max_leaves=8
)
trees = st.recursive(
    values, lambda inner: st.dictionaries(st.text(max_size=3) | st.integers() | st.just("x_attrs"), inner, max_size=4)
)


@given(values)
def test_value_is_held_or_refused_and_extent_agrees_with_elements(value: Any) -> None:
    try:
        array = hold_array(value)()
    except ResultError:
        with pytest.raises(ResultError):
            hold_extent(value)()
        return
    extent = hold_extent(value)()
    if extent.shape is not None:
        assert (extent.shape, extent.dtype) == (array.shape, array.dtype)
    assert shape_json(extent.shape)["class"].startswith("H5S_")
    assert type_json(extent.dtype)["class"].startswith("H5T_")
    value_json(array)
    if extent.dtype != TEXT:
        h5py.h5t.py_create(extent.dtype, logical=True)


@given(trees)
def test_every_node_of_a_tree_is_found_again_by_its_path(tree: Any) -> None:
    problems: list[Problem] = []
    for node in walk(tree, problems):
        assert find_node(tree, node.path).value is node.value


@given(st.text(alphabet="[]:,0123456789 x-", max_size=30))
def test_text_is_a_selection_or_refused(text: str) -> None:
    array = np.zeros((3, 3))
    with suppress(UsageError):
        parse_select(text)(array)


ranges = st.tuples(st.integers(0, 10), st.integers(0, 10), st.integers(1, 4)).map(lambda r: (*sorted(r[:2]), r[2]))


@given(st.lists(ranges, min_size=1, max_size=3))
def test_selection_takes_what_a_slice_takes(parts: list[tuple[int, int, int]]) -> None:
    array = np.arange(10 ** len(parts)).reshape((10,) * len(parts))
    text = "[" + ",".join(f"{start}:{stop}:{step}" for start, stop, step in parts) + "]"
    np.testing.assert_array_equal(parse_select(text)(array), array[tuple(slice(*part) for part in parts)])
