"""Pins that hold several samples: which well along the pin a position is in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from glimt.model.errors import UsageError

MAX_WELLS = 1000

_MULTIPIN = re.compile(r"multipin_(\d{1,4})x(\d{1,6}(?:\.\d{1,6})?)\+(-?\d{1,6}(?:\.\d{1,6})?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wells:
    """The wells of a multi-sample pin, along the rotation axis (x of the grid).

    Parameters
    ----------
    limits : tuple of (float, float)
        Lower and upper limit of each well [boxes of the grid], both inclusive.
    sample_ids : mapping
        Sample of each well, by its number from 1; wells that are not there are empty.

    Raises
    ------
    UsageError
        There is no well, or more than `MAX_WELLS`, or a lower limit lies above the upper one.
    """

    limits: tuple[tuple[float, float], ...]
    sample_ids: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < len(self.limits) <= MAX_WELLS:
            raise UsageError(f"the pin has {len(self.limits)} wells; 1 to {MAX_WELLS} are accepted")
        for number, (low, high) in enumerate(self.limits, 1):
            if not low <= high:
                raise UsageError(f"well {number} goes from {low:g} to {high:g}; its limits are in the wrong order")

    @classmethod
    def from_loop_type(
        cls, loop_type: str | None, *, box_size_um: float, sample_ids: Mapping[Any, Any] | None = None
    ) -> Wells | None:
        """Return the wells that a loop type such as ``multipin_6x50+9`` names; ``None`` for any other loop.

        The example has 6 wells, their centers 50 µm apart, the first 9 µm from the start of the grid.

        Parameters
        ----------
        loop_type : str or None
            Of the pin, as the sample's record in ISPyB has it.
        box_size_um : float
            Step of the grid along x [µm].
        sample_ids : mapping, optional
            Sample of each well, by its number from 1; texts do, which JSON makes of keys, and ``None`` is no sample.

        Raises
        ------
        UsageError
            The loop type begins with ``multipin`` but cannot be read, the step is not positive, or a sample is no
            number.
        """
        if not isinstance(loop_type, str) or not loop_type.startswith("multipin"):
            return None
        found = _MULTIPIN.fullmatch(loop_type)
        if found is None or not float(found[2]) > 0:
            raise UsageError(f"loop type {loop_type[:60]!r} is not multipin_<wells>x<width in µm>+<offset in µm>")
        if not box_size_um > 0:
            raise UsageError(f"the step of the grid along x is {box_size_um} µm; it has to be more than 0")
        n_wells, width, offset = int(found[1]), float(found[2]), float(found[3])
        if not 0 < n_wells <= MAX_WELLS:
            raise UsageError(f"loop type {loop_type!r} has {n_wells} wells; 1 to {MAX_WELLS} are accepted")
        limits = []
        for number in range(n_wells):
            middle = offset + width * number
            limits.append(((middle - width / 2) / box_size_um, (middle + width / 2) / box_size_um))
        try:
            samples = {int(number): int(sample) for number, sample in (sample_ids or {}).items() if sample is not None}
        except (AttributeError, TypeError, ValueError, OverflowError):
            raise UsageError(f"sample_ids is {str(sample_ids)[:60]}; it maps well numbers to sample numbers") from None
        return cls(tuple(limits), samples)

    def sample_at(self, x: float) -> int | None:
        """Return the sample at a position along the pin [boxes]; ``None`` between wells and in an empty one.

        A position on the limit of two wells belongs to the first.
        """
        for number, (low, high) in enumerate(self.limits, 1):
            if low <= x <= high:
                return self.sample_ids.get(number)
        return None
