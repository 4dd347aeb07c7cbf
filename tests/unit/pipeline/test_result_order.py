"""Results in order, each once."""

from __future__ import annotations

import pytest

from glimt.model.errors import DecodeError, UsageError
from glimt.pipeline.result_order import ResultOrder


@pytest.mark.parametrize("kind", [range, lambda *ends: list(range(*ends)), lambda *ends: tuple(range(*ends))])
def test_the_next_run_is_given_out_at_once(kind: type[range]) -> None:
    order = ResultOrder[str]()
    assert order.add(kind(0, 3), ["a", "b", "c"]) == [(0, "a"), (1, "b"), (2, "c")]
    assert order.add(kind(3, 4), ["d"]) == [(3, "d")]
    assert (order.watermark, order.n_waiting, order.n_duplicates) == (4, 0, 0)


def test_a_block_that_comes_early_waits() -> None:
    order = ResultOrder[str]()
    assert order.add([2, 3], ["c", "d"]) == []
    assert order.n_waiting == 2
    assert order.waiting() == [(2, "c"), (3, "d")]
    assert order.add([0, 1], ["a", "b"]) == [(0, "a"), (1, "b"), (2, "c"), (3, "d")]
    assert (order.watermark, order.n_waiting) == (4, 0)


def test_serials_of_a_block_may_be_in_any_order_and_have_gaps() -> None:
    order = ResultOrder[str]()
    assert order.add([4, 0, 2], ["e", "a", "c"]) == [(0, "a")]
    assert order.add([3, 1], ["d", "b"]) == [(1, "b"), (2, "c"), (3, "d"), (4, "e")]


def test_a_run_with_right_ends_and_wrong_middle_is_no_run() -> None:
    order = ResultOrder[str]()
    assert order.add([0, 0, 2], ["a", "again", "c"]) == [(0, "a")]
    assert (order.n_duplicates, order.n_waiting) == (1, 1)
    assert order.add([1], ["b"]) == [(1, "b"), (2, "c")]


def test_a_result_that_comes_again_is_counted_and_the_first_one_stays() -> None:
    order = ResultOrder[str]()
    order.add([0, 2], ["a", "c"])
    assert order.add([0, 2], ["x", "y"]) == []
    assert order.n_duplicates == 2
    assert order.add([1, 2], ["b", "z"]) == [(1, "b"), (2, "c")]
    assert order.n_duplicates == 3


def test_void_serials_are_skipped() -> None:
    order = ResultOrder[str]()
    order.add([1, 4], ["b", "e"])
    assert order.void([3]) == []
    assert (order.n_waiting, order.waiting_voids()) == (2, [3])
    assert order.void([0]) == [(1, "b")]
    assert order.void([2]) == [(4, "e")]
    assert (order.watermark, order.n_waiting, order.waiting_voids()) == (5, 0, [])


def test_void_does_not_take_back_a_result_that_is_there() -> None:
    order = ResultOrder[str]()
    order.add([1], ["b"])
    assert order.void(range(3)) == [(1, "b")]
    assert order.watermark == 3
    assert order.void([0, 1]) == []
    assert order.watermark == 3


def test_a_result_of_a_void_serial_is_a_duplicate() -> None:
    order = ResultOrder[str]()
    order.void([0, 2])
    assert order.add([0, 2], ["a", "c"]) == []
    assert order.n_duplicates == 2
    assert order.add([1], ["b"]) == [(1, "b")]
    assert order.watermark == 3


def test_a_run_of_voids_at_the_watermark_costs_no_memory() -> None:
    order = ResultOrder[str]()
    assert order.void(range(100_000)) == []
    assert order.watermark == 100_000
    assert order.waiting_voids() == []


def test_resumed_from_a_watermark_older_results_are_duplicates() -> None:
    order = ResultOrder[str](watermark=5)
    assert order.add([3, 4, 5, 6], ["x", "y", "a", "b"]) == [(5, "a"), (6, "b")]
    assert (order.watermark, order.n_duplicates) == (7, 2)


def test_an_empty_block_changes_nothing() -> None:
    order = ResultOrder[str]()
    assert order.add([], []) == []
    assert order.watermark == 0


@pytest.mark.parametrize(("serials", "items"), [([0, 1], ["a"]), ([], ["a"]), ([0], [])])
def test_a_block_of_unequal_parts_is_refused_whole(serials: list[int], items: list[str]) -> None:
    order = ResultOrder[str]()
    with pytest.raises(DecodeError, match=r"block of results: \d serials come with \d results"):
        order.add(serials, items)
    assert (order.watermark, order.n_waiting) == (0, 0)


def test_a_negative_serial_is_refused_and_nothing_taken() -> None:
    order = ResultOrder[str]()
    with pytest.raises(DecodeError, match="serial -1 is negative"):
        order.add([1, -1], ["a", "b"])
    assert order.n_waiting == 0
    with pytest.raises(UsageError, match="watermark -1 is negative"):
        ResultOrder(-1)


def test_what_is_missing_of_a_range_is_told_in_runs() -> None:
    order: ResultOrder[str] = ResultOrder(2)
    order.add([4, 5, 8], ["e", "f", "i"])
    order.void([7])
    assert order.missing(0, 10) == [(2, 4), (6, 7), (9, 10)]
    assert order.missing(0, 2) == []
    assert order.missing(5, 6) == []
    assert order.missing(20, 22) == [(20, 22)]
