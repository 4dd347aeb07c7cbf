"""Recordings played as if the device were there."""

from __future__ import annotations

import re
import time
from pathlib import Path

import cbor2
import pytest
import zmq

from captures import stins_messages, write_capture
from glimt.codecs.protocol import PacketKind
from glimt.codecs.registry import PROTOCOLS
from glimt.model.errors import UsageError
from glimt.model.event import InternalWorkerMessage, StreamData
from glimt.sources.capture import CaptureReader
from glimt.sources.capture_player import CapturePlayer
from raw_recordings import recorded_messages


def play_to_the_end(player: CapturePlayer, *, limit: int = 64, seconds: float = 20) -> list[list[bytes]]:
    poller = zmq.Poller()
    poller.register(player.socket, zmq.POLLIN)
    messages: list[list[bytes]] = []
    deadline = time.monotonic() + seconds
    while not player.state().is_ended:
        assert time.monotonic() < deadline, player.state()
        if poller.poll(20):
            messages += player.receive_ready(limit)
    return messages


def frames_of(messages: list[InternalWorkerMessage], stream: str = "xrd") -> list[list[bytes]]:
    return [message.streams[stream].frames for message in messages]


@pytest.mark.parametrize("name", ["a.cbors", "a.cbors.gz"])
def test_messages_of_a_capture_come_whole_and_in_order_as_often_as_asked(tmp_path: Path, name: str) -> None:
    recorded = stins_messages(200)
    path = write_capture(tmp_path / name, recorded)
    with CapturePlayer(path, speed=0, loops=3) as player:
        assert play_to_the_end(player, limit=7) == 3 * frames_of(recorded)
        state = player.state()
        assert (state.n_messages, state.last_error, state.connected) == (606, "", False)


def test_one_stream_of_several_is_played(tmp_path: Path) -> None:
    recorded = stins_messages(20)
    for message in recorded:
        message.streams["other"] = StreamData("albaem", [b"{}"])
    path = write_capture(tmp_path / "a.cbors", recorded)
    with CapturePlayer(path, stream="xrd", speed=0) as player:
        assert play_to_the_end(player) == frames_of(recorded)
    with pytest.raises(UsageError, match="other, xrd"):
        CapturePlayer(path, speed=0)
    with pytest.raises(UsageError, match=r"'eiger'; .* has other, xrd"):
        CapturePlayer(path, stream="eiger", speed=0)


def test_a_stream_that_comes_late_in_the_file_is_found(tmp_path: Path) -> None:
    recorded = [*stins_messages(1200), *stins_messages(3, stream="late")]
    path = write_capture(tmp_path / "a.cbors", recorded)
    with CapturePlayer(path, stream="late", speed=0) as player:
        assert play_to_the_end(player) == frames_of(recorded[-5:], "late")
    with CapturePlayer(path, stream="never", speed=0, loops=0) as player:
        assert play_to_the_end(player) == []
        assert "no stream 'never'" in player.state().last_error


def test_nothing_is_lost_and_little_is_read_while_it_is_not_taken(tmp_path: Path) -> None:
    recorded = stins_messages(1000)
    path = write_capture(tmp_path / "a.cbors", recorded)
    with CapturePlayer(path, speed=0, queue_bytes=2000) as player:
        time.sleep(0.1)
        assert player._queue.n_waiting < 15
        assert not player.state().is_ended
        assert play_to_the_end(player, limit=3) == frames_of(recorded)


@pytest.mark.parametrize(("speed", "least_s"), [(1.0, 0.4), (4.0, 0.1)])
def test_it_keeps_the_recorded_pace_times_a_factor(tmp_path: Path, speed: float, least_s: float) -> None:
    path = write_capture(tmp_path / "a.cbors", stins_messages(19, period_s=0.02))
    began = time.monotonic()
    with CapturePlayer(path, speed=speed) as player:
        assert len(play_to_the_end(player)) == 21
    assert least_s <= time.monotonic() - began < least_s + 10


def test_a_rate_paces_files_without_times(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "a.cbors", stins_messages(19))
    began = time.monotonic()
    with CapturePlayer(path, rate_hz=100) as player:
        assert len(play_to_the_end(player)) == 21
    assert time.monotonic() - began >= 0.2
    with pytest.raises(UsageError, match="rate_hz"):
        CapturePlayer(path)


def test_damage_ends_it_with_the_reason_after_what_is_good(tmp_path: Path) -> None:
    recorded = stins_messages(10)
    path = write_capture(tmp_path / "a.cbors", recorded)
    path.write_bytes(path.read_bytes()[:-20])
    with CapturePlayer(path, speed=0, loops=5) as player:
        assert play_to_the_end(player) == frames_of(recorded[:-1])
        assert "truncated" in player.state().last_error


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x81",
        b"\xd9\xd9\xf7\xd9\xa7\x7d",
        b"\xd9\xa7\x7d\x9b" + (1 << 40).to_bytes(8, "big"),
        b"\x1f\x8b\x08junk",
    ],
)
def test_files_that_are_nothing_are_refused_or_end_at_once_with_the_reason(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.cbors"
    path.write_bytes(content)
    if content.startswith((b"\xd9", b"\x1f")):
        with pytest.raises(UsageError, match=re.escape(str(path))):
            CapturePlayer(path, speed=0, loops=0)
        return
    with CapturePlayer(path, speed=0, loops=0) as player:
        assert play_to_the_end(player) == []
        assert str(path) in player.state().last_error


def test_a_folder_or_nothing_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.cbors"):
        with pytest.raises(UsageError, match="cannot read"):
            CapturePlayer(path, speed=0)


def test_a_raw_recording_has_no_named_streams_and_no_times(tmp_path: Path) -> None:
    path = tmp_path / "raw.cbors"
    path.write_bytes(cbor2.dumps([b"a", b"b"]) + cbor2.dumps([b"c"]))
    with CapturePlayer(path, speed=0, loops=2) as player:
        assert play_to_the_end(player) == 2 * [[b"a", b"b"], [b"c"]]
    with pytest.raises(UsageError, match="'xrd'"):
        CapturePlayer(path, speed=0, stream="xrd")
    with pytest.raises(UsageError, match="no times"):
        CapturePlayer(path)


def test_closing_is_prompt_while_it_waits_for_the_next_event_or_for_room(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "a.cbors", stins_messages(100, period_s=100))
    for player in (CapturePlayer(path), CapturePlayer(path, speed=0, queue_bytes=10)):
        time.sleep(0.05)
        began = time.monotonic()
        player.close()
        player.close()
        assert time.monotonic() - began < 10
        assert not player._thread.is_alive()


def test_a_real_capture_reaches_the_assembler_as_its_device_sent_it(shared_data: Path) -> None:
    path = shared_data / "dranspose" / "dump_xrd.cbors"
    with CaptureReader(path) as reader:
        expected = frames_of(list(reader.messages()))
    assembler = PROTOCOLS["stins"].assembler()
    with CapturePlayer(path, speed=0) as player:
        packets = [packet for parts in play_to_the_end(player) for packet in assembler.push(parts)]
    assert [packet.frames for packet in packets] == expected
    assert packets[0].kind is PacketKind.START


@pytest.mark.parametrize(
    ("name", "protocol"),
    [
        ("maui-02-continuous-3.cbor.gz", "lecroy"),
        ("xspress3-dump.cbors", "xspress3"),
        ("pcap-zmq.cbors", "pandabox"),
        ("contrast-dump.cbors", "contrast"),
        ("albaem-dump.cbors", "albaem"),
        ("eiger-small.cbors", "dectris-v1"),
    ],
)
def test_raw_recordings_and_captures_made_of_them_give_the_same_packets(
    shared_data: Path, tmp_path: Path, name: str, protocol: str
) -> None:
    spoken = PROTOCOLS[protocol]
    raw = shared_data / "dranspose" / name
    assembler = spoken.assembler()
    with CapturePlayer(raw, speed=0) as player:
        messages = play_to_the_end(player)
    assert messages == recorded_messages(raw)
    packets = [packet for parts in messages for packet in assembler.push(parts) if packet.kind is not PacketKind.OTHER]
    recorded = [
        InternalWorkerMessage(number, {"s": StreamData(spoken.typ, packet.frames)})
        for number, packet in enumerate(packets)
    ]
    path = write_capture(tmp_path / "a.cbors", recorded)
    assembler = spoken.assembler()
    with CapturePlayer(path, speed=0) as player:
        again = [packet for parts in play_to_the_end(player) for packet in assembler.push(parts)]
    again = [packet for packet in again if packet.kind is not PacketKind.OTHER]
    assert [(packet.kind, packet.frame_number) for packet in again] == [
        (packet.kind, packet.frame_number) for packet in packets
    ]
    assert [packet.frames for packet in again] == [packet.frames for packet in packets]
