"""The compiled scanner against its plain twin, and both against damage."""

from __future__ import annotations

import contextlib
import itertools
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from glimt.codecs.capture import BytesWindow, ItemError, ItemLayout, decode_item, encode_item, read_layout
from glimt.codecs.capture.scan import scan
from glimt.model.event import InternalWorkerMessage, StreamData

names = st.text(min_size=0, max_size=6)
frames = st.lists(st.binary(max_size=300), max_size=4)
streams = st.dictionaries(names, st.builds(StreamData, names, frames), max_size=3)
times = st.none() | st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)).map(lambda t: t.replace(tzinfo=UTC))
messages = st.builds(InternalWorkerMessage, st.integers(0, (1 << 63) - 1), streams, times)


def plain(data: bytes) -> list[ItemLayout]:
    """Lay out whole items one by one, up to the first that cannot be read."""
    window, offset, found = BytesWindow(data), 0, []
    try:
        while (layout := read_layout(window, offset)) is not None:
            found.append(layout)
            offset = layout.end
    except ItemError:
        pass
    return found


@given(messages)
def test_messages_make_the_round_trip(message: InternalWorkerMessage) -> None:
    again = decode_item(encode_item(message))
    assert (again.event_number, again.streams, again.created_at) == (
        message.event_number,
        message.streams,
        message.created_at,
    )


@given(st.lists(messages, max_size=6))
def test_scanner_finds_what_the_plain_reader_finds(items: list[InternalWorkerMessage]) -> None:
    data = b"".join(encode_item(item) for item in items)
    expected, table = plain(data), scan(data)
    assert [table.layout(data, row) for row in range(len(table.events))] == expected[: len(table.events)]
    if len(table.events) < len(expected):
        left = expected[len(table.events)]
        names_left = "".join(stream.name + stream.typ for stream in left.streams)
        assert len(left.streams) > 1 or not names_left.isascii(), "only these are left to the plain reader"


@given(st.lists(messages, min_size=1, max_size=4), st.data())
def test_damage_is_an_item_error_and_the_scanner_stops_before_it(
    items: list[InternalWorkerMessage], data: st.DataObject
) -> None:
    intact = b"".join(encode_item(item) for item in items)
    damaged = bytearray(intact[: data.draw(st.integers(0, len(intact)))])
    for position in data.draw(st.lists(st.integers(0, max(0, len(damaged) - 1)), max_size=4)):
        if position < len(damaged):
            damaged[position] = data.draw(st.integers(0, 255))
    table = scan(bytes(damaged))
    expected = plain(bytes(damaged))
    assert [table.layout(bytes(damaged), row) for row in range(len(table.events))] == expected[: len(table.events)]
    with contextlib.suppress(ItemError):  # and nothing else
        decode_item(bytes(damaged))


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3)), min_size=2, max_size=8))
def test_alike_events_are_marked(shapes: list[tuple[str, int]]) -> None:
    items = [InternalWorkerMessage(k, {name: StreamData("T", [b"x"] * n)}) for k, (name, n) in enumerate(shapes)]
    table = scan(b"".join(encode_item(item) for item in items))
    expected = [0] + [int(shape == before) for before, shape in itertools.pairwise(shapes)]
    assert table.events[:, 7].tolist() == expected
