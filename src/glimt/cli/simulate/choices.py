"""Faults as people write them on the command line."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from glimt.sim.faults import Choice


def parse_choice(text: str, option: str) -> Choice:
    """Return which frames or series ``text`` means; none if it is empty.

    Raises
    ------
    UsageError
        It means none; the text names ``option``.
    """
    from glimt.sim.faults import NONE, Choice

    if not text:
        return NONE
    try:
        return Choice.parse(text)
    except UsageError as error:
        raise UsageError(f"{option}: {error}") from None


def parse_stall(text: str) -> tuple[int | None, float]:
    """Return after how many frames a device stalls, and for how long [s], of a text such as ``"100:2.5"``.

    Raises
    ------
    UsageError
        Not a number of frames and one of seconds.
    """
    if not text:
        return None, 0.0
    match = re.fullmatch(r"(\d{1,12}):(\d{1,9}(?:\.\d*)?|\.\d+)", text.strip(), re.ASCII)
    if match is None:
        raise UsageError(f"--stall {text[:40]!r}: write frames and seconds, such as 100:2.5")
    return int(match[1]), float(match[2])
