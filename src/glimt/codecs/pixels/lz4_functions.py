"""Addresses of an LZ4 compressor and decompressor that compiled code can call.

hdf5plugin's wheel ships libraries that export LZ4's own C functions. They are called by address: compiled callers
then stay cacheable on disk, and a missing symbol is found here, in Python, instead of by the linker at run time.
Where there is no such library (a platform whose linker hides the symbols), `glimt.codecs.pixels.lz4_block` is
compiled instead: same results, but a frame then takes about eight times as long.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class Lz4Functions(NamedTuple):
    """C functions ``int (const char *source, char *target, int source_size, int target_capacity)``.

    Attributes
    ----------
    origin : str
        Where they come from.
    decompress, compress : int
        Addresses of ``LZ4_decompress_safe`` (negative result: damaged) and ``LZ4_compress_default`` (0: no room).
    """

    origin: str
    decompress: int
    compress: int


@cache
def fastest() -> Lz4Functions:
    """Return the functions of the first library that has them, and ours if there is none."""
    return next(filter(None, map(from_library, _libraries())), None) or our_own()


def from_library(name: str) -> Lz4Functions | None:
    """Return the functions that a shared library exports, ``None`` if there is no such library or it has them not."""
    try:
        library = ctypes.CDLL(name)
        decompress, compress = library.LZ4_decompress_safe, library.LZ4_compress_default
    except (OSError, AttributeError):
        return None
    return Lz4Functions(name, _address(decompress), _address(compress))


@cache
def our_own() -> Lz4Functions:
    """Return `lz4_block`, compiled."""
    from glimt.codecs.pixels import lz4_block

    return Lz4Functions("glimt", *lz4_block.compile_functions())


def _libraries() -> Iterator[str]:
    spec = find_spec("hdf5plugin")  # importing it would load HDF5 and all filters, 0.2 s
    for folder in (spec and spec.submodule_search_locations) or ():
        for stem in ("h5lz4", "h5bshuf"):
            yield from map(str, sorted(Path(folder, "plugins").glob(f"*{stem}*")))
    yield "liblz4.so.1"  # a distribution's hdf5plugin links the system's library


def _address(function: object) -> int:
    address = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]  # foreign functions may be cast
    return address or 0
