"""Where in the array of a frame the pixels of each panel are."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from glimt.model.errors import UsageError
from glimt.model.geometry import MAX_PIXELS, MAX_SIDE


def _whole(value: Any, name: str, low: int) -> int:
    try:
        number = int(value)
        is_whole = number == value
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{name} is {str(value)[:40]!r}; a whole number is needed") from None
    if not is_whole or not low <= number <= MAX_SIDE:
        raise UsageError(f"{name} is {str(value)[:40]}; whole numbers from {low} to {MAX_SIDE} are accepted")
    return number


@dataclass(frozen=True, slots=True)
class PanelPlacement:
    """The rectangle of a frame's array that holds one panel.

    Parameters
    ----------
    slow_start, fast_start : int
        Its first pixel [px].
    shape : (int, int)
        (slow, fast) [px], that of the panel.

    Raises
    ------
    UsageError
        A number is not whole, negative or too large.
    """

    slow_start: int
    fast_start: int
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        for name in ("slow_start", "fast_start"):
            object.__setattr__(self, name, _whole(getattr(self, name), name, 0))
        try:
            slow, fast = self.shape
        except (TypeError, ValueError):
            raise UsageError(f"a panel's shape is {str(self.shape)[:40]}; (slow, fast) is needed") from None
        object.__setattr__(self, "shape", (_whole(slow, "panel shape", 1), _whole(fast, "panel shape", 1)))

    @property
    def slow_stop(self) -> int:
        """First row behind it."""
        return self.slow_start + self.shape[0]

    @property
    def fast_stop(self) -> int:
        """First column behind it."""
        return self.fast_start + self.shape[1]

    @property
    def area(self) -> tuple[slice, slice]:
        """Its part of the array, as an index."""
        return slice(self.slow_start, self.slow_stop), slice(self.fast_start, self.fast_stop)


def checked_frame_shape(placements: Sequence[PanelPlacement], frame_shape: Sequence[int] | None) -> tuple[int, int]:
    """Return the shape (slow, fast) of frames; without ``frame_shape`` the smallest that holds all panels.

    Raises
    ------
    UsageError
        A panel reaches beyond the frame, two share pixels, or the frame is too large.
    """
    if frame_shape is None:
        slow, fast = max(p.slow_stop for p in placements), max(p.fast_stop for p in placements)
    else:
        try:
            slow, fast = (_whole(n, "frame_shape", 1) for n in frame_shape)
        except (TypeError, ValueError):
            raise UsageError(f"frame_shape is {str(frame_shape)[:40]}; (slow, fast) is needed") from None
    if slow > MAX_SIDE or fast > MAX_SIDE or slow * fast > MAX_PIXELS:
        raise UsageError(f"frames of ({slow}, {fast}) px are not possible; at most {MAX_PIXELS} pixels are accepted")
    for number, placement in enumerate(placements):
        if placement.slow_stop > slow or placement.fast_stop > fast:
            raise UsageError(
                f"panel {number} reaches to ({placement.slow_stop}, {placement.fast_stop}) px, "
                f"frames to ({slow}, {fast})"
            )
    _check_apart(placements)
    return slow, fast


def _check_apart(placements: Sequence[PanelPlacement]) -> None:
    """Raise if two panels share pixels; they are gone through from the first row to the last."""
    starts: list[int] = []  # of the panels met so far that may still go on, side by side along the fast axis
    met: list[int] = []
    for number in sorted(range(len(placements)), key=lambda n: placements[n].slow_start):
        new = placements[number]
        place = bisect_left(starts, new.fast_start)
        first = place - 1 if place and placements[met[place - 1]].fast_stop > new.fast_start else place
        last = bisect_left(starts, new.fast_stop)
        for other in met[first:last]:
            if placements[other].slow_stop > new.slow_start:
                raise UsageError(f"panels {min(number, other)} and {max(number, other)} share pixels of the frame")
        starts[first:last], met[first:last] = [new.fast_start], [number]
