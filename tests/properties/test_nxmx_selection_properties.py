"""A regular selection along an axis is what NumPy says it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from glimt.sources.nxmx_file_selection import AxisSelection, Mapping


@st.composite
def selections(draw: st.DrawFn) -> AxisSelection:
    block = draw(st.integers(1, 5))
    return AxisSelection(draw(st.integers(0, 9)), draw(st.integers(block, 9)), draw(st.integers(1, 6)), block)


def _chosen(axis: AxisSelection) -> list[int]:
    return [axis.start + n * axis.stride + k for n in range(axis.count) for k in range(axis.block)]


@given(axis=selections())
def test_positions_and_indices_are_inverse(axis: AxisSelection) -> None:
    chosen = _chosen(axis)
    assert axis.size == len(chosen)
    assert [axis.index_of(k) for k in range(axis.size)] == chosen
    for index in range(80):
        assert axis.position_of(index) == (chosen.index(index) if index in chosen else None)
        assert axis.n_below(index) == sum(k < index for k in chosen)


@given(axis=selections())
def test_slice_has_the_same_indices_or_there_is_none(axis: AxisSelection) -> None:
    chosen, as_slice = _chosen(axis), axis.as_slice()
    if as_slice is None:
        assert chosen != list(range(chosen[0], chosen[-1] + 1))
    else:
        assert list(range(as_slice.start, as_slice.stop)) == chosen


@given(images=selections(), source=selections(), n_ready=st.integers(0, 80))
def test_first_missing_image_is_the_first_whose_source_is_not_ready(
    images: AxisSelection, source: AxisSelection, n_ready: int
) -> None:
    source = AxisSelection(source.start, max(source.stride, images.size), 1, images.size)
    mapping = Mapping("f", "d", images, source, (), None)
    sources = {number: mapping.source_number(number) for number in _chosen(images)}
    missing = [number for number, at in sources.items() if at is None or at >= n_ready]
    assert mapping.first_missing(n_ready) == (missing[0] if missing else None)
