"""What makes a pixel strong: the parameters of DIALS' dispersion threshold, checked."""

from __future__ import annotations

import math
import sys
from typing import NamedTuple

from glimt.kernels.frame_check import checked_count, checked_number
from glimt.model.errors import UsageError

BIG_COUNT = float(1 << 24)
"""Pixels from here on count neither to the mean nor to the variance of their neighborhood, as in DIALS."""

MAX_KERNEL = 25
"""Largest half size of a neighborhood [px]."""

LARGEST = sys.float_info.max


class DispersionRule(NamedTuple):
    """Parameters of the threshold, with DIALS' meaning; compiled code takes it as it is.

    The neighborhood of a pixel is (2 kernel_slow + 1) x (2 kernel_fast + 1) pixels, less where the frame ends. Over
    those that are neither excluded nor from `BIG_COUNT` on, ``m`` is their number, ``x`` their sum, ``y`` that of
    their squares.

    Parameters
    ----------
    kernel_slow, kernel_fast : int
        Half sizes of the neighborhood [px].
    sigma_background : float
        A pixel is *dispersed* if variance / mean of its neighborhood is more than this many standard deviations of that
        ratio above 1 (or above the gain).
    sigma_strong : float
        How many standard deviations above the mean of its neighborhood a strong pixel is.
    global_threshold : float
        A strong pixel is greater [counts].
    min_local : int
        Least ``m`` for which anything is said.
    has_gain : bool
        Whether there is a gain; DIALS then adds up in another order, which can differ in the last bit.
    lowest, highest : float
        Trusted range, ends included [counts]; pixels outside are excluded, and NaN and infinite ones always.
    """

    kernel_slow: int
    kernel_fast: int
    sigma_background: float
    sigma_strong: float
    global_threshold: float
    min_local: int
    has_gain: bool
    lowest: float
    highest: float

    @property
    def window(self) -> int:
        """Number of pixels of a whole neighborhood."""
        return (2 * self.kernel_slow + 1) * (2 * self.kernel_fast + 1)

    def least_dispersion(self, least_gain: float) -> float:
        """Return the smallest ``r`` such that ``y - x x / m > r x`` holds in some dispersed neighborhood."""
        return min(
            least_gain * (m - 1 + self.sigma_background * math.sqrt(2 * (m - 1))) / m
            for m in range(self.min_local, self.window + 1)
        )


def _checked_kernel(kernel_size: tuple[int, int]) -> tuple[int, int]:
    try:
        slow, fast = kernel_size
    except (TypeError, ValueError):
        raise UsageError(f"kernel_size is {str(kernel_size)[:40]}; two half sizes (slow, fast) are needed") from None
    return checked_count(slow, "kernel_size[0]", 1, MAX_KERNEL), checked_count(fast, "kernel_size[1]", 1, MAX_KERNEL)


def _checked_trusted_range(trusted_range: tuple[float, float] | None) -> tuple[float, float]:
    if trusted_range is None:
        return -LARGEST, LARGEST
    try:
        lowest, highest = (float(end) for end in trusted_range)
    except (TypeError, ValueError):
        raise UsageError(f"trusted_range is {str(trusted_range)[:60]}; (lowest, highest) counts are needed") from None
    if not lowest <= highest:
        raise UsageError(f"trusted_range is {lowest:g} to {highest:g}: no pixel can be in it")
    return max(lowest, -LARGEST), min(highest, LARGEST)


def checked_rule(
    *,
    kernel_size: tuple[int, int],
    sigma_background: float,
    sigma_strong: float,
    global_threshold: float,
    min_local: int,
    has_gain: bool,
    trusted_range: tuple[float, float] | None,
) -> DispersionRule:
    """Return the rule; ``min_local`` of zero or less stands for the whole neighborhood, as in DIALS.

    Raises
    ------
    UsageError
        A parameter is out of its range; the text says which, and what is possible.
    """
    slow, fast = _checked_kernel(kernel_size)
    window = (2 * slow + 1) * (2 * fast + 1)
    least = checked_count(min_local, "min_local", -(1 << 31), window)
    if least == 1:
        raise UsageError("min_local is 1; one pixel has no variance: give 2 or more, or 0 for the whole neighborhood")
    lowest, highest = _checked_trusted_range(trusted_range)
    return DispersionRule(
        kernel_slow=slow,
        kernel_fast=fast,
        sigma_background=checked_number(sigma_background, "sigma_background", 0.0, 1e6),
        sigma_strong=checked_number(sigma_strong, "sigma_strong", 0.0, 1e6),
        global_threshold=checked_number(global_threshold, "global_threshold", 0.0, 1e300),
        min_local=window if least <= 0 else least,
        has_gain=has_gain,
        lowest=lowest,
        highest=highest,
    )
