"""The file and the store in memory agree about every sequence of puts."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from glimt.model.errors import UsageError
from glimt.stores.hdf5 import Hdf5Store
from glimt.stores.row_block import RowBlock, contiguous_groups
from glimt.stores.row_type import RowType
from glimt.testing.memory_store import MemoryStore

NAMES = ("a", "b", "folder/c", "folder/d")
EVENTS = st.one_of(st.integers(-2, 40), st.integers(0, 700), st.just(20_000))
VALUES = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(width=64),
    st.booleans(),
    st.text(max_size=5),
    st.complex_numbers(allow_nan=False),
    hnp.arrays(st.sampled_from(["u1", "i4", "f4", "f8", "?"]), hnp.array_shapes(max_dims=2, max_side=3)),
    st.none(),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.sampled_from(NAMES), EVENTS, VALUES),
        st.tuples(st.just("put_once"), st.sampled_from(NAMES), st.just(0), VALUES),
        st.tuples(st.just("flush"), st.just(""), st.just(0), st.none()),
    ),
    max_size=40,
)


def _step(store: Any, step: tuple[str, str, int, Any]) -> str | None:
    what, name, event_number, value = step
    try:
        if what == "put":
            store.put(name, event_number, value)
        elif what == "put_once":
            store.put_once(name, value)
        else:
            store.flush()
    except UsageError as error:
        return str(error)
    return None


@settings(max_examples=100, deadline=None)
@given(STEPS, st.integers(1, 9), st.sampled_from([None, "bslz4"]))
def test_file_and_memory_agree(steps: list[tuple[str, str, int, Any]], block_rows: int, compression: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        memory = MemoryStore(max_event_number=30_000)
        path = Path(folder) / "out.h5"
        with Hdf5Store(path, block_rows=block_rows, compression=compression, max_event_number=30_000) as store:
            for step in steps:
                assert _step(store, step) == _step(memory, step)
        with h5py.File(path) as file:
            found: set[str] = set()
            file.visititems(lambda name, item: found.add(name) if isinstance(item, h5py.Dataset) else None)
            assert {name for name in found if not name.startswith("entry/")} == set(memory.names)
            for name in (name for name in memory.names if f"entry/present/{name}" in file):
                np.testing.assert_array_equal(file[name], memory.rows(name))
                np.testing.assert_array_equal(file[f"entry/present/{name}"], memory.present(name))


@given(st.lists(st.integers(0, 50), max_size=60))
def test_a_block_keeps_the_last_row_of_each_event_in_order(events: list[int]) -> None:
    block = RowBlock(RowType.of("x", 0), 60)
    last: dict[int, int] = {}
    for row, event_number in enumerate(events):
        block.append(event_number, row)
        last[event_number] = row
    numbers, rows = block.in_order()
    assert numbers.tolist() == sorted(last)
    assert rows.tolist() == [last[number] for number in sorted(last)]


@given(st.sets(st.integers(0, 300)), st.integers(0, 20))
def test_groups_cover_all_events_and_bridge_no_wider_gap(events: set[int], max_gap: int) -> None:
    numbers = np.array(sorted(events), dtype=np.int64)
    groups = contiguous_groups(numbers, max_gap)
    assert [index for start, stop in groups for index in range(start, stop)] == list(range(len(numbers)))
    for start, stop in groups:
        assert (np.diff(numbers[start:stop]) <= max_gap + 1).all()
    for (_, stop), (start, _) in pairwise(groups):
        assert numbers[start] - numbers[stop - 1] > max_gap + 1


@given(VALUES, VALUES)
def test_what_a_row_takes_comes_back_unchanged(first: Any, second: Any) -> None:
    try:
        row_type = RowType.of("x", first)
        converted = row_type.convert(second, 0)
    except UsageError:
        return
    row = np.empty(row_type.shape, row_type.dtype)
    row[...] = converted
    if row_type.dtype.kind == "S":
        return
    if np.asarray(second).dtype.kind in "iu" and row_type.dtype.kind in "fc":
        np.testing.assert_allclose(row, np.asarray(second).astype(float), rtol=1e-6)
    else:
        np.testing.assert_array_equal(row, np.asarray(second).astype(row.dtype) if row.dtype == "f4" else second)
