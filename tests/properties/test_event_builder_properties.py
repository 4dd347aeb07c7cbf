"""Whatever is lost, doubled or out of order: events pair equal numbers, and every packet is accounted for."""

from __future__ import annotations

import json
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from glimt.codecs.protocol import PacketKind
from glimt.codecs.stins import PROTOCOL
from glimt.model.trigger_map import TriggerMap
from glimt.pipeline.builder_stream import ITEM_BYTES, BuilderStream
from glimt.pipeline.event_builder import EventBuilder
from glimt.pipeline.ledger import StreamLedger
from glimt.pipeline.live_stream import LiveStream

REORDER = 8
SECOND = 1_000_000_000
Message = list[bytes]


def series(n_frames: int, *, first_frame: int, payload: int = 4) -> list[Message]:
    """Return a series in which the pixels of frame k are k, whatever number it has."""
    image = {"htype": "image", "shape": [payload], "type": "uint8", "compression": "none"}
    return [
        [json.dumps({"htype": "header", "msg_number": 0, "filename": ""}).encode()],
        *(
            [json.dumps(image | {"msg_number": k + 1, "frame": k + first_frame}).encode(), k.to_bytes(payload, "big")]
            for k in range(n_frames)
        ),
        [json.dumps({"htype": "series_end", "msg_number": n_frames + 1}).encode()],
    ]


def disturbed(messages: list[Message], chance: random.Random, *, loss: float, double: float, reorder: int) -> Any:
    """Lose, double and exchange data messages, none by more than ``reorder`` places; return them and what was lost."""
    kept: list[tuple[float, Message]] = []
    lost = set()
    for k, message in enumerate(messages[1:-1]):
        if chance.random() < loss:
            lost.add(k)
            continue
        kept.extend((k + chance.uniform(0, reorder), message) for _ in range(1 + (chance.random() < double)))
    kept.sort(key=lambda entry: entry[0])
    return [messages[0], *(message for _, message in kept), messages[-1]], lost


class Rig:
    """Streams and a builder, with everything that must be true after every call."""

    def __init__(self, n_streams: int, *, clock: str = "", **options: Any) -> None:
        self.ledgers = [StreamLedger("abcd"[index]) for index in range(n_streams)]
        join: dict[str, Any] = {"join": "clock", "number_field": clock} if clock else {}
        self.streams = [LiveStream(ledger.name, PROTOCOL, ledger, **join) for ledger in self.ledgers]
        self.builder = EventBuilder([BuilderStream(ledger.name, ledger) for ledger in self.ledgers], **options)
        self.budget = options.get("stream_bytes", 1 << 30)
        self.events: dict[int, dict[int, list[Any]]] = {}
        self.kinds: dict[int, PacketKind] = {}
        self.n_given = [0] * n_streams
        self.now = SECOND

    def push(self, index: int, messages: list[Message]) -> None:
        self.builder.push(index, self.streams[index].push_many(messages, self.now), self.now)
        self.look()

    def look(self) -> None:
        for event in self.builder.ready():
            assert event.event_number > max(self.events, default=-1)
            self.events[event.event_number] = dict(event.parts)
            self.kinds[event.event_number] = event.kind
            for part, _ in event.parts:
                self.n_given[part] += 1
        for index, ledger in enumerate(self.ledgers):
            ledger.check()
            assert ledger.pending == self.builder.n_held(index) + self.n_given[index]

    def data_events(self) -> dict[int, dict[int, int]]:
        """Return what the pixels of each part of each data event are."""
        return {
            number: {index: int.from_bytes(frames[1], "big") for index, frames in parts.items()}
            for number, parts in self.events.items()
            if self.kinds[number] is PacketKind.DATA
        }


def feed(rig: Rig, messages: list[list[Message]], chance: random.Random) -> None:
    """Push all messages, interleaved at random, each stream only when it may be read."""
    at = [0] * len(messages)
    while any(position < len(stream) for position, stream in zip(at, messages, strict=True)):
        waiting = [index for index, stream in enumerate(messages) if at[index] < len(stream)]
        readable = [index for index in waiting if rig.builder.may_read(index)]
        assert readable, "streams wait for each other"
        index = chance.choice(readable)
        n = chance.randint(1, 5) if rig.budget == 1 << 30 else 1
        rig.push(index, messages[index][at[index] : at[index] + n])
        at[index] += n
        if rig.budget < 1 << 30:
            for stream in range(len(messages)):
                largest = max(sum(map(len, message)) for message in messages[stream])
                assert rig.builder.held_bytes(stream) <= rig.budget + largest + ITEM_BYTES


settings = st.fixed_dictionaries(
    {
        "loss": st.sampled_from([0.0, 0.02, 0.3]),
        "double": st.sampled_from([0.0, 0.2]),
        "reorder": st.sampled_from([0, 3]),
    }
)


@given(st.integers(1, 3), st.integers(0, 40), settings, st.sampled_from([0, 1]), st.integers(0, 1 << 32))
def test_every_complete_event_pairs_equal_frames(
    n_streams: int, n_frames: int, disturbance: dict[str, Any], first_frame: int, seed: int
) -> None:
    chance = random.Random(seed)
    rig = Rig(n_streams, reorder_events=REORDER)
    made = [disturbed(series(n_frames, first_frame=first_frame), chance, **disturbance) for _ in range(n_streams)]
    feed(rig, [messages for messages, _ in made], chance)
    assert rig.builder.is_ended
    lost = [numbers for _, numbers in made]
    whole = {k for k in range(n_frames) if not any(k in numbers for numbers in lost)}
    assert rig.data_events() == {k + 1: dict.fromkeys(range(n_streams), k) for k in whole}
    assert rig.kinds[0] is PacketKind.START
    assert rig.kinds[max(rig.kinds)] is PacketKind.END
    last = max((k for k in range(n_frames) if not all(k in numbers for numbers in lost)), default=-1)
    assert max(rig.kinds) == last + 2
    for ledger, numbers in zip(rig.ledgers, lost, strict=True):
        assert ledger.n_missing == sum(k <= last for k in numbers)
        assert "late" not in ledger.dropped


@given(st.integers(1, 3), st.integers(1, 40), settings, st.integers(0, 1 << 32))
def test_incomplete_events_are_delivered_with_what_came_if_asked_for(
    n_streams: int, n_frames: int, disturbance: dict[str, Any], seed: int
) -> None:
    chance = random.Random(seed)
    rig = Rig(n_streams, reorder_events=REORDER, incomplete="deliver")
    made = [disturbed(series(n_frames, first_frame=0), chance, **disturbance) for _ in range(n_streams)]
    feed(rig, [messages for messages, _ in made], chance)
    expected = {k + 1: {index: k for index, (_, lost) in enumerate(made) if k not in lost} for k in range(n_frames)}
    assert rig.data_events() == {number: parts for number, parts in expected.items() if parts}
    assert all(set(ledger.dropped) <= {"repeated"} for ledger in rig.ledgers)


@given(st.integers(2, 3), st.integers(1, 40), settings, st.integers(0, 1 << 32))
def test_a_clock_pairs_what_was_recorded_at_the_same_time(
    n_streams: int, n_frames: int, disturbance: dict[str, Any], seed: int
) -> None:
    chance = random.Random(seed)
    rig = Rig(n_streams, clock="extra.t", clock_tolerance=0.4, reorder_events=REORDER, incomplete="deliver")
    made = []
    for first_frame in range(n_streams):
        messages = series(n_frames, first_frame=first_frame)
        for k, message in enumerate(messages[1:-1]):
            message[0] = message[0].replace(b"{", b'{"t": %f, ' % (k + chance.uniform(-0.2, 0.2)), 1)
        made.append(disturbed(messages, chance, **(disturbance | {"reorder": 0})))
    feed(rig, [messages for messages, _ in made], chance)
    assert rig.builder.is_ended
    lost = [numbers for _, numbers in made]
    assert rig.data_events() == {
        k + 1: {index: k for index in range(n_streams) if k not in lost[index]}
        for k in range(n_frames)
        if k not in lost[0]
    }
    assert all(set(ledger.dropped) <= {"repeated", "incomplete"} for ledger in rig.ledgers)


entries = st.sampled_from([None, [], [{"constraint": 0}], [{"constraint": 1}, {"tags": ["debug"]}]])


@given(
    st.integers(1, 30).flatmap(lambda n: st.lists(st.lists(entries, min_size=n, max_size=n), min_size=1, max_size=3)),
    settings,
    st.integers(0, 1 << 32),
)
def test_with_a_map_every_packet_goes_where_its_entry_is(
    columns: list[list[Any]], disturbance: dict[str, Any], seed: int
) -> None:
    chance = random.Random(seed)
    n_streams = len(columns)
    trigger_map = TriggerMap.from_json(
        {"parts": {"main": {"abcd"[index]: column for index, column in enumerate(columns)}}, "sequence": ["main"]}
    )
    rig = Rig(n_streams, trigger_map=trigger_map, reorder_events=REORDER, incomplete="deliver")
    made, expected = [], {number: {} for number in range(1, len(columns[0]) + 1)}  # type: ignore[var-annotated]
    for index, column in enumerate(columns):
        numbers = [number for number, entry in enumerate(column, start=1) if entry is not None]
        messages, lost = disturbed(series(len(numbers), first_frame=0), chance, **disturbance)
        made.append(messages)
        for k, number in enumerate(numbers):
            if column[number - 1] and k not in lost:
                expected[number][index] = k
    feed(rig, made, chance)
    assert rig.builder.is_ended
    assert rig.data_events() == {number: parts for number, parts in expected.items() if parts}
    assert all(set(ledger.dropped) <= {"repeated", "discarded"} for ledger in rig.ledgers)
    last = len(columns[0]) + 1
    if not any(entry for column in columns for entry in column):  # no tag occurs: not even the start goes anywhere
        assert not rig.events
        return
    assert [sorted(rig.events[number]) for number in (0, last)] == [list(range(n_streams))] * 2


@given(st.integers(2, 3), st.integers(1, 60), settings, st.integers(1, 12), st.integers(0, 1 << 32))
def test_held_bytes_stay_within_the_budget_and_streams_never_wait_for_each_other(
    n_streams: int, n_frames: int, disturbance: dict[str, Any], n_packets: int, seed: int
) -> None:
    chance = random.Random(seed)
    rig = Rig(n_streams, reorder_events=REORDER, stream_bytes=n_packets * 1000, late_s=None)
    made = [
        disturbed(series(n_frames, first_frame=0, payload=chance.choice([4, 900])), chance, **disturbance)
        for _ in range(n_streams)
    ]
    feed(rig, [messages for messages, _ in made], chance)
    assert rig.builder.is_ended
    assert all(len(set(parts.values())) == 1 for parts in rig.data_events().values())
    assert all(len(parts) == n_streams for parts in rig.data_events().values())


def image(frame: int) -> Message:
    return [series(1, first_frame=frame)[1][0].replace(b'"msg_number": 1', b'"msg_number": %d' % (frame + 1)), b"abcd"]


def header(number: int, name: str) -> Message:
    return [json.dumps({"htype": "header", "msg_number": number, "filename": name}).encode()]


def series_end(number: int) -> Message:
    return [json.dumps({"htype": "series_end", "msg_number": number}).encode()]


anything = st.one_of(
    st.builds(header, st.integers(0, 5), st.sampled_from(["", "x"])),
    st.builds(image, st.integers(0, 12) | st.integers(0, 1 << 62)),
    st.builds(series_end, st.integers(0, 9)),
    st.lists(st.binary(max_size=8), max_size=3),
)
pushes = st.tuples(st.integers(0, 2), st.lists(anything, max_size=4), st.sampled_from([0, 0.3, 2]))


@given(
    st.integers(1, 3),
    st.lists(pushes, max_size=40),
    st.sampled_from(["drop", "deliver"]),
    st.sampled_from(["numbers", "map", "clock"]),
    st.booleans(),
)
def test_after_stop_nothing_waits_whatever_was_sent(
    n_streams: int, steps: list[Any], incomplete: str, joined: str, deliver_waiting: bool
) -> None:
    names = "abcd"[:n_streams]
    kinds: dict[str, dict[str, Any]] = {
        "numbers": {},
        "map": {"trigger_map": TriggerMap.uniform(list(names), 5)},
        "clock": {"clock": "frame", "clock_tolerance": 1.0},
    }
    rig = Rig(n_streams, incomplete=incomplete, late_s=1.0, reorder_events=2, **kinds[joined])
    for index, messages, wait_s in steps:
        rig.push(index % n_streams, messages)
        rig.now += round(wait_s * SECOND)
        rig.builder.tick(rig.now)
        rig.look()
    rig.builder.stop(rig.now, deliver_waiting=deliver_waiting)
    rig.look()
    assert rig.builder.is_ended
    later = rig.builder.next_scan()
    for index, ledger in enumerate(rig.ledgers):
        assert rig.builder.held_bytes(index) == 0
        assert ledger.pending == rig.n_given[index] + sum(bool(item.frames) for item in later[index])


def test_one_percent_loss_in_two_long_streams_is_gaps_and_pairs_and_nothing_else() -> None:
    n_frames, chance = 10_000, random.Random(7)
    rig = Rig(2, reorder_events=REORDER)
    made = [
        disturbed(series(n_frames, first_frame=first), chance, loss=0.01, double=0.01, reorder=4) for first in (0, 1)
    ]
    at = 0
    while any(at < len(messages) for messages, _ in made):
        for index, (messages, _) in enumerate(made):
            rig.push(index, messages[at : at + 50])
        at += 50
    lost = made[0][1] | made[1][1]
    assert 150 < len(lost) < 260
    assert rig.data_events() == {k + 1: {0: k, 1: k} for k in range(n_frames) if k not in lost}
    for index, ledger in enumerate(rig.ledgers):
        own, other = made[index][1], made[1 - index][1]
        assert ledger.n_missing == len(own)
        assert ledger.dropped.get("incomplete", 0) == len(other - own)
    assert rig.builder.n_delivered + rig.builder.n_incomplete + rig.builder.n_missed == n_frames + 2
