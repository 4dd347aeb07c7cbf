"""Compiled byte-offset equals the plain one, in both directions, and damage never gives anything but our error."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from glimt.codecs.cbf import decode_cbf, encode_cbf
from glimt.codecs.cbf_byte_offset import (
    most_bytes,
    pack_byte_offset,
    pack_plainly,
    unpack_byte_offset,
    unpack_plainly,
)
from glimt.model.errors import DecodeError

DTYPES = ["int8", "uint8", "int16", "uint16", "int32", "uint32"]


@st.composite
def images(draw: st.DrawFn) -> npt.NDArray[Any]:
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    limits = np.iinfo(dtype)
    steps = [0, 1, 127, 128, 32767, 32768, (1 << 31) - 1, 1 << 31, limits.min, limits.max]
    numbers = st.one_of(
        st.sampled_from([n for k in steps for n in (k, -k) if limits.min <= n <= limits.max]),
        st.integers(int(limits.min), int(limits.max)),
        st.integers(0, 9),
    )
    slow, fast = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    return np.array(draw(st.lists(numbers, min_size=slow * fast, max_size=slow * fast)), dtype).reshape(slow, fast)


@given(image=images())
@settings(deadline=None)
def test_compiled_and_plain_packing_are_the_same_and_fit(image: npt.NDArray[Any]) -> None:
    flat = image.reshape(-1)
    target = np.full(flat.size * most_bytes(image.itemsize) + 32, 0xA5, np.uint8)
    n = pack_byte_offset(flat, target)
    assert target[:n].tobytes() == pack_plainly(flat)
    assert n <= flat.size * most_bytes(image.itemsize)
    assert (target[n:] == 0xA5).all()


@given(image=images())
@settings(deadline=None)
def test_image_comes_back(image: npt.NDArray[Any]) -> None:
    pixels = decode_cbf(encode_cbf(image), check_md5=True).pixels
    assert pixels.dtype == image.dtype
    assert np.array_equal(pixels, image)


@given(
    data=st.one_of(
        st.binary(max_size=80),
        st.lists(st.sampled_from([b"\x80", b"\0\x80", b"\x80\0\x80", b"\0\0\0\x80", b"\x01", b"\xff" * 8])).map(
            b"".join
        ),
    ),
    dtype=st.sampled_from(DTYPES),
    n=st.integers(0, 40),
)
@settings(deadline=None, max_examples=400)
def test_any_bytes_give_the_same_plainly_and_compiled(data: bytes, dtype: str, n: int) -> None:
    source = np.frombuffer(data, np.uint8)
    limits = np.iinfo(dtype)
    results = []
    for unpack in (unpack_byte_offset, unpack_plainly):
        memory = np.full(n + 16, 0x5A, dtype)
        status, done, position = unpack(source, memory[8 : 8 + n], int(limits.min), int(limits.max))
        assert (memory[:8] == 0x5A).all()
        assert (memory[8 + n :] == 0x5A).all()
        results.append((status, done, position if status == 0 else None, memory[8 : 8 + done].tolist()))
    assert results[0] == results[1]


@given(image=images(), at=st.integers(0, 10_000), value=st.integers(0, 255), cut=st.integers(0, 10_000))
@settings(deadline=None, max_examples=300)
def test_damaged_file_gives_an_image_or_our_error(image: npt.NDArray[Any], at: int, value: int, cut: int) -> None:
    file = bytearray(encode_cbf(image))
    file[at % len(file)] = value
    if cut < 5000:
        del file[cut % len(file) :]
    try:
        pixels = decode_cbf(bytes(file)).pixels
    except DecodeError as error:
        assert str(error)  # noqa: PT017
    else:
        assert pixels.nbytes <= 4 * len(file)


@given(data=st.binary(max_size=300).map(lambda tail: b"###CBF: " + tail))
@settings(deadline=None)
def test_noise_gives_our_error(data: bytes) -> None:
    try:
        decode_cbf(data)
    except DecodeError as error:
        assert "CBF: " in str(error)  # noqa: PT017
    else:
        raise AssertionError("noise is no image")
