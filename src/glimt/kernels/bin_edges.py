"""Bin edges, radial and azimuthal, and the measures by which pixels are sorted into them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_pixels import FramePixels
from glimt.kernels.pixel_positions import Array
from glimt.kernels.radial_units import RadialUnit
from glimt.model.errors import UsageError

MAX_BINS = 1 << 24


@dataclass(frozen=True, slots=True)
class Edges:
    """Edges of adjoining bins.

    Parameters
    ----------
    values : Array
        (n_bins + 1), in the user's unit.
    measures : Array
        (n_bins + 1), the same edges as the bin search compares them, each bin without its upper edge. The last radial
        one is moved up by a rounding error, so that the last bin keeps its upper edge, as in `numpy.histogram`.
    """

    values: Array
    measures: Array

    @property
    def n_bins(self) -> int:
        """Number of bins."""
        return self.values.size - 1

    @property
    def centers(self) -> Array:
        """Middle of each bin (n_bins,), a new array, in the user's unit."""
        middle: Array = 0.5 * (self.values[1:] + self.values[:-1])
        return middle


def _is_count(bins: object) -> bool:
    return isinstance(bins, (int, np.integer)) and not isinstance(bins, bool)


def _check_count(n_bins: int, what: str) -> None:
    if not 1 <= n_bins <= MAX_BINS:
        raise UsageError(f"{n_bins} {what} bins; 1 to {MAX_BINS} are possible")


def _as_edges(bins: Sequence[float] | npt.NDArray[np.generic], what: str) -> Array:
    try:
        edges = np.array(bins, np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{what} bins are neither a number of bins nor a list of edges: {str(bins)[:60]}") from None
    if edges.ndim != 1 or edges.size < 2:
        raise UsageError(f"{what} bin edges are an array of shape {edges.shape}; a list of two or more is needed")
    _check_count(edges.size - 1, what)
    if not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
        raise UsageError(f"{what} bin edges have to grow from each to the next and be finite")
    return edges


def measure_range(pixels: FramePixels, unit: RadialUnit) -> tuple[float, float]:
    """Return the smallest and largest measure of all pixel centers, masked or not; infinite if none has a place."""
    low, high = math.inf, -math.inf
    for block in pixels.blocks():
        measure = unit.measure(block.at)
        low, high = (
            min(low, float(np.fmin.reduce(measure, axis=None))),
            max(high, float(np.fmax.reduce(measure, axis=None))),
        )
    return low, high


def radial_edges(
    pixels: FramePixels,
    unit: RadialUnit,
    bins: int | Sequence[float] | npt.NDArray[np.generic],
    radial_range: tuple[float, float] | None = None,
) -> Edges:
    """Return radial bin edges.

    Parameters
    ----------
    pixels : FramePixels
        Of the detector.
    unit : RadialUnit
        Of the edges.
    bins : int or sequence of float
        Number of equal bins, or the edges themselves [unit].
    radial_range : (float, float), optional
        First and last edge [unit] for a number of bins. Without it, the smallest and largest value of all pixel
        centers: masks do not move the axis.

    Raises
    ------
    UsageError
        No bins, too many, edges that do not grow, an empty range.
    """
    if not _is_count(bins):
        values = _as_edges(bins, "radial")  # type: ignore[arg-type]  # the integer case has just been excluded
        return Edges(values, _measures(unit, values))
    n_bins = int(bins)  # type: ignore[arg-type]  # it is an integer
    _check_count(n_bins, "radial")
    if radial_range is not None:
        low, high = _as_edges(radial_range, "radial")[[0, -1]]
        values = np.linspace(low, high, n_bins + 1)
        return Edges(values, _measures(unit, values))
    low_measure, high_measure = measure_range(pixels, unit)
    if not low_measure < high_measure:
        raise UsageError(f"all pixels have the same {unit.name}; give the radial range")
    values = np.linspace(unit.value_of(low_measure), unit.value_of(high_measure), n_bins + 1)
    measures = _measures(unit, values)
    # The outermost pixels define the range and must not be lost to rounding.
    measures[0], measures[-1] = low_measure, np.nextafter(high_measure, np.inf)
    return Edges(values, measures)


def _measures(unit: RadialUnit, values: Array) -> Array:
    measures = unit.measure_of(values)
    if not (np.diff(measures) > 0).all():
        raise UsageError(f"radial bins of {values[1] - values[0]:.3g} {unit.name} are too narrow to be told apart")
    measures[-1] = np.nextafter(measures[-1], np.inf)
    return measures


def azimuth_edges(bins: int | Sequence[float] | npt.NDArray[np.generic]) -> Edges:
    """Return azimuthal bin edges [deg], within one turn.

    Parameters
    ----------
    bins : int or sequence of float
        Number of equal bins from 0 to 360, or the edges, anywhere between -360 and 720.

    Raises
    ------
    UsageError
        As for `radial_edges`; or the edges span more than a turn.
    """
    if _is_count(bins):
        _check_count(int(bins), "azimuthal")  # type: ignore[arg-type]  # it is an integer
        values = np.linspace(0.0, 360.0, int(bins) + 1)  # type: ignore[arg-type]  # it is an integer
    else:
        values = _as_edges(bins, "azimuthal")  # type: ignore[arg-type]  # the integer case has just been excluded
    if values[0] < -360 or values[-1] > 720 or values[-1] - values[0] > 360:
        raise UsageError(f"azimuthal edges from {values[0]:g} to {values[-1]:g} deg; one turn or less is possible")
    quadrant = np.floor(values / 90.0)
    rest = np.deg2rad(values - 90.0 * quadrant)
    measures: Array = quadrant + np.sin(rest) / (np.sin(rest) + np.cos(rest))
    if not (np.diff(measures) > 0).all():
        raise UsageError("azimuthal bins are too narrow to be told apart")
    return Edges(values, measures)
