from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from glimt.codecs.pixels import decode_pixels, encode_pixels
from glimt.codecs.pixels.narrow import decode_narrowed, narrow_pixels, widen_pixels
from glimt.model.errors import DecodeError, UsageError

SHAPE = (97, 131)


def _counts(dtype: str = "uint32") -> np.ndarray:
    return np.random.default_rng(5).poisson(3.0, SHAPE).astype(dtype)


def test_small_counts_come_out_as_uint16() -> None:
    frame = _counts()
    payload = encode_pixels(frame, compression="bslz4")
    pixels = decode_narrowed(payload, compression="bslz4", shape=SHAPE, dtype="uint32")
    assert pixels.dtype == np.uint16
    assert np.array_equal(pixels, frame)


@pytest.mark.parametrize("framing", ["hdf5", "bare"])
def test_both_framings_are_narrowed(framing: str) -> None:
    frame = _counts()
    payload = encode_pixels(frame, compression="bslz4", framing=framing)
    for told in ("auto", framing):
        pixels = decode_narrowed(payload, compression="bslz4", shape=SHAPE, dtype="uint32", framing=told)
        assert pixels.dtype == np.uint16
        assert np.array_equal(pixels, frame)


def test_gaps_and_bad_pixels_become_the_two_largest_numbers() -> None:
    frame = _counts()
    frame[40:44] = 2**32 - 1
    frame[3, 5] = 2**32 - 2
    payload = encode_pixels(frame, compression="bslz4")
    pixels = decode_narrowed(payload, compression="bslz4", shape=SHAPE, dtype="uint32")
    assert pixels.dtype == np.uint16
    assert (pixels[40:44] == 65535).all()
    assert pixels[3, 5] == 65534
    assert np.array_equal(widen_pixels(pixels), frame)


@pytest.mark.parametrize("value", [65534, 65535, 65536, 2**31, 2**32 - 3])
@pytest.mark.parametrize("place", [0, 6000, SHAPE[0] * SHAPE[1] - 1])
def test_one_pixel_that_needs_more_keeps_the_frame_wide(value: int, place: int) -> None:
    frame = _counts()
    frame[::7] = 2**32 - 1
    frame.flat[place] = value
    payload = encode_pixels(frame, compression="bslz4")
    pixels = decode_narrowed(payload, compression="bslz4", shape=SHAPE, dtype="uint32")
    assert pixels.dtype == np.uint32
    assert np.array_equal(pixels, frame)


def test_largest_count_that_fits_is_narrowed() -> None:
    frame = _counts()
    frame[7, 7] = 65533
    pixels = decode_narrowed(
        encode_pixels(frame, compression="bslz4"), compression="bslz4", shape=SHAPE, dtype="uint32"
    )
    assert pixels.dtype == np.uint16
    assert pixels[7, 7] == 65533


def test_signed_pixels_become_int16() -> None:
    frame = _counts("int32")
    frame[1], frame[2], frame[3, 3], frame[4, 4] = -1, -2, -32768, 32767
    payload = encode_pixels(frame, compression="bslz4")
    pixels = decode_narrowed(payload, compression="bslz4", shape=SHAPE, dtype="int32")
    assert pixels.dtype == np.int16
    assert np.array_equal(pixels, frame)
    frame[90, 90] = 32768
    payload = encode_pixels(frame, compression="bslz4")
    pixels = decode_narrowed(payload, compression="bslz4", shape=SHAPE, dtype="int32")
    assert pixels.dtype == np.int32
    assert np.array_equal(pixels, frame)


def test_narrowed_frame_is_in_the_callers_memory() -> None:
    out = np.empty(SHAPE, np.uint32)
    payload = encode_pixels(_counts(), compression="bslz4")
    pixels = decode_narrowed(payload, compression="bslz4", shape=SHAPE, dtype="uint32", out=out)
    assert pixels.ctypes.data == out.ctypes.data
    assert pixels.shape == SHAPE


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "uint64"])
def test_other_types_come_as_they_are(dtype: str) -> None:
    frame = _counts(dtype)
    pixels = decode_narrowed(encode_pixels(frame, compression="bslz4"), compression="bslz4", shape=SHAPE, dtype=dtype)
    assert pixels.dtype == dtype
    assert np.array_equal(pixels, frame)


@pytest.mark.parametrize("compression", ["none", "lz4"])
def test_other_compressions_come_as_they_are(compression: str) -> None:
    frame = _counts()
    payload = encode_pixels(frame, compression=compression)
    pixels = decode_narrowed(payload, compression=compression, shape=SHAPE, dtype="uint32")
    assert pixels.dtype == np.uint32
    assert np.array_equal(pixels, frame)


def test_sizes_are_checked_before_anything_is_written() -> None:
    payload = encode_pixels(_counts(), compression="bslz4")
    out = np.full(SHAPE, 77, np.uint32)
    lying = struct.pack(">QI", 4 * SHAPE[0] * SHAPE[1] + 4, 8192) + payload[12:]
    with pytest.raises(DecodeError, match="the payload holds"):
        decode_narrowed(lying, compression="bslz4", shape=SHAPE, dtype="uint32", out=out)
    with pytest.raises(DecodeError, match="does not fit the buffer"):
        decode_narrowed(payload, compression="bslz4", shape=SHAPE, dtype="uint32", out=out.view(np.int32))
    with pytest.raises(DecodeError, match="cannot hold"):
        decode_narrowed(struct.pack(">QI", 2**30, 8192), compression="bslz4", shape=[2**14, 2**14], dtype="uint32")
    read_only = out.copy()
    read_only.flags.writeable = False
    with pytest.raises(UsageError, match="writable"):
        decode_narrowed(payload, compression="bslz4", shape=SHAPE, dtype="uint32", out=read_only)
    assert (out == 77).all()


def test_cut_payload_says_where_it_ends() -> None:
    payload = encode_pixels(_counts(), compression="bslz4")
    with pytest.raises(DecodeError, match=r"image 3: the block at byte \d+ has an impossible length"):
        decode_narrowed(payload[:-40], compression="bslz4", shape=SHAPE, dtype="uint32", where="image 3")
    with pytest.raises(DecodeError, match="bytes follow the last block"):
        decode_narrowed(payload + b"1234", compression="bslz4", shape=SHAPE, dtype="uint32")


def test_only_32_bit_pixels_are_narrowed_and_only_16_bit_ones_widened() -> None:
    with pytest.raises(UsageError, match="cannot be narrowed"):
        narrow_pixels(np.zeros(3, np.uint64))
    with pytest.raises(UsageError, match="were not narrowed"):
        widen_pixels(np.zeros(3, np.uint32))


PROGRAM = """
import sys
import numpy as np
from glimt.codecs.pixels.narrow import decode_narrowed
for dtype in ("uint16", "uint32"):
    payload = open(f"{sys.argv[1]}/{dtype}.bslz4", "rb").read()
    pixels = decode_narrowed(payload, compression="bslz4", shape=[4097], dtype=dtype)
    assert (pixels == np.load(f"{sys.argv[1]}/{dtype}.npy")).all()
print("same")
"""


@pytest.mark.slow
def test_processor_without_special_instructions_decodes_the_same(tmp_path: Path) -> None:
    for dtype in ("uint16", "uint32"):
        frame = np.random.default_rng(1).integers(0, 60000, 4097).astype(dtype)
        np.save(tmp_path / f"{dtype}.npy", frame)
        (tmp_path / f"{dtype}.bslz4").write_bytes(encode_pixels(frame, compression="bslz4"))
    environment = os.environ | {"NUMBA_CPU_NAME": "generic", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "same\n", done.stderr


def test_plain_decoding_agrees_with_narrowing_on_a_detector_frame() -> None:
    frame = np.random.default_rng(9).poisson(0.9, (514, 1030)).astype(np.uint32)
    frame[256:258] = 2**32 - 1
    payload = encode_pixels(frame, compression="bslz4")
    wide = decode_pixels(payload, compression="bslz4", shape=frame.shape, dtype="uint32")
    narrow = decode_narrowed(payload, compression="bslz4", shape=frame.shape, dtype="uint32")
    assert narrow.dtype == np.uint16
    assert np.array_equal(narrow, narrow_pixels(wide))
