"""How far a diffraction picture goes: three estimates of its resolution limit, as DIALS makes them.

`estimated_d_min` follows DIALS' ``estimate_resolution_limit`` (outliers after R. Read, Acta Cryst. 1999, D55, 1759),
the other two are methods 1 and 2 of DISTL (Z. Zhang, N. K. Sauter, H. van den Bedem, G. Snell, A. M. Deacon, J. Appl.
Cryst. 2006, 39, 112, section 2.4.4). Where DIALS and a paper differ, this follows DIALS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError

Array = npt.NDArray[np.float64]

UNDEFINED = -1.0
"""What a limit and a noisiness are if they cannot be told."""

MIN_SPOTS = 11
"""Fewer spots tell no limit: method 1 needs five points, every second spot."""

D_STAR_RANGE = (1e-6, 1e6)
"""1/d of what may be a spot [1/Å]: no direct beam, no wavelength of a nucleus."""

INTENSITY_RANGE = (1e-30, 1e30)

SPOTS_PER_BIN, MIN_BINS, MAX_BINS = 20, 5, 20
MIN_SHELLS, MAX_SHELLS = 20, 40


@dataclass(frozen=True, slots=True)
class ResolutionLimits:
    """Resolution limits [Å] and how far to trust them; -1 where undefined.

    Parameters
    ----------
    estimated_d_min : float
        The smallest d among spots below a line through the stronger spots of bins of resolution.
    d_min_distl_method_1, noisiness_method_1 : float
        Where the curve of 1/d³ over the spots' rank bends; share of pairs of its slopes out of order, 0 to 1.
    d_min_distl_method_2, noisiness_method_2 : float
        Where shells of equal volume hold few spots; share of pairs of their counts out of order, 0 to 1.
    """

    estimated_d_min: float = UNDEFINED
    d_min_distl_method_1: float = UNDEFINED
    noisiness_method_1: float = UNDEFINED
    d_min_distl_method_2: float = UNDEFINED
    noisiness_method_2: float = UNDEFINED


class Loops(Protocol):
    """What both `resolution_limits_plain` and `resolution_limits_compiled` offer."""

    def estimate_d_min(
        self, d_star_sq: Array, log_ratio: Array, intensity: Array, ice: Any, starts: Any, order: Any
    ) -> float:
        """Return the estimate [Å]."""
        ...

    def distl_method_1(self, d_star: Array) -> tuple[float, float]:
        """Return limit [Å] and noisiness."""
        ...

    def distl_method_2(self, d_spacing: Array, shells: Array, out: Any) -> tuple[float, float]:
        """Return limit [Å] and noisiness."""
        ...


def _load(compiled: bool) -> Loops:
    if compiled:
        from glimt.kernels import resolution_limits_compiled  # imports Numba, which only whoever runs it waits for

        return resolution_limits_compiled
    from glimt.kernels import resolution_limits_plain

    return resolution_limits_plain


def resolution_limits(
    d_star: npt.ArrayLike, intensity: npt.ArrayLike, ice: npt.ArrayLike, *, compiled: bool = True
) -> ResolutionLimits:
    """Return the resolution limits of the spots of one frame.

    Parameters
    ----------
    d_star : array_like
        (spot,) 1/d [1/Å]. Spots outside `D_STAR_RANGE`, NaN with them, are left out.
    intensity : array_like
        (spot,) sum over the spot [counts]; its variance is taken to be the same. Spots outside `INTENSITY_RANGE` are
        left out: those that are not positive have no logarithm.
    ice : array_like
        (spot,) bool, True on an ice ring. Such spots count for the bins and for both methods of DISTL, not for the
        estimate.
    compiled : bool
        False runs the plain NumPy version; for comparison.

    Returns
    -------
    ResolutionLimits
        All -1 for fewer than `MIN_SPOTS` spots; the second method also for spots of only one resolution, the estimate
        where all spots lie above the line or there is none.

    Raises
    ------
    UsageError
        The arrays have not one and the same length.
    """
    length, counts, icy = np.asarray(d_star, np.float64), np.asarray(intensity, np.float64), np.asarray(ice, np.bool_)
    if length.ndim != 1 or not length.shape == counts.shape == icy.shape:
        raise UsageError(f"d_star {length.shape}, intensity {counts.shape} and ice {icy.shape} are all (spot,)")
    used = (length > D_STAR_RANGE[0]) & (length < D_STAR_RANGE[1])
    used &= (counts > INTENSITY_RANGE[0]) & (counts < INTENSITY_RANGE[1])
    if not used.all():
        length, counts, icy = length[used], counts[used], icy[used]
    if length.size < MIN_SPOTS:
        return ResolutionLimits()
    loops = _load(compiled)
    d_star_sq = length * length
    d_spacing = 1.0 / np.sqrt(d_star_sq)
    ranked = np.sort(d_spacing)[::-1]
    log_ratio = np.log(counts / np.sqrt(counts))
    starts, order = _bins(d_spacing, ranked, log_ratio)
    estimate = loops.estimate_d_min(d_star_sq, log_ratio, counts, icy, starts, order)
    method_1 = loops.distl_method_1(np.sort(length))
    shells = _shells(ranked)
    method_2 = (UNDEFINED, UNDEFINED)
    if shells is not None:
        method_2 = loops.distl_method_2(d_spacing, shells, np.zeros(shells.size - 1, np.int64))
    return ResolutionLimits(float(estimate), *(float(value) for value in (*method_1, *method_2)))


def _bins(d_spacing: Array, ranked: Array, log_ratio: Array) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return where each bin of equal population starts in ``order``, and the spots by bin and then by log I/sigma.

    A bin reaches from a spot (included) to the next edge (excluded), so that the spot of the lowest resolution is in
    none. Its edges are at spots, and spots of equal log I/sigma stay in their order: both are DIALS'.
    """
    n_spots = d_spacing.size
    n_bins = max(min(n_spots // SPOTS_PER_BIN, MAX_BINS), MIN_BINS)
    per_bin = n_spots / n_bins
    edges = np.array([0] + [int((i + 1) * per_bin + 0.5) - 1 for i in range(n_bins)])
    number = np.searchsorted(-ranked[edges], -d_spacing, side="left") - 1
    order = np.lexsort((log_ratio, number))
    starts = np.searchsorted(number[order], np.arange(n_bins + 1), side="left")
    return starts, order


def _shells(ranked: Array) -> Array | None:
    """Return the edges of shells of equal volume (shell + 1,) [Å], descending; ``None`` for spots of one resolution."""
    distinct = ranked[np.concatenate(([True], ranked[1:] != ranked[:-1]))]
    n = distinct.size
    n_lowest = math.ceil(min(max(25.0, 0.05 * n), 0.25 * n))
    if n_lowest >= n:
        return None
    # Whether the outermost spots fall into a shell hangs on the last bit: the C library's power, one at a time.
    first, lowest, last = (math.pow(1.0 / distinct[i], 3.0) for i in (0, n_lowest, n - 1))
    if not (lowest > first and math.isfinite(last)):
        return None
    wanted = (last - first) / (lowest - first)
    n_shells = int(max(min(math.ceil(min(wanted, 1e6)), MAX_SHELLS), MIN_SHELLS))
    step = (last - first) / n_shells
    return np.array([1.0 / (first + i * step) ** (1.0 / 3.0) for i in range(n_shells + 1)])
