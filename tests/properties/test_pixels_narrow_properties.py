"""Narrowing as decoded equals narrowing afterwards, writes nowhere else, and loses nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from glimt.codecs.pixels import encode_pixels, lz4_functions
from glimt.codecs.pixels.framing import read_layout
from glimt.codecs.pixels.narrow import narrow_pixels, unpack_narrowed, widen_pixels
from glimt.codecs.pixels.plain import unpack_plainly
from glimt.model.errors import DecodeError

Pixels = npt.NDArray[Any]
GUARD = 64
SPECIAL = [0, 1, 2**15 - 1, 2**15, 65533, 65534, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 32768, 2**32 - 2, 2**32 - 1]


@st.composite
def frames(draw: st.DrawFn) -> Pixels:
    n = draw(st.one_of(st.integers(0, 200), st.integers(2000, 5000)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pixels = rng.poisson(draw(st.sampled_from([0.0, 0.9, 300.0])), n).astype(np.uint32)
    if n:
        for _ in range(draw(st.integers(0, 4))):
            start = draw(st.integers(0, n - 1))
            pixels[start : start + draw(st.sampled_from([1, 1, 9, 100]))] = draw(st.sampled_from(SPECIAL))
    return pixels.view(draw(st.sampled_from([np.uint32, np.int32])))


@st.composite
def packed(draw: st.DrawFn) -> tuple[Pixels, bytes]:
    pixels = draw(frames())
    block_bytes = draw(st.one_of(st.none(), st.integers(1, 40).map(lambda k: 32 * k)))
    return pixels, encode_pixels(pixels, compression="bslz4", block_bytes=block_bytes)


def _unpack(payload: bytes, like: Pixels, plain: bool) -> Pixels | str:
    memory = np.full(like.nbytes + 2 * GUARD, 0xA5, np.uint8)
    out = memory[GUARD : GUARD + like.nbytes].view(like.dtype)
    source = np.frombuffer(payload, np.uint8)
    try:
        layout = read_layout(payload, "bslz4", like.nbytes, 4, framing="hdf5", where="test")
        if plain:
            unpack_plainly(source, layout, out, where="test")
            return narrow_pixels(out)
        return unpack_narrowed(source, layout, out, where="test", lz4=lz4_functions.our_own())
    except DecodeError as error:
        return str(error)
    finally:
        assert (memory[:GUARD] == 0xA5).all()
        assert (memory[GUARD + like.nbytes :] == 0xA5).all()


@given(case=packed())
@settings(deadline=None, max_examples=200)
def test_narrowing_as_decoded_equals_narrowing_afterwards(case: tuple[Pixels, bytes]) -> None:
    pixels, payload = case
    fast, plain = _unpack(payload, pixels, plain=False), _unpack(payload, pixels, plain=True)
    assert not isinstance(fast, str)
    assert not isinstance(plain, str)
    assert fast.dtype == plain.dtype
    assert np.array_equal(fast, plain)


@given(pixels=frames())
@settings(deadline=None)
def test_what_was_narrowed_comes_back_by_widening(pixels: Pixels) -> None:
    narrow = narrow_pixels(pixels)
    if narrow.dtype != pixels.dtype:
        wide = widen_pixels(narrow)
        assert wide.dtype == pixels.dtype
        assert np.array_equal(wide, pixels)
    else:
        marked = pixels.view(np.int32) < 0
        low = np.iinfo(np.int16).min if pixels.dtype == np.int32 else -2
        top = np.iinfo(np.int16).max if pixels.dtype == np.int32 else 65533
        signed = pixels.view(np.int32)
        assert (signed[marked] < low).any() or (signed[~marked] > top).any()


@given(case=packed(), at=st.integers(0, 400), change=st.integers(1, 255))
@settings(deadline=None, max_examples=200)
def test_damage_gives_an_error_or_what_plain_decoding_gives(case: tuple[Pixels, bytes], at: int, change: int) -> None:
    pixels, payload = case
    damaged = bytearray(payload)
    damaged[at % len(damaged)] ^= change
    fast, plain = _unpack(bytes(damaged), pixels, plain=False), _unpack(bytes(damaged), pixels, plain=True)
    assert isinstance(fast, str) == isinstance(plain, str)
    if not isinstance(fast, str) and not isinstance(plain, str):
        assert fast.dtype == plain.dtype
        assert np.array_equal(fast, plain)
