"""Against what others write: the HDF5 filters, and detectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import numpy.typing as npt
import pytest

from glimt.codecs.pixels import decode_pixels, encode_pixels

FILTERS = {"bslz4": hdf5plugin.Bitshuffle(cname="lz4"), "lz4": hdf5plugin.LZ4()}


def _chunk_as_hdf5_writes_it(pixels: npt.NDArray[Any], compression: str) -> bytes:
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        data = file.create_dataset("data", data=pixels, chunks=pixels.shape, **FILTERS[compression])
        return bytes(data.id.read_direct_chunk((0,) * pixels.ndim)[1])


def _pixels_as_hdf5_reads_them(payload: bytes, shape: tuple[int, ...], dtype: str, compression: str) -> Any:
    with h5py.File("memory", "w", driver="core", backing_store=False) as file:
        data = file.create_dataset("data", shape, dtype, chunks=shape, **FILTERS[compression])
        data.id.write_direct_chunk((0,) * len(shape), payload)
        return data[...]


@pytest.mark.parametrize("compression", ["bslz4", "lz4"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float64"])
@pytest.mark.parametrize("shape", [(3,), (64, 64), (101, 203)])
def test_hdf5_filters_and_glimt_read_each_other(compression: str, dtype: str, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(3).poisson(0.9, shape).astype(dtype)
    chunk = _chunk_as_hdf5_writes_it(pixels, compression)
    assert np.array_equal(decode_pixels(chunk, compression=compression, shape=shape, dtype=dtype), pixels)
    payload = encode_pixels(pixels, compression=compression)
    assert np.array_equal(_pixels_as_hdf5_reads_them(payload, shape, dtype, compression), pixels)


def test_stream_v1_image_of_an_eiger_is_decoded(shared_data: Path) -> None:
    payload = (shared_data / "dectris/stream_v1_eiger4m/streamfile_12").read_bytes()
    pixels = decode_pixels(payload, compression="bslz4", shape=[2167, 2070], dtype="uint16")
    assert np.array_equal(pixels, _pixels_as_hdf5_reads_them(payload, (2167, 2070), "uint16", "bslz4"))
    assert np.count_nonzero(pixels == 0xFFFF) > 100_000  # gaps between modules
    assert np.median(pixels) < 10
    assert encode_pixels(pixels, compression="bslz4") == payload


def test_stream_v2_image_of_an_eiger_is_decoded(shared_data: Path) -> None:
    message = (shared_data / "dectris/stream_v2_eiger16m/image.cbor").read_bytes()
    start = message.index(b"ebslz4") + 6  # CBOR text of 5 characters, then the element size, then the byte string
    element_size, head = message[start], message[start + 1]
    assert element_size == 2
    assert head == 0x5A  # byte string with a length of 32 bits
    size = int.from_bytes(message[start + 2 : start + 6], "big")
    payload = message[start + 6 : start + 6 + size]
    pixels = decode_pixels(payload, compression="bslz4", shape=[4362, 4148], dtype="uint16", framing="hdf5")
    assert np.array_equal(pixels, _pixels_as_hdf5_reads_them(payload, (4362, 4148), "uint16", "bslz4"))
    assert np.count_nonzero(pixels == 0xFFFF) > 100_000
