from __future__ import annotations

from glimt.pipeline.value_history import MAX_CHANGES, MAX_VALUE_BYTES, ValueHistory


def test_the_first_entry_has_all_values_and_later_ones_what_changed() -> None:
    history = ValueHistory({"gain": b"1", "name": b"x"})
    history.change(7, {"gain": b"2", "name": b"x"})
    history.change(9, {"gain": b"2", "name": b"y"})
    assert history.changes == [(0, {"gain": b"1", "name": b"x"}), (7, {"gain": b"2"}), (9, {"name": b"y"})]


def test_what_changes_nothing_is_no_change() -> None:
    history = ValueHistory({"gain": b"1"})
    history.change(7, {"gain": b"1"})
    assert history.changes == [(0, {"gain": b"1"})]


def test_two_changes_at_one_event_are_one() -> None:
    history = ValueHistory({"gain": b"1", "name": b"x"})
    history.change(7, {"gain": b"2", "name": b"x"})
    history.change(7, {"gain": b"3", "name": b"y"})
    assert history.changes == [(0, {"gain": b"1", "name": b"x"}), (7, {"gain": b"3", "name": b"y"})]


def test_memory_is_bounded() -> None:
    history = ValueHistory({"mask": bytes(MAX_VALUE_BYTES)})
    for number in range(MAX_CHANGES + 5):
        history.change(number + 1, {"gain": b"%d" % number, "mask": bytes(MAX_VALUE_BYTES + number)})
    assert len(history.changes) == MAX_CHANGES
    assert history.changes[0] == (0, {})
    assert all(set(values) == {"gain"} for _, values in history.changes[1:])
