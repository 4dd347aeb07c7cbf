"""Keeps large frames from costing page faults."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

# Of malloc.h in the GNU C library.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8


def keep_freed_memory(n_bytes: int = 1 << 30) -> None:
    """Let the C library keep freed memory of up to this size [bytes] instead of giving it back at once.

    It maps fresh pages for every message of more than 32 MB at most, and gives them back when it is freed; touching
    them for the first time costs more than receiving a frame. Elsewhere than with the GNU C library: nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        limit = min(n_bytes, (1 << 31) - 1)
        mallopt(_MMAP_THRESHOLD, limit)
        mallopt(_TRIM_THRESHOLD, limit)
        mallopt(_TOP_PAD, 1 << 24)
        mallopt(_ARENA_MAX, 1)  # other arenas cannot hold more than 64 MB in one piece
