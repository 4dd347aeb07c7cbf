from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import pytest

from captures import pixels, stins_messages, write_capture
from glimt.codecs import stins
from glimt.codecs.capture import encode_item
from glimt.model.errors import CaptureError, UsageError
from glimt.model.event import InternalWorkerMessage, StreamData
from glimt.sources import capture
from glimt.sources.capture import CaptureReader


def read_all(path: Path, **options: Any) -> list[InternalWorkerMessage]:
    with CaptureReader(path, **options) as reader:
        return list(reader.messages())


@pytest.mark.parametrize("name", ["small.cbors", "small.cbors.gz"])
def test_messages_are_the_same_however_they_are_read(name: str, tmp_path: Path) -> None:
    expected = stins_messages(40, period_s=0.01)
    path = write_capture(tmp_path / name, expected)
    with CaptureReader(path, times=True) as reader:
        assert list(reader.messages()) == expected
        assert reader.progress() == 1.0


def test_times_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "a.cbors", stins_messages(3, period_s=0.01))
    assert all(message.created_at is None for message in read_all(path))


def test_extents_select_the_same_events(tmp_path: Path) -> None:
    expected = stins_messages(20)
    path = write_capture(tmp_path / "a.cbors", expected)
    extents = list(CaptureReader(path).extents())
    assert [extent.event_number for extent in extents] == list(range(22))
    assert extents[-1].end == path.stat().st_size
    reader = CaptureReader(path)
    reader.select(extents[5].offset, extents[9].end)
    assert list(reader.messages()) == expected[5:10]


def test_large_frames_and_small_ones_mix(tmp_path: Path) -> None:
    expected = []
    for number in range(12):
        size = 200_000 if number % 3 == 0 else 20
        expected.append(InternalWorkerMessage(number, {"a": StreamData("T", [bytes([number]) * size])}))
    path = write_capture(tmp_path / "mixed.cbors", expected)
    assert read_all(path) == expected


def test_items_that_cross_a_chunk_are_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture, "_FIRST_CHUNK", 1000)
    monkeypatch.setattr(capture, "_CHUNK", 3000)
    expected = stins_messages(150)
    path = write_capture(tmp_path / "a.cbors", expected)
    assert read_all(path) == expected
    assert len(list(CaptureReader(path).extents())) == 152


def test_several_streams_and_odd_names_in_one_item(tmp_path: Path) -> None:
    expected = [
        InternalWorkerMessage(
            n, {"strøm": StreamData("T", [b"1"]), "b": StreamData("U", []), "": StreamData("", [b""])}
        )
        for n in range(5)
    ]
    path = write_capture(tmp_path / "a.cbors", expected)
    assert read_all(path) == expected


@pytest.mark.parametrize("name", ["a.cbors", "a.cbors.gz"])
def test_a_truncated_capture_gives_all_whole_events_then_the_offset_and_the_last_good_one(
    name: str, tmp_path: Path
) -> None:
    messages = stins_messages(30)
    path = write_capture(tmp_path / name, messages)
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-100]))
    else:
        os.truncate(path, path.stat().st_size - 100)
    with CaptureReader(path) as reader:
        read = reader.messages()
        assert [next(read) for _ in range(30)] == messages[:30]
        with pytest.raises(CaptureError, match=r"truncated.* at byte \d+; last good event is 29") as error:
            next(read)
    assert error.value.last_event == 29
    assert error.value.offset > sum(len(encode_item(message)) for message in messages[:30])
    with CaptureReader(path) as reader:
        extents = reader.extents()
        assert [next(extents).event_number for _ in range(30)] == list(range(30))
        with pytest.raises(CaptureError):
            next(extents)


def test_a_cut_gzip_file_names_the_file(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "a.cbors.gz", stins_messages(30))
    os.truncate(path, path.stat().st_size - 20)
    with pytest.raises(CaptureError, match=r"a.cbors.gz: (cannot be read|truncated).*at byte"):
        read_all(path)


def test_a_foreign_file_says_that_it_is_none(tmp_path: Path) -> None:
    path = tmp_path / "image.h5"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(2000))
    with pytest.raises(CaptureError, match="no event before it is readable"):
        read_all(path)


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read capture .*none.cbors: No such file"):
        CaptureReader(tmp_path / "none.cbors")
    with pytest.raises(UsageError, match="cannot read capture"):
        CaptureReader(tmp_path)


def test_the_recorded_capture_has_the_pixels_of_the_listing(shared_data: Path) -> None:
    messages = read_all(shared_data / "dranspose" / "dump_xrd.cbors")
    images = [stins.decode(message.streams["xrd"].frames) for message in messages[1:10]]
    means = [float(image.data[:2, 8:].mean()) for image in images]
    assert means == [9.25, 11.25, 11.75, 4.25, 2.25, 3, 4.75, 7.75, 10.75]


def test_generated_pixels_come_back(tmp_path: Path) -> None:
    path = write_capture(tmp_path / "a.cbors", stins_messages(3, shape=(4, 5)))
    second = read_all(path)[2]
    assert (stins.decode(second.streams["xrd"].frames).data == pixels(1, (4, 5))).all()
