"""Sizes as people write them in a file: ``"256 MB"``, ``"2 GiB"``, or a number of bytes."""

from __future__ import annotations

import re
from typing import Any

_UNITS = {"": 1, "b": 1} | {
    f"{letter}{middle}b": base**power
    for power, letter in enumerate("kmgt", start=1)
    for middle, base in (("", 1000), ("i", 1024))
}
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([A-Za-z]{0,3})\s*", re.ASCII)
_LARGEST = 1 << 50


def parse_size(value: Any) -> int:
    """Return a number of bytes.

    Parameters
    ----------
    value : int or str
        Bytes, or a number with B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024), in any case.

    Raises
    ------
    ValueError
        Anything else, less than one byte, or more than 1 PiB.
    """
    n_bytes = 0
    if isinstance(value, str):
        match = _SIZE.fullmatch(value)
        if match is None or match[2].lower() not in _UNITS:
            raise ValueError("it must be a size, such as 512 MB or 2 GiB")
        n_bytes = int(float(match[1]) * _UNITS[match[2].lower()])
    elif isinstance(value, int) and not isinstance(value, bool):
        n_bytes = value
    else:
        raise ValueError("it must be a size: a number of bytes, or text such as 512 MB or 2 GiB")
    if not 1 <= n_bytes <= _LARGEST:
        raise ValueError("it must be a size from 1 byte to 1024 TiB")
    return n_bytes


def size_text(n_bytes: int) -> str:
    """Return a number of bytes as it would be written in a file, with two decimals."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if n_bytes >= scale:
            digits = f"{n_bytes / scale:.2f}"
            return f"{digits.rstrip('0').rstrip('.')} {unit}"
    return f"{n_bytes} B"
