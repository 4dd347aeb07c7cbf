"""What a watch has seen, in whatever order it came, is what its message says."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from glimt.services.file_watcher_status import STATUS, WatchStatus, read_status

NUMBERS = st.lists(st.integers(0, 60), max_size=80)


@given(NUMBERS, st.integers(0, 80))
def test_status_is_the_set_of_what_was_noted(numbers: list[int], end: int) -> None:
    status = WatchStatus(started=1.0)
    for number in numbers:
        status.note(number, 2.0)
        again = read_status(json.loads(json.dumps(status.to_payload("files"))), "files", 9.0)
        again.n_items = status.n_items
        assert again == status
    seen = set(numbers)
    assert status.n_seen == len(seen)
    assert list(status.unseen(end)) == [n for n in range(end) if n not in seen]
    assert status.n_in_order == next(n for n in range(100) if n not in seen)


@given(NUMBERS)
def test_ranges_are_as_few_as_possible(numbers: list[int]) -> None:
    status = WatchStatus(started=1.0)
    for number in numbers:
        status.note(number, 2.0)
    ranges = status.to_payload("files")[STATUS].get("glimt-seen-beyond", [])
    edges = [status.n_in_order, *(edge for pair in ranges for edge in pair)]
    assert edges == sorted(set(edges))
