"""Event numbers of packets, and the account of what was wrong."""

from __future__ import annotations

import json

import pytest

from glimt.app.series import MAX_JUMP, SeriesNumbering
from glimt.codecs.albaem import PROTOCOL as ALBAEM
from glimt.codecs.protocol import Packet, PacketKind, WireProtocol
from glimt.codecs.stins import PROTOCOL


def start() -> list[bytes]:
    return [b'{"htype":"header","msg_number":0,"filename":""}']


def image(frame: int) -> list[bytes]:
    header = {"htype": "image", "msg_number": 1, "frame": frame, "shape": [1], "type": "uint8", "compression": "none"}
    return [json.dumps(header).encode(), b"\0"]


def end() -> list[bytes]:
    return [b'{"htype":"series_end","msg_number":9}']


def placed(numbering: SeriesNumbering, *messages: list[bytes]) -> list[int]:
    return [event.event_number for message in messages for event in numbering.events(message)]


@pytest.mark.parametrize("first", [0, 1, 17, -3])
def test_numbers_count_from_one_whatever_the_first_frame_is_called(first: int) -> None:
    numbering = SeriesNumbering(PROTOCOL)
    assert placed(numbering, start(), image(first), image(first + 1), end()) == [0, 1, 2, 3]
    assert numbering.account.is_whole
    assert numbering.account.remarks() == []


def test_lost_frames_leave_a_gap_and_shift_nothing() -> None:
    numbering = SeriesNumbering(PROTOCOL)
    assert placed(numbering, start(), image(0), image(3), image(4), image(6), end()) == [0, 1, 4, 5, 7, 8]
    assert numbering.account.n_missing == 3
    assert not numbering.account.is_whole
    assert numbering.account.remarks() == ["3 events are missing: 2 to 3, 6"]


def test_repeated_and_late_frames_are_left_out_and_counted() -> None:
    numbering = SeriesNumbering(PROTOCOL)
    assert placed(numbering, start(), image(0), image(1), image(1), image(0), image(2), end()) == [0, 1, 2, 3, 4]
    assert numbering.account.n_repeated == 2
    assert numbering.account.is_whole


def test_packets_outside_a_series_are_left_out_and_counted() -> None:
    numbering = SeriesNumbering(PROTOCOL)
    messages = [image(5), end(), start(), image(0), end(), image(1), end()]
    assert placed(numbering, *messages) == [0, 1, 2]
    assert numbering.account.n_outside == 4
    assert numbering.account.is_whole


def test_every_series_begins_at_zero_and_one_without_end_is_told() -> None:
    numbering = SeriesNumbering(PROTOCOL)
    assert placed(numbering, start(), image(0), start(), image(1), end()) == [0, 1, 0, 1, 2]
    assert numbering.account.remarks() == ["1 of 2 series without an end packet"]


def test_bad_messages_are_counted_and_the_first_is_quoted() -> None:
    numbering = SeriesNumbering(PROTOCOL)
    assert placed(numbering, start(), [], [b"\xff"], [b"{}"], image(0), end()) == [0, 1, 2]
    assert numbering.account.n_bad == 3
    assert not numbering.account.is_whole
    assert numbering.account.first_bad == "stins: a message without parts (message 2)"


def test_an_absurd_frame_number_does_not_spoil_the_rest_of_the_series() -> None:
    numbering = SeriesNumbering(PROTOCOL)
    messages = [start(), image(0), image(1 << 60), image(MAX_JUMP + 1), image(1), end()]
    assert placed(numbering, *messages) == [0, 1, 2, 3]
    assert numbering.account.n_bad == 2
    assert "ahead of the one before" in numbering.account.first_bad


def test_many_gaps_are_counted_and_a_few_are_shown() -> None:
    numbering = SeriesNumbering(PROTOCOL)
    placed(numbering, start(), *(image(2 * k) for k in range(1000)), end())
    assert numbering.account.n_missing == 999
    assert numbering.account.remarks() == ["999 events are missing: 2, 4, 6, 8, 10, ..."]


class Unnumbered:
    """Assembler of a protocol without frame numbers."""

    def push(self, parts: list[bytes]) -> list[Packet]:
        return [Packet(PacketKind(parts[0].decode()), parts)]


def test_without_frame_numbers_the_order_of_arrival_counts_and_heartbeats_are_no_events() -> None:
    numbering = SeriesNumbering(WireProtocol("plain", "plain", ALBAEM.decode, ALBAEM.encode, Unnumbered))
    kinds = [b"other", b"start", b"data", b"other", b"data", b"end", b"other"]
    assert placed(numbering, *([kind] for kind in kinds)) == [0, 1, 2, 3]
    assert numbering.account.n_other == 3
