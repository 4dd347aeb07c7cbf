"""Recording from real sockets."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import zmq

from glimt.app.record import Recording, RecordingEnd, RecordOptions
from glimt.codecs.registry import PROTOCOLS
from glimt.model.errors import DecodeError, StoreError, UsageError
from glimt.model.event import InternalWorkerMessage
from glimt.sim.stins import StinsDetector, StinsSimulator
from glimt.sources.capture import CaptureReader
from glimt.sources.multipart_recording import MultipartRecording
from glimt.sources.zmq_socket import MAX_PARTS, ZmqSource

STINS = PROTOCOLS["stins"]
ANY_PORT = "tcp://127.0.0.1:*"
START = [b'{"htype":"header","msg_number":0,"filename":""}']
END = [b'{"htype":"series_end","msg_number":9}']


def image(frame: int) -> list[bytes]:
    header = {"htype": "image", "msg_number": 1, "frame": frame, "shape": [2], "type": "uint8", "compression": "none"}
    return [json.dumps(header).encode(), bytes([frame % 256, 1])]


def read(path: Path) -> list[InternalWorkerMessage]:
    with CaptureReader(path, times=True) as reader:
        return list(reader.messages())


def numbers(path: Path) -> list[int]:
    return [message.event_number for message in read(path)]


@contextmanager
def sender(address: str, kind: int = zmq.PUSH, *, bind: bool = False) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(kind) as socket:
        socket.setsockopt(zmq.SNDTIMEO, 20_000)
        (socket.bind if bind else socket.connect)(address)
        yield socket


@contextmanager
def recording(path: Path, **options: Any) -> Iterator[tuple[Recording, threading.Event, threading.Thread]]:
    """A recording that runs in a thread, bound to a free port unless told otherwise, and how to stop it."""
    options = {"protocol": STINS, "address": ANY_PORT, "bind": True} | options
    stop = threading.Event()
    with Recording(RecordOptions(output=path, **options)) as made:
        thread = threading.Thread(target=made.run, args=(stop.is_set,))
        thread.start()
        try:
            yield made, stop, thread
        finally:
            stop.set()
            thread.join()


def record_messages(path: Path, messages: list[list[bytes]], **options: Any) -> Recording:
    with recording(path, **options) as (made, _, thread), sender(made.address) as socket:
        for message in messages:
            socket.send_multipart(message)
        thread.join(20)
    return made


def test_a_simulated_series_is_recorded_frame_by_frame(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    began = datetime.now(UTC)
    with (
        StinsSimulator(StinsDetector((20, 30), rate_hz=0, n_frames=25), address=ANY_PORT) as simulator,
        recording(path, address=simulator.address, bind=False, stream="eiger") as (made, _, thread),
    ):
        report = simulator.run()
        thread.join(20)
    messages = read(path)
    assert [message.event_number for message in messages] == list(range(27))
    assert made.end is RecordingEnd.SERIES
    assert made.is_whole
    assert made.account.n_events == 27
    assert sum(len(frame) for message in messages for frame in message.get_all_frames()) == report.n_bytes
    assert {(name, data.typ) for message in messages for name, data in message.streams.items()} == {("eiger", "STINS")}
    times = [message.created_at for message in messages if message.created_at is not None]
    assert len(times) == 27
    assert began - timedelta(seconds=1) <= times[0] <= times[-1] <= datetime.now(UTC) + timedelta(seconds=1)


def test_gaps_bad_messages_and_stale_packets_are_counted_and_end_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    messages = [image(3), END, START, image(10), [b"\xff\x00"], image(11), image(11), image(14), [b""], END]
    made = record_messages(path, messages)
    assert numbers(path) == [0, 1, 2, 5, 6]
    account = made.account
    assert (account.n_outside, account.n_bad, account.n_repeated, account.n_missing) == (2, 2, 1, 2)
    assert not made.is_whole


def test_several_series_go_into_one_capture(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors.gz"
    record_messages(path, [START, image(0), END, image(9), START, image(0), END, START], n_series=2)
    assert numbers(path) == [0, 1, 2, 0, 1, 2]


def test_a_number_of_frames_ends_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    made = record_messages(path, [START, image(0), image(1), image(2), END], n_frames=2)
    assert numbers(path) == [0, 1, 2]
    assert made.end is RecordingEnd.FRAMES
    assert made.is_whole


def test_silence_ends_the_recording_and_inside_a_series_it_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    made = record_messages(path, [START, image(0)], timeout_s=0.5)
    assert made.end is RecordingEnd.TIMEOUT
    assert not made.is_whole
    assert numbers(path) == [0, 1]


def test_silence_from_the_beginning_leaves_no_file(tmp_path: Path) -> None:
    with Recording(RecordOptions(STINS, ANY_PORT, tmp_path / "a.cbors", bind=True, timeout_s=0.1)) as made:
        made.run()
    assert not made.is_whole
    assert list(tmp_path.iterdir()) == []


def test_what_came_is_in_the_file_within_a_moment_and_after_a_stop(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    with recording(path) as (made, stop, thread), sender(made.address) as socket:
        for message in (START, image(0), image(1)):
            socket.send_multipart(message)
        deadline = time.monotonic() + 30
        while numbers(path) != [0, 1, 2]:  # readable while it is recorded
            assert time.monotonic() < deadline, numbers(path)
            time.sleep(0.02)
        socket.send_multipart(image(2))
        while made.account.n_events < 4:
            assert time.monotonic() < deadline, made.account.n_events
            time.sleep(0.02)
        stop.set()
        thread.join(10)
    assert made.end is RecordingEnd.STOPPED
    assert made.is_whole
    assert numbers(path) == [0, 1, 2, 3]


def test_a_publisher_is_subscribed_to(tmp_path: Path, shared_data: Path) -> None:
    path = tmp_path / "a.cbors"
    with sender(ANY_PORT, zmq.PUB, bind=True) as socket:
        address = str(socket.get_string(zmq.LAST_ENDPOINT)).rstrip("\0")
        socket.setsockopt(zmq.SNDHWM, 0)
        protocol = PROTOCOLS["pandabox"]
        with recording(path, protocol=protocol, address=address, bind=False, socket="sub") as (made, _, thread):
            deadline = time.monotonic() + 10
            while not made.account.n_messages and time.monotonic() < deadline:  # until the subscription has arrived
                socket.send(b"hello?")
                time.sleep(0.01)
            with MultipartRecording(shared_data / "dranspose" / "pcap-zmq.cbors") as raw:
                for message in raw.messages():
                    socket.send_multipart(message)
            thread.join(20)
    assert numbers(path) == list(range(1502))
    assert made.account.n_bad >= 1


def test_a_sender_that_goes_away_and_comes_back_is_received_again(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    with sender(ANY_PORT, bind=True) as socket:
        address = str(socket.get_string(zmq.LAST_ENDPOINT)).rstrip("\0")
    with recording(path, address=address, bind=False) as (made, _, thread):
        with sender(address, bind=True) as socket:
            socket.send_multipart(START)
            socket.send_multipart(image(0))
            deadline = time.monotonic() + 20
            while made.account.n_events < 2 and time.monotonic() < deadline:
                time.sleep(0.02)
        with sender(address, bind=True) as socket:
            socket.send_multipart(image(1))
            socket.send_multipart(END)
            thread.join(20)
    assert numbers(path) == [0, 1, 2, 3]


def test_a_full_disk_is_one_line_with_file_and_event(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    options = RecordOptions(STINS, ANY_PORT, Path("/dev/full"), bind=True, mode="overwrite")
    with Recording(options) as made, sender(made.address) as socket:
        socket.send_multipart(START)
        socket.send_multipart(END)
        with pytest.raises(StoreError, match=r"^/dev/full: cannot write event 0: No space left on device"):
            made.run()


def test_a_message_of_too_many_parts_is_bad_and_the_next_is_good() -> None:
    with ZmqSource(ANY_PORT, bind=True) as source, sender(source.address) as socket:
        socket.send_multipart([b"x"] * (MAX_PARTS + 1))
        socket.send_multipart([b"y"] * MAX_PARTS)
        with pytest.raises(DecodeError, match=f"{MAX_PARTS + 1} parts"):
            source.receive(10)
        parts = source.receive(10)
        assert parts is not None
        assert len(parts) == MAX_PARTS
        assert source.receive(0) is None


def test_large_parts_are_not_copied_on_receipt() -> None:
    with ZmqSource(ANY_PORT, bind=True) as source, sender(source.address) as socket:
        socket.send_multipart([b"header", b"x" * 1_000_000])
        parts = source.receive(10)
    assert parts is not None
    assert all(isinstance(part, zmq.Frame) for part in parts)
    assert memoryview(parts[1]).nbytes == 1_000_000


def test_existing_file_and_bad_address_are_refused_before_anything_happens(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    path.write_bytes(b"precious")
    with pytest.raises(UsageError, match="exists"):
        Recording(RecordOptions(STINS, ANY_PORT, path, bind=True))
    with pytest.raises(UsageError, match="cannot connect to 'nonsense'"):
        Recording(RecordOptions(STINS, "nonsense", tmp_path / "b.cbors"))
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("wrong", [{"kind": "push"}, {"queue_messages": 0}])
def test_impossible_sockets_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        ZmqSource(ANY_PORT, bind=True, **wrong)


@pytest.mark.parametrize("wrong", [{"n_frames": 0}, {"n_series": -1}, {"timeout_s": 0}])
def test_impossible_ends_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="--"):
        RecordOptions(STINS, ANY_PORT, Path("a.cbors"), **wrong)
