from __future__ import annotations

import array
import struct
import subprocess
import sys

import numpy as np
import pytest

from glimt.codecs.pixels import decode_pixels, encode_pixels
from glimt.model.errors import DecodeError, UsageError

FRAME = (np.arange(35, dtype=np.uint16) * 7 % 50).reshape(5, 7)
BITSHUFFLE_OF_FRAME = bytes.fromhex(  # bitshuffle 0.5.2: bitshuffle.compress_lz4(FRAME)
    "00000024ff0aaaaaaaaa6619a6791e876118542ab552984c0683e070381c0001000f50000000000018001f002600"
)


def test_plain_pixels_are_a_read_only_view_of_the_payload() -> None:
    payload = bytearray(FRAME.tobytes())
    pixels = decode_pixels(payload, compression="none", shape=[5, 7], dtype="uint16")
    assert pixels.shape == (5, 7)
    assert not pixels.flags.writeable
    payload[:2] = b"\x09\x00"
    assert pixels[0, 0] == 9


def test_any_contiguous_buffer_is_a_payload() -> None:
    words = array.array("H", FRAME.ravel().tolist())
    assert np.array_equal(decode_pixels(words, compression="none", shape=[5, 7], dtype="uint16"), FRAME)
    packed = np.frombuffer(BITSHUFFLE_OF_FRAME, np.uint8).reshape(2, -1)
    assert np.array_equal(decode_pixels(packed.data, compression="bslz4", shape=[5, 7], dtype="uint16"), FRAME)


def test_payload_with_holes_is_refused() -> None:
    with pytest.raises(DecodeError, match="contiguous"):
        decode_pixels(memoryview(bytes(8))[::2], compression="none", shape=[4], dtype="uint8")


def test_plain_pixels_of_another_size_name_both_sizes() -> None:
    with pytest.raises(DecodeError, match=r"eiger image: 69 bytes, \[5, 7\] of uint16 has 70"):
        decode_pixels(bytes(69), compression="none", shape=[5, 7], dtype="uint16", where="eiger image")


@pytest.mark.parametrize("framing", ["auto", "bare"])
def test_what_bitshuffle_writes_is_decoded(framing: str) -> None:
    pixels = decode_pixels(BITSHUFFLE_OF_FRAME, compression="bslz4", shape=[5, 7], dtype="uint16", framing=framing)
    assert np.array_equal(pixels, FRAME)


@pytest.mark.parametrize("framing", ["auto", "hdf5"])
def test_sizes_in_front_are_recognized(framing: str) -> None:
    payload = struct.pack(">QI", 70, 8192) + BITSHUFFLE_OF_FRAME
    pixels = decode_pixels(payload, compression="bslz4", shape=[5, 7], dtype="uint16", framing=framing)
    assert np.array_equal(pixels, FRAME)


def test_elements_that_fill_no_byte_of_a_plane_are_stored_as_they_are() -> None:
    pixels = np.array([1, 2, 3], np.uint32)
    assert encode_pixels(pixels, compression="bslz4", framing="bare") == pixels.tobytes()
    assert decode_pixels(pixels.tobytes(), compression="bslz4", shape=[3], dtype="uint32").tolist() == [1, 2, 3]


def test_raw_element_that_looks_like_a_size_is_not_taken_for_one() -> None:
    payload = (8).to_bytes(8, "big")
    assert decode_pixels(payload, compression="bslz4", shape=[1], dtype="uint64").tobytes() == payload


def test_bare_lz4_block_is_decoded() -> None:
    block = bytes([0x14]) + b"a" + b"\x01\x00" + bytes([0x50]) + b"abcde"  # "a", 8 more of it, 5 literals
    pixels = decode_pixels(block, compression="lz4", shape=[14], dtype="uint8", framing="bare")
    assert pixels.tobytes() == b"a" * 9 + b"abcde"


def test_stored_block_of_the_hdf5_lz4_filter_is_copied() -> None:
    payload = struct.pack(">QI", 6, 4) + struct.pack(">I", 4) + b"abcd" + struct.pack(">I", 2) + b"ef"
    assert decode_pixels(payload, compression="lz4", shape=[6], dtype="uint8").tobytes() == b"abcdef"


def test_pixels_that_lz4_cannot_shrink_are_stored() -> None:
    noise = np.random.default_rng(1).integers(0, 256, 1000, np.uint8)
    payload = encode_pixels(noise, compression="lz4", block_bytes=300)
    assert len(payload) == 12 + 4 * 4 + 1000
    assert np.array_equal(decode_pixels(payload, compression="lz4", shape=[1000], dtype="uint8"), noise)


@pytest.mark.parametrize("compression", ["none", "lz4", "bslz4"])
@pytest.mark.parametrize("framing", ["hdf5", "bare"])
def test_frame_without_pixels_survives(compression: str, framing: str) -> None:
    payload = encode_pixels(np.empty((0, 7), np.float32), compression=compression, framing=framing)
    pixels = decode_pixels(payload, compression=compression, shape=[0, 7], dtype="float32")
    assert pixels.shape == (0, 7)
    assert pixels.dtype == np.float32


@pytest.mark.parametrize("compression", ["none", "lz4", "bslz4"])
def test_out_is_filled_and_returned(compression: str) -> None:
    out = np.empty((5, 7), np.uint16)
    payload = encode_pixels(FRAME, compression=compression)
    assert decode_pixels(payload, compression=compression, shape=[5, 7], dtype="uint16", out=out) is out
    assert np.array_equal(out, FRAME)


@pytest.mark.parametrize("compression", ["none", "bslz4"])
@pytest.mark.parametrize("out", [np.empty((7, 5), np.uint16), np.empty((5, 7), np.int16), np.empty(35, np.uint16)])
def test_out_for_other_pixels_is_refused(compression: str, out: np.ndarray) -> None:
    payload = encode_pixels(FRAME, compression=compression)
    with pytest.raises(DecodeError, match="does not fit the buffer"):
        decode_pixels(payload, compression=compression, shape=[5, 7], dtype="uint16", out=out)


def test_out_that_cannot_be_written_is_a_mistake_of_the_caller() -> None:
    read_only = np.empty((5, 7), np.uint16)
    read_only.flags.writeable = False
    for out in (read_only, np.empty((7, 5), np.uint16).T):
        with pytest.raises(UsageError, match="writable"):
            decode_pixels(BITSHUFFLE_OF_FRAME, compression="bslz4", shape=[5, 7], dtype="uint16", out=out)


def test_misaligned_out_is_filled() -> None:
    memory = np.zeros(71, np.uint8)
    out = memory[1:].view(np.uint16).reshape(5, 7)
    decode_pixels(BITSHUFFLE_OF_FRAME, compression="bslz4", shape=[5, 7], dtype="uint16", out=out)
    assert np.array_equal(out, FRAME)


def test_unknown_words_name_the_known_ones() -> None:
    with pytest.raises(DecodeError, match="'zstd' is not one of none, lz4, bslz4"):
        decode_pixels(b"", compression="zstd", shape=[1], dtype="uint8")
    with pytest.raises(UsageError, match="auto, hdf5, bare"):
        decode_pixels(b"", compression="lz4", shape=[1], dtype="uint8", framing="raw")
    with pytest.raises(UsageError, match="none, lz4, bslz4"):
        encode_pixels(FRAME, compression="zstd")
    with pytest.raises(UsageError, match="hdf5, bare"):
        encode_pixels(FRAME, compression="lz4", framing="auto")
    with pytest.raises(UsageError, match="number type"):
        encode_pixels(np.array([True]), compression="none")
    with pytest.raises(UsageError, match="multiple of 16"):
        encode_pixels(FRAME, compression="bslz4", block_bytes=24)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (struct.pack(">QI", 72, 8192), "holds 72 bytes of pixels, shape and type have 70"),
        (struct.pack(">QI", 70, 0), "block size 0 is not a multiple of 16"),
        (struct.pack(">QI", 70, 24), "block size 24 is not a multiple of 16"),
        (struct.pack(">QI", 70, 16), "the LZ4 block at byte 12 is damaged or has another size"),
        (struct.pack(">QII", 70, 8192, 0), "block at byte 12 has an impossible length"),
        (struct.pack(">QII", 70, 8192, 0xFFFFFFFF), "block at byte 12 has an impossible length"),
        (struct.pack(">QI", 70, 0xFFFFFFF0)[:9], "9 bytes, the sizes in front of the blocks alone have 12"),
    ],
)
def test_hostile_sizes_are_named(damage: bytes, says: str) -> None:
    payload = damage + (BITSHUFFLE_OF_FRAME if len(damage) == 12 else b"")
    with pytest.raises(DecodeError, match=f"^image: .*{says}"):
        decode_pixels(payload, compression="bslz4", shape=[5, 7], dtype="uint16", where="image")


@pytest.mark.parametrize("size", range(len(BITSHUFFLE_OF_FRAME)))
def test_truncated_payload_is_refused_wherever_it_is_cut(size: int) -> None:
    with pytest.raises(DecodeError):
        decode_pixels(BITSHUFFLE_OF_FRAME[:size], compression="bslz4", shape=[5, 7], dtype="uint16")


def test_bytes_after_the_last_block_are_refused() -> None:
    with pytest.raises(DecodeError, match="7 bytes follow the last block, 6 are expected"):
        decode_pixels(BITSHUFFLE_OF_FRAME + b"x", compression="bslz4", shape=[5, 7], dtype="uint16")


@pytest.mark.parametrize("compression", ["lz4", "bslz4"])
def test_short_payload_cannot_ask_for_a_gigabyte(compression: str) -> None:
    payload = struct.pack(">QI", 1 << 30, 1 << 29) + bytes(100)
    with pytest.raises(DecodeError, match="112 bytes cannot hold the 1073741824 bytes"):
        decode_pixels(payload, compression=compression, shape=[1 << 15, 1 << 15], dtype="uint8")


def test_block_size_beyond_the_frame_is_one_block() -> None:
    payload = struct.pack(">QI", 70, 0xFFFFFFF0) + BITSHUFFLE_OF_FRAME
    assert np.array_equal(decode_pixels(payload, compression="bslz4", shape=[5, 7], dtype="uint16"), FRAME)


def test_big_endian_and_strided_pixels_are_written_little_endian_in_c_order() -> None:
    pixels = FRAME.astype(">u2")[::2, ::3]
    for compression in ("none", "lz4", "bslz4"):
        payload = encode_pixels(pixels, compression=compression)
        decoded = decode_pixels(payload, compression=compression, shape=pixels.shape, dtype="uint16")
        assert np.array_equal(decoded, pixels)


def test_importing_the_codec_does_not_import_numba() -> None:
    script = (
        "import sys; from glimt.codecs.pixels import decode_pixels;"
        "decode_pixels(b'ab', compression='none', shape=[2], dtype='uint8');"
        "sys.exit(any(name in sys.modules for name in ('numba', 'llvmlite', 'h5py', 'hdf5plugin')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
