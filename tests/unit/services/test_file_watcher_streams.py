"""Which outputs an item goes to."""

from __future__ import annotations

import math

import pytest

from glimt.services.file_watcher_streams import Streams, is_selected


def _formula(n: int, total: int, m: int) -> bool:
    """Zocalo's, in floating point as it is written there."""
    return total <= m or n == total or n == 1 + math.floor(math.floor(n * (m - 1) / total) * total / (m - 1))


@pytest.mark.parametrize("total", [*range(1, 60), 250, 251, 499, 720, 1000])
def test_selection_is_zocalos_for_all_counts_above_one(total: int) -> None:
    for m in (*range(2, 40), 100, 249, 250, 251):
        chosen = [n for n in range(1, total + 1) if is_selected(n, total, m)]
        assert chosen == [n for n in range(1, total + 1) if _formula(n, total, m)]
        assert chosen[0] == 1
        assert chosen[-1] == total
        assert len(chosen) <= max(m, 1)


@pytest.mark.parametrize("total", range(1, 30))
def test_selection_of_one_is_the_first(total: int) -> None:
    assert [n for n in range(1, total + 1) if is_selected(n, total, 1)] == [1]


def test_selection_of_none_is_empty() -> None:
    assert not any(is_selected(n, total, 0) for total in (1, 5) for n in range(1, total + 1))


def test_streams_come_in_order_and_unknown_names_want_nothing() -> None:
    names = ["every-3", "select-2", "4", "last", "every", "first", "finally", "select-x", "every-0", "-4", "4.0"]
    streams = Streams(names)
    assert streams.of(1, 4) == ["first", "every", "select-2", "every-3"]
    assert streams.of(2, 4) == ["every"]
    assert streams.of(4, 4) == ["every", "last", "4", "select-2", "every-3"]
    assert streams.of(1, 1) == ["first", "every", "last", "select-2", "every-3"]
