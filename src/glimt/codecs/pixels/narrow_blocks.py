"""Decode 32-bit bslz4 blocks as 16-bit pixels as long as nothing is lost: the compiled side of `decode_narrowed`.

In a bit-shuffled block the upper sixteen bits of all pixels are the last sixteen planes, so that one look at them
tells whether they say anything: mostly they are empty. A detector marks gaps and bad pixels with the two largest
numbers there are, whose planes are all ones; these two become the two largest 16-bit numbers.
`glimt.codecs.pixels.narrow` has the same in NumPy.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from numba.extending import register_jitable

from glimt.codecs.pixels.status import OK
from glimt.codecs.pixels.unpack_blocks import next_block, unshuffle_block
from glimt.model.compiled_code import compiled

Planes: TypeAlias = npt.NDArray[np.uint8] | npt.NDArray[np.uint64]

WIDEN_AT_ONCE = 2048


@register_jitable
def _says_nothing_more(planes: Planes, stride: int, is_signed: bool) -> bool:
    """Return whether the upper 16 of 32 planes follow from the lower 16; ``stride`` is the length of a plane."""
    differing = planes[0] ^ planes[0]
    length = np.uint64(stride)  # unsigned indices need no look at whether they are negative, and vectorize
    for j in range(stride):
        k = np.uint64(j)
        upper = planes[np.uint64(16) * length + k]
        expected = planes[np.uint64(15) * length + k]
        if not is_signed:
            for plane in range(1, 15):
                expected &= planes[np.uint64(plane) * length + k]
        differing |= upper ^ expected
        for plane in range(17, 32):
            differing |= upper ^ planes[np.uint64(plane) * length + k]
    return bool(differing == 0)


@compiled
def widen_in_place(narrow: npt.NDArray[np.uint16], wide: npt.NDArray[np.uint32], n: int, first_marker: int) -> None:
    """Turn the first ``n`` elements of ``narrow`` into the first ``n`` of ``wide``, which is the same memory."""
    piece = np.empty(WIDEN_AT_ONCE, np.uint16)
    carry = np.uint32(0x10000 - first_marker)  # added, it reaches bit 16 for markers only: a test without a branch
    end = n
    while end > 0:  # from the end, because what is written lies at or behind what is still to be read
        start = max(0, end - WIDEN_AT_ONCE)
        values, target = narrow[start:end], wide[start:end]
        for k in range(values.size):
            piece[k] = values[k]
        for k in range(values.size):
            value = np.uint32(piece[k])
            target[k] = value | ((value + carry) >> np.uint32(16)) * np.uint32(0xFFFF0000)
        end = start


@compiled
def unpack_bslz4_narrowed(
    source: npt.NDArray[np.uint8],
    offset: int,
    narrow: npt.NDArray[np.uint16],
    wide: npt.NDArray[np.uint32],
    block_elements: int,
    decompress: int,
    first_marker: int,
) -> tuple[int, int, bool]:
    """Decode the blocks that begin at ``offset``; return status, where it ended, and whether pixels are in ``narrow``.

    ``narrow`` is the first half of the memory of ``wide``. The first block that needs 32 bits makes the frame wide.
    """
    whole = wide.size - wide.size % 8
    scratch = np.empty(min(block_elements, whole) * 4, np.uint8)
    words = scratch.view(np.uint64)
    is_narrow = True
    done = 0
    while done < whole:
        n = min(block_elements, whole - done)
        status, offset = next_block(source, offset, scratch, n * 4, decompress)
        if status != OK:
            return status, offset, is_narrow
        if is_narrow:
            if n % 64 == 0:
                fits = _says_nothing_more(words, n // 64, first_marker == 0x8000)
            else:
                fits = _says_nothing_more(scratch, n // 8, first_marker == 0x8000)
            if not fits:
                widen_in_place(narrow, wide, done, first_marker)
                is_narrow = False
        if is_narrow:
            unshuffle_block(scratch, n, narrow, done)
        else:
            unshuffle_block(scratch, n, wide, done)
        done += n
    return OK, offset, is_narrow
