"""DECTRIS stream V2: messages that no detector would send."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cbor2
import pytest

from dectris_v2_messages import PIXELS, image_message, image_of, recorded_series, tagged, with_value
from glimt.codecs.cbor_items import MAX_ITEMS, SELF_DESCRIBED
from glimt.codecs.dectris_v2 import decode, nanoseconds, seconds
from glimt.model.errors import DecodeError


@pytest.fixture(scope="session")
def eiger16m(shared_data: Path) -> dict[str, bytes]:
    return recorded_series(shared_data)


@pytest.mark.parametrize("denominator", [0, -1])
def test_times_without_a_unit_are_refused(denominator: int) -> None:
    with pytest.raises(DecodeError, match="time 5/"):
        nanoseconds((5, denominator))
    with pytest.raises(DecodeError, match="time 5/"):
        seconds((5, denominator))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"data": None}, "no key 'data'"),
        ({"image_id": None}, "missing required field `image_id`"),
        ({"image_id": -1}, "`int` >= 0"),
        ({"image_id": 2**63}, "`int` <= 9223372036854775807"),
        ({"image_id": 2**400}, "image_id"),
        ({"image_id": 1.5}, "Expected `int`"),
        ({"series_id": "6"}, "Expected `int`"),
        ({"real_time": [1, 2, 3]}, "length 2"),
        ({"real_time": [1, "s"]}, r"\$.real_time\[1\]"),
        ({"real_time": tagged(2, bytes(100))}, "a big number"),
        ({"series_date": tagged(0, "yesterday")}, "series_date: 'yesterday' is not a date"),
        ({"series_date": tagged(0, 5e300)}, "is not a date"),
        ({"series_date": tagged(1, float("nan"))}, "is not a date"),
        ({"series_date": tagged(1, 10**18)}, "is not a date"),
        ({"series_date": tagged(0, [[]])}, "is not a date"),
        ({"series_date": 5}, "Expected `datetime . null`"),
        ({"type": 5}, "no text under 'type'"),
        ({"type": None}, "no text under 'type'"),
        ({"type": "start", "beam_center_x": "left"}, "beam_center_x"),
        ({"type": "start", "threshold_energy": {"a": "b"}}, "threshold_energy"),
        ({"type": "start", "threshold_energy": {1: 2.0}}, "threshold_energy"),
        ({"type": "start", "channels": ["a", 2]}, "channels"),
    ],
)
def test_fields_of_the_wrong_type_are_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        decode([image_message(**changes)])


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "ends at byte"),
        (b"\x81" * 200 + b"\x00", "more than .* levels"),
        (b"\xd8\x64" * 200 + b"\x00", "more than .* levels"),
        (b"\x9f" * 200 + b"\xff" * 200, "more than .* levels"),
        (b"\xa1\x00" * 200 + b"\x00", "more than .* levels"),
        (b"\x9b" + b"\xff" * 8, "items announced"),
        (b"\x9b\x00\x00\x01\x00\x00\x00\x00\x00", "items announced"),
        (b"\xbb" + b"\x7f" * 8, "items announced"),
        (b"\x5b" + b"\xff" * 8, "a string of 18446744073709551615 bytes"),
        (b"\x7b\x00\x00\x01\x00\x00\x00\x00\x00", "the message is cut"),
        (b"\x5f\x5f\xff\xff", "a string in chunks"),
        (b"\x5f\x61a\xff", "a string in chunks"),
        (b"\x5f\x41a", "ends at byte"),
        (b"\x5f\x00\xff", "a string in chunks"),
        (b"\x7f\x41a\xff", "a string in chunks"),
        (b"\x7f" * 40, "a string in chunks"),
        (b"\xbf\x00\xff", "after a key without value"),
        (b"\xff", "starts no item"),
        (b"\x1c", "starts no item"),
        (b"\x1f", "starts no item"),
        (b"\x1b\x00", "ends inside the item"),
        (b"\xd8\x1c\x81\xd8\x1d\x00", "tag 28 .references"),
        (b"\x81\xd8\x1d\x00", "tag 29 .references"),
        (b"\xd9\x01\x00\x81\xd8\x19\x00", "tag 256 .references"),
        (b"\x00\x00", "key that is no text"),
        (b"\x00\x61x\x00", "key 'x' at byte .* occurs twice"),
    ],
)
def test_hostile_cbor_is_refused_by_its_structure(raw: bytes, text: str) -> None:
    message = with_value(raw)
    if raw.startswith((b"\x00",)):
        message = b"\xa6" + message[1:]
    with pytest.raises(DecodeError, match=text):
        decode([message])


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\xc2\x58\x80" + b"\xff" * 128, "a big number"),
        (b"\xc3\x01", "a big number"),
        (b"\xc0\x63abc", "'abc' is not a date"),
        (b"\xc1\xfb\x7f\xf0" + bytes(6), "inf is not a date"),
        (b"\x62\xff\xff", "not UTF-8"),
        (b"\xa1\x80\x00", "cannot be one"),
        (b"\xa2\x01\x00\x01\x00", "occurs twice"),
        (b"\xf8\x18", "simple value 24 is reserved"),
        (b"\xd8\x28\x00", "tag 40 needs"),
        (b"\xd9\x04\x10\x82\x81\x01\x01", "tag 1040 needs"),
    ],
)
def test_hostile_values_of_unknown_keys_are_refused_when_they_are_read(raw: bytes, text: str) -> None:
    image = image_of(with_value(raw))
    with pytest.raises(DecodeError, match=text):
        _ = image.extra
    with pytest.raises(DecodeError, match="DECTRIS_V2 message, x"):
        _ = image.x
    assert "x=<DECTRIS_V2 message, x" in str(image)
    assert image.data.tolist() == PIXELS.tolist()


def test_tags_that_other_readers_act_upon_are_left_as_they_are() -> None:
    # A regular expression, a decimal of 10**9 digits, a rational, a MIME message, an address.
    for raw in (b"\xd8\x23\x63(a+", b"\xc4\x82\x1a\x3b\x9a\xca\x00\x01", b"\xd8\x1e\x82\x01\x00", b"\xd8\x24\x61x"):
        value = image_of(with_value(raw)).x
        assert isinstance(value, cbor2.CBORTag)


@pytest.mark.parametrize("item", [b"\x80", b"\x00", b"\x40"])
def test_a_message_of_very_many_items_is_refused(item: bytes) -> None:
    with pytest.raises(DecodeError, match=f"more than {MAX_ITEMS} items"):
        decode([with_value(b"\x9a" + (1_000_000).to_bytes(4, "big") + item * 1_000_000)])


def test_a_string_of_very_many_chunks_is_refused() -> None:
    with pytest.raises(DecodeError, match=f"more than {MAX_ITEMS} items"):
        decode([with_value(b"\x5f" + b"\x40" * 1_000_000 + b"\xff")])


def test_many_empty_keys_are_refused() -> None:
    message = b"\xba\x00\x10\x00\x00" + b"".join(b"\x63" + i.to_bytes(3, "big") + b"\x00" for i in range(4))
    with pytest.raises(DecodeError, match="a map of 1048576 keys, 20 bytes are left"):
        decode([message])


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([], "0 parts"),
        ([b"\xa0", b"\xa0"], "2 parts"),
        ([b""], "ends at byte 0"),
        ([SELF_DESCRIBED], "ends at byte 3"),
        ([SELF_DESCRIBED + SELF_DESCRIBED + b"\xa0"], "not a CBOR map"),
        ([b"\x80"], "not a CBOR map"),
        ([b'{"htype":"header"}'], "not a CBOR map"),
        ([b"\xa0"], "no text under 'type'"),
        ([b"\xbf"], "ends at byte 1"),
        ([b"\xa1\x64type\x63end"], "series_id"),
        ([b"\xa0\x00"], "1 bytes behind the map"),
    ],
)
def test_what_is_no_message_is_refused(frames: list[bytes], text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        decode(frames)


def test_recorded_messages_cut_anywhere_are_a_decode_error(eiger16m: dict[str, bytes]) -> None:
    for name in ("start", "end"):
        for length in range(len(eiger16m[name])):
            with pytest.raises(DecodeError):
                decode([eiger16m[name][:length]])
    for length in [*range(400), 513_000]:
        with pytest.raises(DecodeError):
            decode([eiger16m["image"][:length]])
