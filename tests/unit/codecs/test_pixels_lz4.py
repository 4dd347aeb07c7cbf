"""The two sources of LZ4 functions and the plain block coder."""

from __future__ import annotations

import numpy as np
import pytest

from glimt.codecs.pixels import lz4_functions
from glimt.codecs.pixels.decode import unpack
from glimt.codecs.pixels.encode import pack
from glimt.codecs.pixels.framing import Layout
from glimt.codecs.pixels.lz4_block import compress_block, decompress_block
from glimt.model.compiled_code import compiled
from glimt.model.errors import DecodeError

FRAME = np.random.default_rng(5).poisson(0.9, (60, 50)).astype(np.uint16)
LAYOUTS = [Layout("bslz4", 12, 1024), Layout("bslz4", 0, 8192), Layout("lz4", 12, 999), Layout("lz4", 0, 0)]


def _block(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint8)


def test_library_of_hdf5plugin_is_found() -> None:
    assert "h5lz4" in lz4_functions.fastest().origin


@pytest.mark.parametrize("name", ["libglimt-has-no-such-library.so", "libc.so.6"])
def test_library_without_lz4_is_passed_over(name: str) -> None:
    assert lz4_functions.from_library(name) is None


@pytest.mark.parametrize("layout", LAYOUTS)
def test_our_own_lz4_and_the_library_read_each_other(layout: Layout) -> None:
    library, own = lz4_functions.fastest(), lz4_functions.our_own()
    assert own.origin == "glimt"
    for writer in (library, own):
        payload = np.frombuffer(pack(FRAME, layout, lz4=writer), np.uint8)
        for reader in (library, own):
            out = np.zeros_like(FRAME)
            unpack(payload, layout, out, where="test", lz4=reader)
            assert np.array_equal(out, FRAME)


def test_our_own_lz4_compresses() -> None:
    layout = LAYOUTS[1]
    library = len(pack(FRAME, layout))
    assert library <= len(pack(FRAME, layout, lz4=lz4_functions.our_own())) < 1.1 * library < FRAME.nbytes / 2


def test_our_own_lz4_refuses_damage() -> None:
    layout = LAYOUTS[3]
    payload = np.frombuffer(pack(FRAME, layout)[:-1], np.uint8)
    with pytest.raises(DecodeError, match="damaged"):
        unpack(payload, layout, np.zeros_like(FRAME), where="test", lz4=lz4_functions.our_own())


def test_match_that_reaches_into_itself_repeats() -> None:
    target = np.zeros(14, np.uint8)
    assert decompress_block(_block(0x24, 7, 8, 2, 0, 0x40, 1, 2, 3, 4), target) == 14
    assert target.tolist() == [7, 8] * 5 + [1, 2, 3, 4]


@pytest.mark.parametrize(
    "block",
    [
        _block(),
        _block(0x10),  # a literal that is not there
        _block(0xF0),  # a length without its end
        _block(0xF0, 255, 255),
        _block(0xF0, 255, 0),  # more literals than there are
        _block(0x10, 7, 1),  # half an offset
        _block(0x10, 7, 0, 0, 0x00),  # offset 0
        _block(0x10, 7, 2, 0, 0x00),  # before the beginning
        _block(0x10, 7, 1, 0),  # ends with a match
        _block(0x1F, 7, 1, 0, 255, 0, 0x00),  # does not fit
        _block(0x50, 1, 2, 3, 4, 5, 1, 0, 0xF0, 255, 1),
    ],
)
def test_damaged_block_is_refused(block: np.ndarray) -> None:
    assert decompress_block(block, np.zeros(20, np.uint8)) == -1


def test_compressor_says_when_there_is_no_room() -> None:
    source = np.random.default_rng(2).integers(0, 4, 2000).astype(np.uint8)
    source[500:1500] = 0
    room = np.empty(3000, np.uint8)
    needed = int(compress_block(source, room))
    assert 0 < needed < 2000
    for size in range(0, needed, 7):
        assert compress_block(source, np.empty(size, np.uint8)) == 0
    assert compress_block(source, np.empty(needed, np.uint8)) == needed


def test_kernel_whose_source_is_nowhere_is_compiled_without_a_cache() -> None:
    # What happens in a read-only container: Numba finds no folder for its cache and says so at once.
    namespace: dict[str, object] = {}
    exec("def double(x):\n    return 2 * x", namespace)
    double = compiled(namespace["double"])  # type: ignore[type-var]  # what exec made has no type
    assert double(4) == 8  # type: ignore[operator]
