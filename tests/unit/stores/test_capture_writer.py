"""Writing captures."""

from __future__ import annotations

import gzip
import resource
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zmq

from glimt.codecs.capture import encode_item
from glimt.model.errors import StoreError, UsageError
from glimt.model.event import InternalWorkerMessage, StreamData
from glimt.sources.capture import CaptureReader
from glimt.stores.capture import CaptureWriter

WHEN = datetime(2026, 11, 21, 1, 50, 56, 156965, UTC)


def streams(*frames: bytes) -> dict[str, StreamData]:
    return {"xrd": StreamData("STINS", list(frames))}


def numbers(path: Path) -> list[int]:
    with CaptureReader(path) as reader:
        return [message.event_number for message in reader.messages()]


@contextmanager
def file_size_limit(n_bytes: int) -> Iterator[None]:
    """Make every file that is too long fail as a full disk does: in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_written_is_byte_for_byte_the_format(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.cbors"
    messages = [InternalWorkerMessage(0, streams(b"abc", b"defg"), WHEN), InternalWorkerMessage(7, streams(b"x" * 300))]
    with CaptureWriter(path) as writer:
        for message in messages:
            writer.write(message.event_number, message.streams, message.created_at)
    assert path.read_bytes() == b"".join(map(encode_item, messages))
    assert writer.n_bytes == path.stat().st_size


@pytest.mark.parametrize("frame", [zmq.Frame(b"pixels"), memoryview(b"pixels"), bytearray(b"pixels")])
def test_frames_may_be_any_buffer(tmp_path: Path, frame: object) -> None:
    with CaptureWriter(tmp_path / "a.cbors") as writer:
        writer.write(0, {"xrd": StreamData("STINS", [frame])})
    with CaptureReader(tmp_path / "a.cbors") as reader:
        assert [message.get_all_frames() for message in reader.messages()] == [[b"pixels"]]


def test_gz_in_the_name_compresses_and_reads_the_same(tmp_path: Path) -> None:
    for name in ("a.cbors", "a.cbors.gz"):
        with CaptureWriter(tmp_path / name) as writer:
            for number in range(100):
                writer.write(number, streams(b"abc" * 1000), WHEN)
                if number % 30 == 0:
                    writer.flush()
    assert gzip.decompress((tmp_path / "a.cbors.gz").read_bytes()) == (tmp_path / "a.cbors").read_bytes()
    assert (tmp_path / "a.cbors.gz").stat().st_size < 10_000
    assert numbers(tmp_path / "a.cbors.gz") == list(range(100))


def test_an_existing_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    path.write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"a\.cbors exists"):
        CaptureWriter(path)
    assert path.read_bytes() == b"precious"


def test_overwriting_keeps_the_old_file_until_something_new_comes(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    path.write_bytes(b"precious" * 1000)
    CaptureWriter(path, mode="overwrite").close()
    assert path.read_bytes() == b"precious" * 1000
    with CaptureWriter(path, mode="overwrite") as writer:
        writer.write(0, streams(b"abc"))
    assert numbers(path) == [0]


def test_appending_goes_on_behind_the_last_item(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    for _ in range(2):
        with CaptureWriter(path, mode="append") as writer:
            for number in range(3):
                writer.write(number, streams(b"abc"))
    assert numbers(path) == [0, 1, 2, 0, 1, 2]


def test_appending_removes_an_item_that_a_crash_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors"
    item = encode_item(InternalWorkerMessage(0, streams(b"abc")))
    path.write_bytes(item + item[:-2])
    with CaptureWriter(path, mode="append") as writer:
        writer.write(1, streams(b"abc"))
    assert numbers(path) == [0, 1]


@pytest.mark.parametrize(("name", "text"), [("a.cbors", "at byte 0"), ("a.cbors.gz", "cannot be appended to")])
def test_appending_to_something_else_is_refused(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"no capture at all")
    with pytest.raises(UsageError, match=text):
        CaptureWriter(path, mode="append")
    assert path.read_bytes() == b"no capture at all"


def test_two_writers_of_one_file_are_refused(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "a.cbors") as writer:
        writer.write(0, streams(b"abc"))
        with pytest.raises(UsageError, match="being written by another process"):
            CaptureWriter(tmp_path / "a.cbors", mode="append")


def test_a_file_into_which_nothing_came_is_removed(tmp_path: Path) -> None:
    CaptureWriter(tmp_path / "a.cbors").close()
    CaptureWriter(tmp_path / "a.cbors.gz").close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", "folder", "file/a.cbors"])
def test_a_path_that_cannot_be_a_file_is_a_usage_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match=r"cannot write capture|exists"):
        CaptureWriter(tmp_path / name)


@pytest.mark.parametrize(("n_items", "limit"), [(50, 2_500), (50, 2_000), (1, 10), (50, 100)])
def test_a_full_disk_leaves_whole_items_and_says_which_event_is_missing(
    tmp_path: Path, n_items: int, limit: int
) -> None:
    path = tmp_path / "a.cbors"
    item_bytes = len(encode_item(InternalWorkerMessage(1, streams(b"x" * 50))))
    writer = CaptureWriter(path)
    with file_size_limit(limit):
        for number in range(n_items):
            writer.write(number, streams(b"x" * 50))
        with pytest.raises(StoreError) as caught:
            writer.flush()
        n_whole = min(n_items, limit // item_bytes)
        assert f"{path}: cannot write event {n_whole}: File too large" in str(caught.value)
        with pytest.raises(StoreError, match=f"cannot write event {n_whole}"):  # once failed, it stays failed
            writer.write(n_items, streams(b"x"))
        writer.close()
    if n_whole:
        assert numbers(path) == list(range(n_whole))
        assert f"up to event {n_whole - 1} is readable" in str(caught.value)
    else:
        assert not path.exists()
        assert "nothing is readable" in str(caught.value)


def test_a_full_disk_leaves_a_compressed_capture_that_is_readable_to_its_last_block(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors.gz"
    noise = bytes(range(256))
    writer = CaptureWriter(path)
    for number in range(5):
        writer.write(number, streams(noise))
    writer.flush()
    with file_size_limit(path.stat().st_size + 300):
        writer.write(5, streams(bytes((37 * k * k) % 251 for k in range(5000))))
        with pytest.raises(StoreError, match=r"cannot write event 5: .*up to event 4 is readable"):
            writer.flush()
        writer.close()
    assert numbers(path) == [0, 1, 2, 3, 4]


def test_a_crash_costs_at_most_what_came_after_the_last_flush(tmp_path: Path) -> None:
    path = tmp_path / "a.cbors.gz"
    writer = CaptureWriter(path)
    for number in range(3):
        writer.write(number, streams(b"abc"))
    writer.flush()
    on_disk = path.read_bytes()  # what is there if the writer dies now
    items = [encode_item(InternalWorkerMessage(number, streams(b"abc"))) for number in range(3)]
    assert zlib.decompressobj(31).decompress(on_disk) == b"".join(items)
    writer.close()


def test_large_events_are_not_held_back(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path / "a.cbors")
    writer.write(0, streams(bytes(5 << 20)))
    assert (tmp_path / "a.cbors").stat().st_size > 5 << 20
    writer.close()


def test_a_negative_event_number_and_a_closed_writer_are_refused(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "a.cbors") as writer, pytest.raises(UsageError, match="negative"):
        writer.write(-1, streams(b""))
    with pytest.raises(UsageError, match="is closed"):
        writer.write(0, streams(b""))
    writer.close()
