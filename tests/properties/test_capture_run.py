"""Runs of alike items against the plain reader, and both against damage."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from glimt.codecs.capture import (
    BytesWindow,
    ItemError,
    ItemLayout,
    decode_item,
    encode_item,
    find_run,
    read_layout,
)
from glimt.model.errors import CaptureError
from glimt.model.event import InternalWorkerMessage, StreamData
from glimt.sources.capture import CaptureReader

names = st.text(min_size=0, max_size=6)
frames = st.lists(st.binary(max_size=300), max_size=4)
streams = st.dictionaries(names, st.builds(StreamData, names, frames), max_size=3)
times = st.none() | st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1)).map(lambda t: t.replace(tzinfo=UTC))
messages = st.builds(InternalWorkerMessage, st.integers(0, (1 << 63) - 1), streams, times)


@st.composite
def recordings(draw: st.DrawFn) -> list[InternalWorkerMessage]:
    """Draw runs of items that differ only in number, time and payload, one run after the other."""
    found = []
    number = draw(st.sampled_from([0, 20, 250, 65530]))
    for _ in range(draw(st.integers(1, 4))):
        sizes = draw(st.dictionaries(names, st.lists(st.integers(0, 30), max_size=3), max_size=2))
        typ, timed = draw(names), draw(st.booleans())
        for _ in range(draw(st.integers(1, 12))):
            filled = {
                name: StreamData(typ, [bytes([number % 256]) * n for n in lengths]) for name, lengths in sizes.items()
            }
            when = datetime(2026, 1, 1, microsecond=number % 1000, tzinfo=UTC) if timed else None
            found.append(InternalWorkerMessage(number, filled, when))
            number += draw(st.integers(0, 3))
    return found


def plain(data: bytes) -> list[ItemLayout]:
    """Lay out whole items one by one, up to the first that cannot be read."""
    window, offset, found = BytesWindow(data), 0, []
    with contextlib.suppress(ItemError):
        while (layout := read_layout(window, offset)) is not None:
            found.append(layout)
            offset = layout.end
    return found


@given(messages)
def test_messages_make_the_round_trip(message: InternalWorkerMessage) -> None:
    again = decode_item(encode_item(message))
    assert (again.event_number, again.streams, again.created_at) == (
        message.event_number,
        message.streams,
        message.created_at,
    )


def run_after_first(data: bytes) -> tuple[list[ItemLayout], list[ItemLayout]]:
    """Return what a run finds behind the first item, and what the plain reader finds there."""
    layouts = plain(data)
    if not layouts:
        return [], []
    first = layouts[0]
    run = find_run(data[first.end :], first, data[: first.end])
    if run is None:
        return [], layouts[1:]
    return [run.layout(row) for row in range(len(run.event_numbers))], layouts[1:]


@given(recordings())
def test_a_run_is_what_the_plain_reader_finds_and_ends_where_the_layout_changes(
    items: list[InternalWorkerMessage],
) -> None:
    data = b"".join(encode_item(item) for item in items)
    found, expected = run_after_first(data)
    assert found == expected[: len(found)]


@given(recordings(), st.data())
def test_a_run_stops_before_damage(items: list[InternalWorkerMessage], data: st.DataObject) -> None:
    intact = b"".join(encode_item(item) for item in items)
    damaged = bytearray(intact[: data.draw(st.integers(0, len(intact)))])
    for position in data.draw(st.lists(st.integers(0, max(0, len(damaged) - 1)), max_size=4)):
        if position < len(damaged):
            damaged[position] = data.draw(st.integers(0, 255))
    found, expected = run_after_first(bytes(damaged))
    assert found == expected[: len(found)]
    with contextlib.suppress(ItemError):  # and nothing else
        decode_item(bytes(damaged))


@given(recordings(), st.integers(0, 400), st.booleans())
def test_the_reader_gives_every_whole_event_of_any_recording(
    items: list[InternalWorkerMessage], cut: int, timed: bool
) -> None:
    data = b"".join(encode_item(item) for item in items)
    data = data[: max(0, len(data) - cut)]
    whole = [layout for layout in plain(data) if layout.end <= len(data)]
    read, extents = [], []
    with contextlib.suppress(CaptureError):
        for message in CaptureReader(Path("x"), times=timed, window=BytesWindow(data)).messages():
            read.append(message)  # noqa: PERF402 - what was read before the error counts
    with contextlib.suppress(CaptureError):
        for extent in CaptureReader(Path("x"), times=timed, window=BytesWindow(data)).extents():
            extents.append(extent[:3])  # noqa: PERF401
    expected = items[: len(whole)]
    if not timed:
        expected = [InternalWorkerMessage(item.event_number, item.streams) for item in expected]
    assert read == expected
    assert extents == [(layout.event_number, layout.offset, layout.end) for layout in whole]
