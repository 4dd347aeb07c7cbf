"""Raw recordings of multipart messages."""

from __future__ import annotations

import gzip
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glimt.codecs.capture import encode_item
from glimt.model.errors import DecodeError, UsageError
from glimt.model.event import InternalWorkerMessage, StreamData
from glimt.sources.multipart_recording import MultipartRecording

MESSAGES = [[b"a", b"b" * 300], [b""], [b"c" * 70_000]]


def read(path: Path) -> list[list[bytes]]:
    with MultipartRecording(path) as recording:
        return list(recording.messages())


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_messages_come_back_part_by_part_plain_and_compressed(tmp_path: Path) -> None:
    data = b"".join(map(cbor2.dumps, MESSAGES))
    assert read(written(tmp_path / "a.cbors", data)) == MESSAGES
    assert read(written(tmp_path / "a.cbors.gz", gzip.compress(data))) == MESSAGES


def test_text_parts_and_self_described_items_are_accepted(tmp_path: Path) -> None:
    assert read(written(tmp_path / "a", cbor2.dumps(["ü"]) + b"\xd9\xd9\xf7" + cbor2.dumps([b"x"]))) == [
        ["ü".encode()],
        [b"x"],
    ]


def test_an_empty_file_has_no_messages(tmp_path: Path) -> None:
    assert read(written(tmp_path / "a", b"")) == []


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (cbor2.dumps([b"ok"]) + cbor2.dumps([b"long" * 10])[:-1], r"truncated.*at byte 7; 1 messages before it"),
        (cbor2.dumps([b"ok"]) + b"\x82\x41", r"truncated: the data end inside part 0 of message 1"),
        (cbor2.dumps([b"ok"]) + b"\x82\x41x", r"truncated: the data end where part 1 of message 1 should be at byte 7"),
        (b"\x81\x5b\x00\x00\x01\x00\x00\x00\x00\x00", "announces 1099511627776 bytes, at most"),
        (b"\x81\x5b\x00\x00\x00\x00\x7f\x00\x00\x00", "truncated: the data end inside part 0"),
        (b"\x9b\x00\x00\x01\x00\x00\x00\x00\x00", "announces 1099511627776 parts, at most 4096"),
        (b"\x81\x9b\x00\x00\x01\x00\x00\x00\x00\x00", "should be bytes, found an array"),
        (b"\x9f\x41a\xff", "indefinite or reserved length"),
        (b"\x81\x19", "the data end inside part 0"),
        (cbor2.dumps({"a": 1}), "should be an array of byte strings, found a map at byte 0; no message before it"),
        (cbor2.dumps(cbor2.CBORTag(28, [b"x"])), "found tag 28"),
        (b"\x89PNG\r\n\x1a\n", "truncated: the data end inside part 0 of message 0"),
    ],
)
def test_damage_names_file_byte_and_what_is_good(tmp_path: Path, data: bytes, text: str) -> None:
    with pytest.raises(DecodeError, match=text) as caught:
        read(written(tmp_path / "a.cbors", data))
    assert str(caught.value).startswith(f"{tmp_path}/a.cbors: ")
    assert "at byte" in str(caught.value)


def test_a_capture_is_told_from_a_recording(tmp_path: Path) -> None:
    item = encode_item(InternalWorkerMessage(0, {"xrd": StreamData("STINS", [b"x"])}))
    with pytest.raises(DecodeError, match="glimt replay takes this file as it is"):
        read(written(tmp_path / "a.cbors", item))


def test_a_cut_compressed_file_gives_what_is_whole_and_then_an_error(tmp_path: Path) -> None:
    data = gzip.compress(b"".join(cbor2.dumps([bytes([k]) * 200_000]) for k in range(20)), compresslevel=0)
    with MultipartRecording(written(tmp_path / "a.gz", data[: len(data) // 2])) as recording:
        messages = recording.messages()
        with pytest.raises(DecodeError, match="cannot be read"):
            for _ in messages:
                pass
        assert recording.n_messages == 9


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        MultipartRecording(tmp_path / "missing")


@given(st.binary(max_size=200))
def test_any_bytes_give_messages_or_a_decode_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = written(tmp_path_factory.getbasetemp() / "any.cbors", data)
    try:
        messages = read(path)
    except DecodeError:
        return
    assert all(isinstance(part, bytes) for message in messages for part in message)
