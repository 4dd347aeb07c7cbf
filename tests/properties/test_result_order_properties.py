"""The order of results against a plain twin that remembers everything."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from glimt.pipeline.result_order import ResultOrder

N_SERIALS = 12

serials_of_blocks = st.one_of(
    st.builds(lambda a, n: range(a, a + n), st.integers(0, N_SERIALS - 4), st.integers(0, 4)),
    st.lists(st.integers(0, N_SERIALS - 1), max_size=5),
    st.lists(st.integers(0, N_SERIALS - 1), max_size=5).map(tuple),
)
steps = st.lists(
    st.tuples(st.sampled_from(["add", "add", "next", "next", "void", "resume"]), serials_of_blocks), max_size=40
)


class PlainOrder:
    """First word for every serial, for ever."""

    def __init__(self) -> None:
        self.known: dict[int, str | None] = {}
        self.n_out = 0
        self.n_duplicates = 0

    def add(self, serials: Sequence[int], items: Sequence[str]) -> list[tuple[int, str]]:
        for serial, item in zip(serials, items, strict=True):
            if serial in self.known:
                self.n_duplicates += 1
            else:
                self.known[serial] = item
        return self._next()

    def void(self, serials: Sequence[int]) -> list[tuple[int, str]]:
        for serial in serials:
            self.known.setdefault(serial, None)
        return self._next()

    def _next(self) -> list[tuple[int, str]]:
        found = []
        while self.n_out in self.known:
            item = self.known[self.n_out]
            if item is not None:
                found.append((self.n_out, item))
            self.n_out += 1
        return found


@given(steps)
def test_any_arrival_gives_what_the_plain_twin_gives(told: list[tuple[str, Sequence[int]]]) -> None:
    order, plain = ResultOrder[str](), PlainOrder()
    for number, (what, given_serials) in enumerate(told):
        serials = given_serials
        if what == "next":  # the block that the fast path is for, unless some of it is there
            serials = range(order.watermark, order.watermark + len(serials))
        if what in {"add", "next"}:
            items = [f"{number}:{serial}" for serial in serials]
            assert order.add(serials, items) == plain.add(serials, items)
        elif what == "void":
            assert order.void(serials) == plain.void(serials)
        else:
            resumed = ResultOrder[str](order.watermark)
            for serial, item in order.waiting():
                assert resumed.add([serial], [item]) == []
            assert resumed.void(order.waiting_voids()) == []
            resumed.n_duplicates = order.n_duplicates
            order = resumed
        assert order.watermark == plain.n_out
        assert order.n_duplicates == plain.n_duplicates
        left = {serial: item for serial, item in plain.known.items() if serial >= plain.n_out}
        assert dict(order.waiting()) == {serial: item for serial, item in left.items() if item is not None}
        assert order.waiting_voids() == sorted(serial for serial, item in left.items() if item is None)
        assert order.n_waiting == len(order.waiting())
        assert len(order._waiting) == len(left)  # nothing that is out is remembered


@given(st.permutations(range(N_SERIALS)), st.integers(1, 5))
def test_every_result_comes_out_once_and_in_order(arrival: list[int], size: int) -> None:
    order = ResultOrder[int]()
    out = []
    for first in range(0, N_SERIALS, size):
        block = arrival[first : first + size]
        out += order.add(block, block)
        out += order.add(block[:1], block[:1])  # sent again
    assert out == [(serial, serial) for serial in range(N_SERIALS)]
    assert order.n_waiting == 0
