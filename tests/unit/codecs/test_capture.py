from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from glimt.codecs.capture import BytesWindow, GzipWindow, ItemError, decode_item, encode_item, open_window, read_layout
from glimt.model.event import InternalWorkerMessage, StreamData


def test_an_item_is_byte_for_byte_what_dranspose_writes() -> None:
    when = datetime(2026, 11, 21, 1, 50, 56, 156965, tzinfo=UTC)
    message = InternalWorkerMessage(5, {"xrd": StreamData("STINS", [b"abc", b"defg"])}, when)
    expected = (
        bytes.fromhex("d9d9f7d9a77d8305a163787264d9a77e82655354494e538243616263446465666763"[:-2])
        + bytes.fromhex("c0781b")
        + b"2026-11-21T01:50:56.156965Z"
    )
    assert encode_item(message) == expected
    assert decode_item(expected) == message


def test_the_older_form_has_no_time() -> None:
    message = InternalWorkerMessage(5, {"xrd": StreamData("STINS", [b"abc"])})
    assert encode_item(message)[6] == 0x82
    assert decode_item(encode_item(message)).created_at is None


def test_every_item_of_the_recorded_capture_makes_the_round_trip(shared_data: Path) -> None:
    data = (shared_data / "dranspose" / "dump_xrd.cbors").read_bytes()
    window, offset, numbers = BytesWindow(data), 0, []
    while (layout := read_layout(window, offset)) is not None:
        item = data[offset : layout.end]
        assert encode_item(decode_item(item)) == item
        numbers.append(layout.event_number)
        offset = layout.end
    assert numbers == list(range(11))


ITEM = encode_item(InternalWorkerMessage(1, {"a": StreamData("T", [b"x" * 300])}, datetime(2026, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x89HDF\r\n\x1a\n", "not a capture"),
        (b"{" + b"a" * 40, "found text"),
        (b"\x82\x41a\x41b", "raw recording of multipart messages"),
        (ITEM.replace(b"\xd9\xa7\x7d", b"\xd9\xa7\x7c"), "found tag 42876"),
        (ITEM.replace(b"\xd9\xa7\x7e", b"\xd9\xa7\x7f"), "should be tag 42878, found tag 42879"),
        (ITEM.replace(b"\x83\x01", b"\x84\x01"), "at most 3"),
        (ITEM.replace(b"\x83\x01", b"\x81\x01"), "2 or 3 fields, found 1"),
        (ITEM.replace(b"\x83\x01", b"\x83\x20"), "event number should be a number, found a negative number"),
        (ITEM.replace(b"\x59\x01\x2c", b"\x5a\xff\xff\xff\xff"), "announces 4294967295 bytes"),
        (ITEM.replace(b"\x59\x01\x2c", b"\x5f\x01\x2c"), "indefinite or reserved length"),
        (ITEM.replace(b"\x61a", b"\x61\xff"), "not UTF-8"),
        (ITEM.replace(b"2026-01", b"2026-99"), "bad time stamp"),
        (ITEM + b"\x00", "1 bytes after the item"),
        (b"", "no data"),
    ],
)
def test_a_bad_item_says_what_is_wrong_and_where(data: bytes, says: str) -> None:
    with pytest.raises(ItemError) as error:
        decode_item(data)
    assert says in str(error.value)
    assert "byte " in str(error.value)


def test_every_truncation_is_known_as_one() -> None:
    for length in range(1, len(ITEM)):
        with pytest.raises(ItemError) as error:
            decode_item(ITEM[:length])
        assert error.value.truncated


def test_negative_event_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        encode_item(InternalWorkerMessage(-1, {}))


def test_compressed_captures_are_known_by_their_bytes_and_release_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "named_wrongly.cbors"
    path.write_bytes(gzip.compress(bytes(3 << 20) + b"end"))
    window = open_window(path)
    assert isinstance(window, GzipWindow)
    assert window.read(0, 4) == bytes(4)
    window.forget(2 << 20)
    assert window.read(3 << 20, 10) == b"end"
    assert not window.holds(3 << 20, 4)
    assert window.consumed(0) == window.size()
    window.close()


def test_damaged_compression_is_raised_where_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "cut.cbors.gz"
    path.write_bytes(gzip.compress(b"abc" * 1000)[:-12])
    window = open_window(path)
    with pytest.raises(EOFError):
        window.holds(0, 4000)
    window.close()


def test_what_lies_before_damaged_compression_can_be_read(tmp_path: Path) -> None:
    content = np.random.default_rng(1).bytes(100_000)
    path = tmp_path / "cut.cbors.gz"
    path.write_bytes(gzip.compress(content)[:60_000])
    window = open_window(path)
    assert content.startswith(window.read(0, 100_000))
    assert len(window.read(0, 100_000)) > 59_000
    with pytest.raises(EOFError):
        window.holds(0, 100_000)
    window.close()
