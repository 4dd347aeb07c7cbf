"""The compact trigger map against a plain one: a list of dictionaries, looked at one by one."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from glimt.model.errors import UsageError
from glimt.model.trigger_map import WRAP_PART, TriggerMap
from glimt.model.trigger_map_part import CONSTRAINT_BITS

Entry = list[dict[str, Any]] | None

WORKERS = st.fixed_dictionaries(
    {},
    optional={
        "tags": st.lists(st.sampled_from(["generic", "debug", "g%d", 'q"]}']), min_size=1, max_size=2, unique=True),
        "constraint": st.none() | st.integers(0, 5) | st.sampled_from([2**32, 2**40 - 1]),
    },
)
SIMPLE_ENTRIES = st.integers(0, 9).map(lambda n: [{"constraint": n}])
ENTRIES: st.SearchStrategy[Entry] = SIMPLE_ENTRIES | st.none() | st.just([]) | st.lists(WORKERS, max_size=3)


WORDS = ["parts", "sequence", "each", "n", "repeat", "constraint", "tags", "mapping", "main"]
ALMOST_MAPS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=3),
)


@st.composite
def rules(draw: st.DrawFn, n_events: int) -> tuple[dict[str, Any], list[Entry]]:
    """A rule, and the list it stands for."""
    rule: dict[str, Any] = {}
    every, offset = 1, 0
    if draw(st.booleans()):
        every = rule["every"] = draw(st.integers(1, 6))
        offset = rule["offset"] = draw(st.integers(0, every - 1))
    if draw(st.booleans()):
        entry = draw(ENTRIES)
        rule |= {"repeat": entry, "n": n_events}
        return rule, [entry if i % every == offset else None for i in range(n_events)]
    rule["each"] = n_events
    group, cycle = draw(st.integers(1, 4)), draw(st.integers(1, 4) | st.just(1 << 30))
    rule |= {"group": group, "cycle": cycle}
    worker = draw(st.sampled_from([{}, {"tags": ["gpu"]}]))
    rule |= worker
    return rule, [
        [worker | {"constraint": i // group % cycle}] if i % every == offset else None for i in range(n_events)
    ]


@st.composite
def maps(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """A map to upload, and the same with lists only."""
    sent: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for part in draw(st.lists(st.sampled_from(["line", "turn", "dark"]), min_size=1, unique=True)):
        # Long ones are read by other means than short ones.
        n_events = draw(st.integers(1, 8) | st.integers(30, 90))
        sent[part], plain[part] = {}, {}
        for stream in draw(st.lists(st.sampled_from("abc"), min_size=1, unique=True)):
            if draw(st.booleans()):
                sent[part][stream], plain[part][stream] = draw(rules(n_events))
            else:
                few = draw(st.lists(draw(st.sampled_from([SIMPLE_ENTRIES, ENTRIES])), min_size=1, max_size=8))
                sent[part][stream] = plain[part][stream] = (few * n_events)[:n_events]
    sequence = draw(st.lists(st.sampled_from(sorted(sent)), min_size=1, max_size=5))
    return {"parts": sent, "sequence": sequence}, {"parts": plain, "sequence": sequence}


def spelled(entry: Entry) -> Entry:
    """Return the entry as GET answers it."""
    if entry is None:
        return None
    return [
        {"tags": sorted(worker.get("tags", ["generic"])), "constraint": worker.get("constraint")} for worker in entry
    ]


def plain_events(plain: dict[str, Any], *, all_wrap: bool) -> list[tuple[int, dict[str, Entry]]]:
    """Return instance and entries of every event."""
    streams = dict.fromkeys(stream for part in plain["parts"].values() for stream in part)
    parts, sequence = dict(plain["parts"]), list(plain["sequence"])
    if all_wrap:
        entries = [entry for part in parts.values() for column in part.values() for entry in column]
        tags = {tag for entry in entries for worker in entry or [] for tag in worker.get("tags", ["generic"])}
        parts[WRAP_PART] = {stream: [[{"tags": [tag]} for tag in sorted(tags)]] for stream in streams}
        sequence = [WRAP_PART, *sequence, WRAP_PART]
    return [
        (instance, {stream: parts[name][stream][i] for stream in parts[name]})
        for instance, name in enumerate(sequence)
        for i in range(len(next(iter(parts[name].values()))))
    ]


def plain_targets(entry: list[dict[str, Any]], instance: int) -> list[tuple[frozenset[str], int | None]]:
    targets = []
    for worker in entry:
        constraint = worker.get("constraint")
        key = None if constraint is None else (instance << CONSTRAINT_BITS) + constraint
        targets.append((frozenset(worker.get("tags", ["generic"])), key))
    return targets


@given(maps(), st.booleans(), st.sampled_from([None, 1]))
def test_every_event_is_that_of_the_plain_map(
    both: tuple[dict[str, Any], dict[str, Any]], all_wrap: bool, indent: int | None
) -> None:
    sent, plain = both
    found = TriggerMap.from_json(json.dumps(sent, indent=indent), all_wrap=all_wrap)
    expected = plain_events(plain, all_wrap=all_wrap)
    assert found.n_events == len(expected)
    for number, (instance, entries) in enumerate(expected):
        event = found.event(number)
        assert event.number == number
        there = [(found.streams.index(stream), entry) for stream, entry in entries.items() if entry is not None]
        assert [(stream, list(targets)) for stream, targets in event.entries] == [
            (stream, plain_targets(entry, instance)) for stream, entry in there
        ]
        targets = [target for _, entry in there for target in plain_targets(entry, instance)]
        several = any(len(entry) > 1 for _, entry in there)
        simple = {key for tags, key in targets if tags == {"generic"} and key is not None}
        is_simple = not several and len(simple) == 1 and all(target[1] in simple for target in targets)
        is_simple = is_simple and all(target[0] == {"generic"} for target in targets)
        assert event.is_simple == is_simple
        assert event.key == (simple.pop() if is_simple else None)


@given(maps(), st.booleans(), st.randoms())
def test_frames_of_a_stream_are_its_entries_that_are_not_null(
    both: tuple[dict[str, Any], dict[str, Any]], all_wrap: bool, random: Any
) -> None:
    sent, plain = both
    found = TriggerMap.from_json(sent, all_wrap=all_wrap)
    events = plain_events(plain, all_wrap=all_wrap)
    for index, stream in enumerate(found.streams):
        expected = [number for number, (_, entries) in enumerate(events) if entries.get(stream) is not None]
        assert found.n_frames(index) == len(expected)
        order = list(range(len(expected)))
        random.shuffle(order)
        assert [found.event_of_frame(index, k) for k in order] == [expected[k] for k in order]
        assert found.event_of_frame(index, len(expected)) is None
        assert found.event_of_frame(index, -1) is None
        frames = {number: k for k, number in enumerate(expected)}
        assert [found.frame_index(index, number) for number in range(len(events))] == [
            frames.get(number) for number in range(len(events))
        ]


@given(maps(), st.booleans())
def test_what_get_answers_is_the_plain_map_spelled_out_and_can_be_uploaded_again(
    both: tuple[dict[str, Any], dict[str, Any]], all_wrap: bool
) -> None:
    sent, plain = both
    found = TriggerMap.from_json(sent, all_wrap=all_wrap)
    answer = found.to_json_object()
    for name, part in plain["parts"].items():
        columns = {stream: [spelled(entry) for entry in column] for stream, column in part.items()}
        assert answer["parts"][name] == {"mapping": columns}
    wrap = [WRAP_PART] if all_wrap else []
    assert answer["sequence"] == wrap + plain["sequence"] + wrap
    again = TriggerMap.from_json(answer, all_wrap=False)
    assert again.to_json_object() == answer
    assert (again.streams, again.n_events, again.is_wrapped) == (found.streams, found.n_events, all_wrap)
    assert [again.event(n).entries for n in range(again.n_events)] == [
        found.event(n).entries for n in range(found.n_events)
    ]


@given(maps())
def test_as_many_workers_are_required_as_one_event_has_constraints(
    both: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    sent, plain = both
    events = plain_events(plain, all_wrap=False)
    constraints = [
        {worker.get("constraint") for entry in entries.values() for worker in entry or []} - {None}
        for _, entries in events
    ]
    assert TriggerMap.from_json(sent).n_required_workers == max(map(len, constraints))


@given(ALMOST_MAPS)
def test_any_json_is_a_map_or_refused(content: Any) -> None:
    _is_map_or_refused(json.dumps(content).encode())


@given(maps(), st.data())
def test_a_damaged_map_is_a_map_or_refused(both: tuple[dict[str, Any], dict[str, Any]], data: st.DataObject) -> None:
    body = bytearray(json.dumps(both[0]).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        stop = at + data.draw(st.integers(0, 4))
        body[at:stop] = data.draw(st.binary(max_size=2) | st.sampled_from([b"]", b"[", b"{", b"}", b",", b'"', b"1e5"]))
    _is_map_or_refused(bytes(body))


def _is_map_or_refused(body: bytes) -> None:
    try:
        found = TriggerMap.from_json(body)
    except UsageError:
        return
    # What is accepted is JSON to others too, and means to them what it means here.
    assert isinstance(json.loads(body), dict)
    assert TriggerMap.from_json(json.loads(body)).n_events == found.n_events
