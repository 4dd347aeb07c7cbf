"""Amounts as people read and write them: detector shapes, megabytes."""

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
    match = re.fullmatch(r"\s*(\d{1,6})\s*[xX×]\s*(\d{1,6})\s*", text, re.ASCII)
    if match is None or 0 in (shape := (int(match[1]), int(match[2]))):
        raise UsageError(f"shape {text[:40]!r}: write rows x columns, such as 512x512")
    return shape


def megabytes(n_bytes: int) -> str:
    """Return a number of bytes as text in MB."""
    return f"{n_bytes / 1e6:,.{0 if n_bytes >= 10e6 else 1 if n_bytes >= 1e5 else 3}f} MB"
