"""DECTRIS streams: what is encoded comes back, and no bytes whatever do more harm than a DecodeError."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import cbor2
import numpy as np
import numpy.typing as npt
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from glimt.codecs import dectris_v1, dectris_v2, eiger_legacy
from glimt.codecs.cbor_items import MAX_DEPTH, read_item, scan_map, skip_item
from glimt.codecs.cbor_record import encode_value
from glimt.codecs.dectris_v1 import DectrisV1Image
from glimt.codecs.dectris_v1_header import COUNTRATE_TABLE, FLATFIELD, PIXEL_MASK, DectrisV1Header
from glimt.codecs.dectris_v1_pixels import DectrisV1Times
from glimt.codecs.dectris_v2 import DectrisV2Image, DectrisV2Start
from glimt.codecs.typed_array import ChannelArrays, EncodedArray, pack_array
from glimt.model.errors import DecodeError

COUNTS = st.integers(0, 2**63 - 1)
NS = st.integers(-(2**63), 2**63 - 1)
COMPRESSIONS = st.sampled_from(["none", "lz4", "bslz4"])
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=40)
PIXELS = st.sampled_from(["uint8", "uint16", "uint32"]).flatmap(lambda name: hnp.arrays(name, SHAPES))
TEXTS = st.text(max_size=30)
SCALARS = st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats() | TEXTS | st.binary(max_size=30)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS | st.integers(0, 99), inner, max_size=5),
    max_leaves=20,
)


def same(a: Any, b: Any) -> bool:
    """Compare plain values; NaN is NaN, and 1, 1.0 and True are different."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


@given(PIXELS, COUNTS, COUNTS, COMPRESSIONS, NS, st.none() | st.binary(max_size=20))
def test_v1_images_come_back(
    pixels: npt.NDArray[Any], series: int, frame: int, compression: str, time_ns: int, appendix: bytes | None
) -> None:
    times = DectrisV1Times(real_time=time_ns, start_time=0, stop_time=time_ns)
    made = DectrisV1Image.make(
        pixels, series=series, frame=frame, compression=compression, times=times, appendix=appendix
    )
    frames = dectris_v1.encode(made)
    image = dectris_v1.decode(frames)
    assert isinstance(image, DectrisV1Image)
    np.testing.assert_array_equal(image.data, pixels)
    assert image.data.dtype == pixels.dtype
    assert (image.series, image.frame, image.times.real_time, image.appendix) == (series, frame, time_ns, appendix)
    assert dectris_v1.encode(image) == frames
    legacy = eiger_legacy.decode(frames)
    assert isinstance(legacy, eiger_legacy.EigerLegacyImage)
    assert legacy.data["buffer"] == frames[2]
    assert eiger_legacy.encode(legacy) == frames


@given(st.dictionaries(PIXELS.map(lambda _: "c") | TEXTS, PIXELS, min_size=1, max_size=3), COUNTS, COMPRESSIONS, PLAIN)
def test_v2_images_come_back(
    channels: dict[str, npt.NDArray[Any]], image_id: int, compression: str, user_data: Any
) -> None:
    made = DectrisV2Image(series_id=1, image_id=image_id, user_data=user_data)
    made.pack(channels, compression=compression)
    frames = dectris_v2.encode(made)
    image = dectris_v2.decode(frames)
    assert isinstance(image, DectrisV2Image)
    assert image.image_id == image_id
    assert same(image.user_data, user_data)
    assert list(image.channels) == list(channels)
    for name, pixels in channels.items():
        np.testing.assert_array_equal(image.channels[name], pixels)
        assert image.channels[name].dtype == pixels.dtype
    assert dectris_v2.encode(image) == frames


@given(PLAIN)
@example([[[[[[1.5]]]]]])
@example({"": -(2**64)})
def test_plain_values_are_read_as_cbor2_reads_them(value: Any) -> None:
    raw = memoryview(cbor2.dumps(value))
    assert skip_item(raw, 0, where="test")[0] == len(raw)
    assert same(read_item(raw, where="test"), cbor2.loads(bytes(raw)))
    assert same(read_item(raw, where="test"), value)


@given(st.floats(width=16) | st.floats(width=32) | st.floats())
def test_floats_of_every_width_are_read(value: float) -> None:
    canonical = memoryview(cbor2.dumps(value, canonical=True))
    assert same(read_item(canonical, where="test"), value)


@given(hnp.arrays(hnp.integer_dtypes() | hnp.floating_dtypes(sizes=(16, 32, 64)), hnp.array_shapes(max_dims=4)))
def test_arrays_anywhere_come_back(numbers: npt.NDArray[Any]) -> None:
    found = read_item(memoryview(encode_value({"a": [numbers]})), where="test")["a"][0]
    assert isinstance(found, EncodedArray)
    np.testing.assert_array_equal(np.asarray(found), numbers)
    assert found.decode().dtype == numbers.dtype.newbyteorder("=")


@given(hnp.arrays("uint16", st.integers(0, 3000)), st.sampled_from(["lz4", "bslz4"]))
def test_compressed_lists_of_numbers_come_back(numbers: npt.NDArray[Any], compression: str) -> None:
    raw = memoryview(encode_value(pack_array(numbers, compression=compression)))
    np.testing.assert_array_equal(np.asarray(read_item(raw, where="test")), numbers)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    view = memoryview(raw)
    with contextlib.suppress(DecodeError):
        end, _ = skip_item(view, 0, where="test")
        assert end <= len(raw)
        read_item(view[:end], where="test")
    with contextlib.suppress(DecodeError):
        spans = scan_map(b"\xbf" + raw + b"\xff", where="test")
        assert sum(len(span) for span in spans.values()) <= len(raw)


@given(st.integers(1, 2 * MAX_DEPTH), st.sampled_from([b"\x81", b"\x9f", b"\xa1\x00", b"\xbf\x00", b"\xc6"]))
def test_depth_is_bounded_for_every_container(depth: int, opening: bytes) -> None:
    raw = opening * depth + b"\x00" + b"\xff" * (depth if opening[0] & 31 == 31 else 0)
    try:
        end, _ = skip_item(memoryview(raw), 0, where="test")
    except DecodeError:
        assert depth > MAX_DEPTH
    else:
        assert end == len(raw)
        assert depth <= MAX_DEPTH
        read_item(memoryview(raw), where="test")


def _v1_messages() -> list[list[bytes]]:
    pixels = np.arange(600, dtype="u2").reshape(20, 30)
    tables: dict[Any, npt.NDArray[Any]] = {
        FLATFIELD: np.ones((2, 3), "f4"),
        PIXEL_MASK: np.ones((2, 3), "u4"),
        COUNTRATE_TABLE: np.ones((4, 2), "f4"),
    }
    config = {"nimages": 2, "ntrigger": 1, "trigger_mode": "ints"}
    return [
        DectrisV1Header.make(series=1, config=config, tables=tables, appendix=b'{"a":1}').to_frames(),
        *(
            DectrisV1Image.make(pixels, series=1, frame=0, compression=compression).to_frames()
            for compression in ("none", "lz4", "bslz4")
        ),
        [b'{"htype":"dseries_end-1.0","series":1}'],
    ]


def _v2_messages() -> list[bytes]:
    start = DectrisV2Start(series_id=1, user_data={"a": [1]}, threshold_energy={"c": 1.5})
    start.put("flatfield", {"c": np.ones((2, 3), "f4")})
    start.put("countrate_correction_lookup_table", pack_array(np.arange(2000, dtype="u4"), compression="bslz4"))
    messages = [start.to_frames()[0]]
    for compression in ("none", "lz4", "bslz4"):
        image = DectrisV2Image(series_id=1, image_id=0, real_time=(1, 5))
        image.pack({"c": np.arange(600, dtype="u2").reshape(20, 30)}, compression=compression)
        image.put("spots", [{"x": 1.5, "y": -2, "indexed": True}])
        image.put("date", cbor2.CBORTag(0, "2024-01-01T00:00:00Z"))
        messages.append(image.to_frames()[0])
    return messages


V1_MESSAGES, V2_MESSAGES = _v1_messages(), _v2_messages()


def mutate(content: bytes, edits: list[tuple[int, int]], cut: int | None) -> bytes:
    """Return ``content`` with bytes replaced at positions that wrap around, cut at one if wanted."""
    changed = bytearray(content)
    for at, value in edits:
        if changed:
            changed[at % len(changed)] = value
    return bytes(changed if cut is None else changed[: cut % (len(changed) + 1)])


EDITS = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=4)
CUTS = st.none() | st.integers(0, 5000)


def read_all(record: Any) -> None:
    """Touch everything that is decoded late."""
    names = (
        "extra data channels flatfield pixel_mask countrate_table countrate_correction_lookup_table number_of_images "
        "image_shape config info appendix times layout"
    )
    for name in names.split():
        with contextlib.suppress(DecodeError, AttributeError):
            value = getattr(record, name)
            if isinstance(value, ChannelArrays):
                for channel in value:
                    _ = value[channel]
    # A JSON record cannot print a key that begins with an underscore.
    if not any(b'"_' in part for part in record.to_frames()):
        assert str(record)


@settings(max_examples=300)
@given(st.sampled_from(V1_MESSAGES), st.integers(0, 8), EDITS, CUTS, st.booleans())
def test_mutated_v1_messages_are_read_or_refused(
    message: list[bytes], part: int, edits: list[tuple[int, int]], cut: int | None, drop: bool
) -> None:
    frames = list(message)
    part %= len(frames)
    frames[part] = mutate(frames[part], edits, cut)
    if drop:
        del frames[part]
    for codec in (dectris_v1, eiger_legacy):
        try:
            record = codec.decode(frames)
        except DecodeError:
            continue
        read_all(record)
        assert record.to_frames()[: len(frames)] == frames[: len(record.to_frames())]


@settings(max_examples=500)
@given(st.sampled_from(V2_MESSAGES), EDITS, CUTS)
def test_mutated_v2_messages_are_read_or_refused(message: bytes, edits: list[tuple[int, int]], cut: int | None) -> None:
    changed = mutate(message, edits, cut)
    try:
        record = dectris_v2.decode([changed])
    except DecodeError:
        return
    read_all(record)
    assert dectris_v2.encode(record) == [changed]
