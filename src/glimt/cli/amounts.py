"""Amounts as people read and write them: detector shapes, sizes of files."""

from __future__ import annotations

import re

from glimt.model.errors import UsageError


def parse_shape(text: str) -> tuple[int, int]:
    """Return rows and columns [px] of a text such as ``"512x1024"``.

    Raises
    ------
    UsageError
        Not two whole numbers above zero.
    """
    match = re.fullmatch(r"\s*(\d{1,6})\s*[xX]\s*(\d{1,6})\s*", text, re.ASCII)
    if match is None or 0 in (shape := (int(match[1]), int(match[2]))):
        raise UsageError(f"shape {text[:40]!r}: write rows x columns, such as 512x512")
    return shape


def size_text(n_bytes: int) -> str:
    """Return a number of bytes as text, in kB, MB or GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if n_bytes >= scale:
            return f"{n_bytes / scale:,.{0 if n_bytes >= 100 * scale else 1}f} {unit}"
    return f"{n_bytes / 1e3:.1f} kB"


def count_text(number: int, things: str) -> str:
    """Return a number of things, given in the plural, as text: ``1 event``, ``1,200 events``."""
    return f"{number:,} {things.removesuffix('s') if number == 1 else things}"
