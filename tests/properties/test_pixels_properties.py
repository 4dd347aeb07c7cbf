"""Compiled pixel codecs do what the plain ones do, and nothing that arrives makes them do anything else."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glimt.codecs.pixels import decode_pixels, encode_pixels, lz4_functions
from glimt.codecs.pixels.decode import unpack
from glimt.codecs.pixels.framing import read_layout
from glimt.codecs.pixels.lz4_block import compress_block, decompress_block
from glimt.codecs.pixels.lz4_functions import Lz4Functions
from glimt.codecs.pixels.plain import shuffle_bits, unpack_plainly, unshuffle_bits
from glimt.model.errors import DecodeError
from glimt.model.frame import DTYPE_NAMES

Pixels = npt.NDArray[Any]
GUARD = 64

dtypes = st.sampled_from(sorted(DTYPE_NAMES))
shapes = st.one_of(
    st.tuples(st.integers(0, 300)),
    st.tuples(st.integers(0, 40), st.integers(0, 40)),
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)),
)
lz4_origins = st.sampled_from([lz4_functions.fastest, lz4_functions.our_own])


@st.composite
def frames(draw: st.DrawFn) -> Pixels:
    """Return counts, noise, or the same number everywhere."""
    dtype, shape = np.dtype(draw(dtypes)), draw(shapes)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = int(np.prod(shape))
    kind = draw(st.sampled_from(["counts", "noise", "constant"]))
    if kind == "counts":
        return rng.poisson(0.9, n).astype(dtype).reshape(shape)
    if kind == "noise":
        return np.frombuffer(rng.bytes(n * dtype.itemsize), dtype).reshape(shape)
    return np.frombuffer(rng.bytes(dtype.itemsize) * n, dtype).reshape(shape)


@st.composite
def packed_frames(draw: st.DrawFn) -> tuple[Pixels, str, str, bytes]:
    pixels = draw(frames())
    compression, framing = draw(st.sampled_from(["lz4", "bslz4"])), draw(st.sampled_from(["hdf5", "bare"]))
    block_bytes = None
    if framing == "hdf5":
        unit = 8 * pixels.itemsize if compression == "bslz4" else 1
        block_bytes = draw(st.one_of(st.none(), st.integers(1, 40).map(lambda k: k * unit)))
    return (
        pixels,
        compression,
        framing,
        encode_pixels(pixels, compression=compression, framing=framing, block_bytes=block_bytes),
    )


def _decode(payload: bytes, like: Pixels, compression: str, framing: str, lz4: Lz4Functions | None) -> Pixels | str:
    """Return the pixels, decoded plainly without ``lz4``, or what is wrong; check that nothing else is written."""
    memory = np.full(like.nbytes + 2 * GUARD, 0xA5, np.uint8)
    out = memory[GUARD : GUARD + like.nbytes].view(like.dtype).reshape(like.shape)
    source = np.frombuffer(payload, np.uint8)
    try:
        layout = read_layout(payload, compression, like.nbytes, like.itemsize, framing=framing, where="test")
        if lz4:
            unpack(source, layout, out, where="test", lz4=lz4)
        else:
            unpack_plainly(source, layout, out, where="test")
    except DecodeError as error:
        return str(error)
    finally:
        assert (memory[:GUARD] == 0xA5).all()
        assert (memory[GUARD + like.nbytes :] == 0xA5).all()
    return out


def _same(a: Pixels, b: Pixels) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()  # NaN is NaN


@given(packed=packed_frames())
@settings(deadline=None)
def test_decoding_gives_back_what_was_encoded(packed: tuple[Pixels, str, str, bytes]) -> None:
    pixels, compression, framing, payload = packed
    for told in ("auto", framing):
        decoded = decode_pixels(
            payload, compression=compression, shape=pixels.shape, dtype=pixels.dtype.name, framing=told
        )
        assert _same(decoded, pixels)


@given(packed=packed_frames(), origin=lz4_origins)
@settings(deadline=None)
def test_compiled_decoding_equals_plain_decoding(packed: tuple[Pixels, str, str, bytes], origin: Any) -> None:
    pixels, compression, _, payload = packed
    for lz4 in (origin(), None):
        decoded = _decode(payload, pixels, compression, "auto", lz4)
        assert not isinstance(decoded, str)
        assert _same(decoded, pixels)


@given(dtype=dtypes, n=st.integers(20_000, 30_000), seed=st.integers(0, 1000))
@settings(deadline=None, max_examples=20)
def test_bit_planes_of_many_blocks_equal_numpy(dtype: str, n: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).poisson(3, n).astype(dtype)
    block = 1024 * pixels.itemsize
    payload = encode_pixels(pixels, compression="bslz4", block_bytes=block)
    decoded = decode_pixels(payload, compression="bslz4", shape=[n], dtype=dtype)
    assert _same(decoded, pixels)
    offset, scratch = 12, np.empty(block, np.uint8)
    for start in range(0, n - n % 8, 1024):
        elements = pixels[start : min(start + 1024, n - n % 8)]
        length = int.from_bytes(payload[offset : offset + 4], "big")
        size = decompress_block(np.frombuffer(payload, np.uint8)[offset + 4 : offset + 4 + length], scratch)
        assert scratch[:size].tobytes() == shuffle_bits(elements).tobytes()
        offset += 4 + length


@given(pixels=frames())
@settings(deadline=None)
def test_plain_shuffle_and_unshuffle_are_inverse(pixels: Pixels) -> None:
    elements = pixels.ravel()[: pixels.size // 8 * 8]
    assert unshuffle_bits(shuffle_bits(elements), elements.dtype).tobytes() == elements.tobytes()


@given(data=st.one_of(st.binary(max_size=300), st.lists(st.sampled_from([b"a", b"abc", b"\0" * 40])).map(b"".join)))
@settings(deadline=None)
def test_plain_lz4_gives_back_what_it_compressed(data: bytes) -> None:
    source = np.frombuffer(data, np.uint8)
    block, target = np.empty(len(data) + len(data) // 255 + 16, np.uint8), np.empty(len(data), np.uint8)
    size = compress_block(source, block)
    assert size > 0
    assert decompress_block(block[:size], target) == len(data)
    assert target.tobytes() == data


@st.composite
def damaged(draw: st.DrawFn) -> tuple[Pixels, str, bytes]:
    pixels, compression, _, payload = draw(packed_frames())
    mutable = bytearray(payload)
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["flip", "set", "cut", "grow", "drop"]))
        if kind == "grow":
            mutable += draw(st.binary(min_size=1, max_size=9))
        elif mutable:
            at = draw(st.integers(0, len(mutable) - 1))
            if kind == "flip":
                mutable[at] ^= 1 << draw(st.integers(0, 7))
            elif kind == "set":
                mutable[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
            else:
                del mutable[at : None if kind == "cut" else at + 1]
    return pixels, compression, bytes(mutable)


@given(case=damaged(), origin=lz4_origins, framing=st.sampled_from(["auto", "hdf5", "bare"]))
@settings(deadline=None, max_examples=400)
def test_damaged_payload_gives_an_error_or_an_array(case: tuple[Pixels, str, bytes], origin: Any, framing: str) -> None:
    pixels, compression, payload = case
    fast = _decode(payload, pixels, compression, framing, origin())
    plain = _decode(payload, pixels, compression, framing, None)
    if isinstance(fast, str) or isinstance(plain, str):
        # LZ4's own decoder also wants the last five bytes to be literals, and lets offset 0 pass as zeros.
        assert isinstance(fast, str) == isinstance(plain, str) or "damaged" in f"{fast}{plain}"
    else:
        assert _same(fast, plain)


@given(
    payload=st.one_of(st.binary(max_size=200), st.binary(max_size=60).map(lambda tail: bytes(7) + tail)),
    compression=st.sampled_from(["none", "lz4", "bslz4"]),
    framing=st.sampled_from(["auto", "hdf5", "bare"]),
    shape=st.lists(st.integers(-1, 5000), max_size=3),
    dtype=dtypes,
)
@settings(deadline=None, max_examples=300)
def test_noise_gives_an_error_or_an_array(
    payload: bytes, compression: str, framing: str, shape: list[int], dtype: str
) -> None:
    try:
        pixels = decode_pixels(payload, compression=compression, shape=shape, dtype=dtype, framing=framing)
    except DecodeError as error:
        assert str(error).startswith("pixels: ")  # noqa: PT017
    else:
        assert pixels.shape == tuple(shape)
        assert pixels.dtype == dtype


@pytest.mark.parametrize("itemsize", [1, 2, 4, 8])
def test_every_bit_has_its_place(itemsize: int) -> None:
    n = 8 * itemsize
    elements = np.array([1 << bit for bit in range(n)], f"u{itemsize}")
    planes = np.zeros((n, n), np.uint8)
    np.fill_diagonal(planes, 1)
    assert shuffle_bits(elements).tobytes() == np.packbits(planes.ravel(), bitorder="little").tobytes()
