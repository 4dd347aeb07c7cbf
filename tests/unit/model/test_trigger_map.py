"""What a trigger map means."""

from __future__ import annotations

from typing import Any

import pytest

from glimt.model.errors import UsageError
from glimt.model.trigger_map import MAX_CELLS, WRAP_PART, TriggerMap
from glimt.model.trigger_map_part import CONSTRAINT_BITS, Target

GENERIC = frozenset({"generic"})
DEBUG = frozenset({"debug"})

# Each kind of entry: uniform, with a discarded frame, in bursts and to two workers, and with taps.
EVERY_KIND: dict[str, list[Any]] = {
    "eiger": [[{"constraint": 0}], [{"constraint": 1}], [{"constraint": 2}], [{"constraint": 3}]],
    "orca": [[{"constraint": 0}], [{"constraint": 1}], [], [{"constraint": 3}]],
    "sardana": [None, [{"constraint": 0}, {"constraint": 1}], None, [{"constraint": 2}, {"constraint": 3}]],
    "i0": [[{"tags": ["generic"]}], None, None, [{"constraint": 3}, {"tags": ["debug"]}]],
}
EXAMPLE = {"parts": {"main": EVERY_KIND}, "sequence": ["main", "main"]}


def key(instance: int, constraint: int) -> int:
    return (instance << CONSTRAINT_BITS) + constraint


def test_wrap_is_a_frame_of_every_stream_for_all_workers_of_every_tag() -> None:
    found = TriggerMap.from_json(EXAMPLE)
    everyone = (Target(DEBUG, None), Target(GENERIC, None))
    assert found.n_events == 10
    assert found.is_wrapped
    for number in (0, 9):
        assert found.event(number).entries == tuple((stream, everyone) for stream in range(4))
        assert not found.event(number).is_simple


def test_map_without_wrap_begins_with_its_first_part() -> None:
    found = TriggerMap.from_json(EXAMPLE, all_wrap=False)
    assert (found.n_events, found.is_wrapped) == (8, False)
    assert found.event_of_frame(0, 0) == 0


def test_null_has_no_frame_and_an_empty_list_has_one_that_nobody_gets() -> None:
    found = TriggerMap.from_json(EXAMPLE, all_wrap=False)
    assert found.event(2).entries == ((0, (Target(GENERIC, key(0, 2)),)), (1, ()))


def test_event_of_one_worker_is_simple_although_a_frame_is_discarded() -> None:
    found = TriggerMap.from_json(EXAMPLE, all_wrap=False)
    assert (found.event(2).is_simple, found.event(2).key) == (True, key(0, 2))


@pytest.mark.parametrize("number", [0, 1, 3])
def test_event_of_several_workers_is_not_simple(number: int) -> None:
    event = TriggerMap.from_json(EXAMPLE, all_wrap=False).event(number)
    assert (event.is_simple, event.key) == (False, None)


def test_one_generic_worker_for_all_is_not_simple_if_it_is_a_broadcast_or_needs_a_tag() -> None:
    found = TriggerMap.from_json({"a": [[{}], [{"tags": ["gpu"], "constraint": 0}]]}, all_wrap=False)
    assert [found.event(n).is_simple for n in range(2)] == [False, False]


def test_virtual_worker_without_a_word_is_all_generic_ones() -> None:
    assert TriggerMap.from_json({"a": [[{}]]}, all_wrap=False).event(0).entries == ((0, (Target(GENERIC, None),)),)


def test_event_without_any_frame_has_no_entries() -> None:
    assert TriggerMap.from_json({"a": [None], "b": [None]}, all_wrap=False).event(0).entries == ()


def test_constraints_of_the_next_instance_are_other_workers() -> None:
    found = TriggerMap.from_json(EXAMPLE, all_wrap=False)
    assert found.event(0).entries[0] == (0, (Target(GENERIC, key(0, 0)),))
    assert found.event(4).entries[0] == (0, (Target(GENERIC, key(1, 0)),))


def test_stream_that_a_part_does_not_name_has_no_frames_in_it() -> None:
    parts = {"line": {"a": {"each": 3}, "b": {"each": 3}}, "turn": {"b": {"each": 2}}}
    found = TriggerMap.from_json({"parts": parts, "sequence": ["line", "turn", "line"]}, all_wrap=False)
    assert [stream for stream, _ in found.event(3).entries] == [1]
    assert [found.event_of_frame(0, k) for k in range(7)] == [0, 1, 2, 5, 6, 7, None]
    assert found.frame_index(0, 4) is None
    assert (found.n_frames(0), found.n_frames(1)) == (6, 8)


def test_entries_of_an_event_come_in_the_order_of_their_part() -> None:
    parts = {"one": {"a": {"each": 1}, "b": {"each": 1}}, "two": {"b": {"each": 1}, "a": {"each": 1}}}
    found = TriggerMap.from_json({"parts": parts, "sequence": ["one", "two"]}, all_wrap=False)
    assert found.streams == ("a", "b")
    assert [[stream for stream, _ in found.event(n).entries] for n in range(2)] == [[0, 1], [1, 0]]


def test_part_of_no_events_changes_nothing() -> None:
    parts = {"none": {"a": []}, "two": {"a": {"each": 2}}}
    found = TriggerMap.from_json({"parts": parts, "sequence": ["none", "two", "none", "two", "none"]}, all_wrap=False)
    assert [found.event(n).key for n in range(4)] == [key(1, 0), key(1, 1), key(3, 0), key(3, 1)]
    assert [found.event_of_frame(0, k) for k in range(5)] == [0, 1, 2, 3, None]
    assert [found.frame_index(0, n) for n in range(4)] == [0, 1, 2, 3]


@pytest.mark.parametrize("number", [-1, 10])
def test_event_outside_the_map_is_an_index_error(number: int) -> None:
    found = TriggerMap.from_json(EXAMPLE)
    with pytest.raises(IndexError, match=f"event {number} is not in the map, which has 10"):
        found.event(number)
    with pytest.raises(IndexError, match=f"event {number} is not in the map, which has 10"):
        found.frame_index(0, number)


def test_long_sequence_of_short_parts_is_looked_up_anywhere() -> None:
    n = 50_000
    found = TriggerMap.from_json({"parts": {"line": {"a": {"each": 3}}}, "sequence": ["line"] * n})
    assert found.n_events == 3 * n + 2
    assert found.event(3 * n).key == key(n, 2)
    assert found.event_of_frame(0, 3 * n + 1) == 3 * n + 1
    assert found.event(1).key == key(1, 0)


def test_over_long_map_for_an_open_scan_costs_nothing() -> None:
    found = TriggerMap.uniform(["eiger", "orca"], 1 << 32)
    assert found.event(1 << 32).key == key(1, (1 << 32) - 1)
    assert found.n_required_workers == 1


def test_uniform_map_is_one_part_called_main() -> None:
    assert TriggerMap.uniform(["a"], 2, all_wrap=False).to_json_object() == {
        "parts": {"main": {"mapping": {"a": [[{"tags": ["generic"], "constraint": i}] for i in range(2)]}}},
        "sequence": ["main"],
    }


@pytest.mark.parametrize("n_events", [-1, True, 2.0, "5", None, 1 << 60])
def test_number_of_events_that_is_none_is_refused(n_events: Any) -> None:
    with pytest.raises(UsageError, match="number of events is"):
        TriggerMap.uniform(["a"], n_events)


def test_unwrapped_map_of_no_events_is_refused_and_a_wrapped_one_is_start_and_end() -> None:
    assert TriggerMap.uniform(["a"], 0).n_events == 2
    with pytest.raises(UsageError, match="no events"):
        TriggerMap.uniform(["a"], 0, all_wrap=False)


def test_sardana_scan_uses_the_known_ones_of_its_streams() -> None:
    announced = {"streams": ["orca", "other"], "scan": {"nb_points": 3, "title": "ascan"}, "more": 1}
    found = TriggerMap.from_sardana_hook(announced, ["eiger", "orca"])
    assert (found.streams, found.n_events) == (("orca",), 5)
    assert found.to_json_object()["sequence"] == [WRAP_PART, "sardana", WRAP_PART]


@pytest.mark.parametrize(
    ("announced", "problem"),
    [
        ({"streams": ["a"]}, "no scan info"),
        ([], "no scan info"),
        ({"streams": ["a"], "scan": {}}, "no nb_points in scan"),
        ({"scan": {"nb_points": 1}}, "streams required"),
        ({"streams": [["a"]], "scan": {"nb_points": 1}}, "streams required"),
        ({"streams": ["b"], "scan": {"nb_points": 1}}, "none of the streams b is known; there are: a"),
        ({"streams": ["a"], "scan": {"nb_points": "1"}}, "number of events is '1'"),
        ({"streams": ["a"], "scan": {"nb_points": -1}}, "number of events is -1"),
    ],
)
def test_sardana_scan_that_says_too_little_is_refused(announced: Any, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        TriggerMap.from_sardana_hook(announced, ["a"])


def test_streams_that_are_not_there_are_named() -> None:
    found = TriggerMap.from_json(EXAMPLE)
    with pytest.raises(UsageError, match=r"^streams \{'eiger', 'i0'\} not available$"):
        found.check(["sardana", "orca"], [GENERIC] * 9)


def test_as_many_workers_are_needed_as_one_event_has_constraints() -> None:
    found = TriggerMap.from_json(EXAMPLE)
    found.check(list(EVERY_KIND), [GENERIC] * 2)
    with pytest.raises(UsageError, match=r"^only 1 workers available, but 2 required$"):
        found.check(list(EVERY_KIND), [GENERIC])


def test_part_that_is_never_recorded_needs_no_workers() -> None:
    parts = {"main": {"a": {"each": 1}}, "spare": {"a": [[{"constraint": 0}, {"constraint": 1}]]}}
    TriggerMap.from_json({"parts": parts, "sequence": ["main"]}).check(["a"], [GENERIC])


def test_constraint_whose_tags_no_worker_offers_is_refused() -> None:
    found = TriggerMap.from_json({"a": {"each": 5, "tags": ["gpu", "big"]}})
    with pytest.raises(UsageError, match="part 'main': no worker has the tags big, gpu; workers have: generic, gpu"):
        found.check(["a"], [GENERIC, frozenset({"gpu"})])
    found.check(["a"], [frozenset({"gpu", "big", "generic"})])


def test_tap_that_nobody_listens_to_is_no_error() -> None:
    TriggerMap.from_json({"a": [[{"constraint": 0}, {"tags": ["debug"]}]]}).check(["a"], [GENERIC])


def test_parts_too_long_to_be_looked_through_are_refused() -> None:
    with pytest.raises(UsageError, match="repeat a shorter part"):
        TriggerMap.from_json({"a": {"each": MAX_CELLS}, "b": {"each": MAX_CELLS, "group": 2}})


def test_events_of_very_many_targets_are_made_a_few_at_a_time() -> None:
    workers = [{"constraint": i} for i in range(200)]
    found = TriggerMap.from_json({f"s{i}": {"repeat": workers, "n": 1000} for i in range(50)}, all_wrap=False)
    assert found.n_required_workers == 200
    assert found.event(999).entries[49][1][199] == Target(GENERIC, 199)
    assert found.event(0).entries[0][1][0] == Target(GENERIC, 0)
