"""Azimuthal integration: a frame to intensity over q, 2theta or r, and over azimuth as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.azimuthal_result import Array, AzimuthalResult, finish
from glimt.kernels.bin_edges import azimuth_edges, radial_edges
from glimt.kernels.frame_pixels import FramePixels, SolidAngle, frame_pixels
from glimt.kernels.pixel_bins import Loops, find_pixel_bins
from glimt.kernels.pixel_positions import polarization
from glimt.kernels.radial_units import radial_unit
from glimt.model.detector_geometry import DetectorGeometry
from glimt.model.errors import UsageError
from glimt.model.geometry import Poni

__all__ = ["AzimuthalIntegrator", "AzimuthalResult"]

Pixels = npt.NDArray[Any]

MOST_BINS_INTERLEAVED = 1 << 14
"""Beyond, neighboring pixels hardly share a bin and four sets of accumulators would leave the cache."""


def _load(compiled: bool) -> Loops:
    if compiled:
        from glimt.kernels import azimuthal_compiled  # imports Numba, which only whoever integrates has to wait for

        return azimuthal_compiled
    from glimt.kernels import azimuthal_plain

    return azimuthal_plain


def _checked_mask(mask: npt.ArrayLike, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    array = np.asarray(mask)
    if array.shape != shape:
        raise UsageError(f"the mask has shape {array.shape}, the detector {shape}")
    if array.dtype.kind not in "biuf":
        raise UsageError(f"the mask has type {array.dtype}; True, or a number other than zero, excludes a pixel")
    return array.astype(np.bool_).ravel()


def _corrections(
    pixels: FramePixels, with_solid_angle: bool | SolidAngle, factor: float | None
) -> npt.NDArray[np.float32] | None:
    """Return what each pixel (n_pixels,) is divided by, ``None`` if nothing is corrected."""
    if with_solid_angle not in (True, False, "incidence", "panels"):
        raise UsageError(f"solid_angle is {str(with_solid_angle)[:40]!r}; True, False, incidence or panels is possible")
    if not with_solid_angle and factor is None:
        return None
    correction = np.ones(pixels.shape, np.float32)
    if with_solid_angle:
        correction *= pixels.solid_angle("panels" if with_solid_angle == "panels" else "incidence")
    if factor is not None:
        for block in pixels.blocks():
            correction[block.area] *= polarization(block.at, factor)
    return correction.ravel()


def _placed(pixels: FramePixels) -> npt.NDArray[np.bool_]:
    """Return which pixels (n_pixels,) have a place."""
    placed = np.zeros(pixels.shape, np.bool_)
    for block in pixels.blocks():
        placed[block.area] = np.isfinite(block.at.t1) & np.isfinite(block.at.t2) & np.isfinite(block.at.t3)
    return placed.ravel()


class AzimuthalIntegrator:
    """Integrate frames of one detector; made once, called for each frame, from several threads if need be.

    A pixel belongs to the bin that its center falls into, ``edges[i] <= x < edges[i + 1]``, the very last edge
    included. Split pixels are shared among bins by the centers of ``n_splitting`` x ``n_splitting`` sub-pixels.

    Parameters
    ----------
    geometry : Poni, DetectorGeometry or FramePixels
        Where the pixels are. The detector of a `Poni` needs a shape unless ``mask`` has one, a `DetectorGeometry` of
        several panels needs placements; pixels of the frame that are on no panel are left out.
        `glimt.kernels.positioned_pixels.from_pyfai` takes over any detector of pyFAI.
    radial_bins : int or sequence of float
        Number of equal bins over ``radial_range``, or edges [unit].
    azimuth_bins : int or sequence of float, optional
        Number of sectors from 0 to 360, or edges [deg], 0 along the fast axis, growing towards the slow axis; with a
        `DetectorGeometry` from its ``horizontal`` towards its ``vertical``.
    unit : str
        ``q_A^-1``, ``q_nm^-1``, ``2th_deg``, ``2th_rad``, ``r_mm`` or ``r_m``, as pyFAI calls them.
    radial_range : (float, float), optional
        [unit]; without it, from the smallest to the largest value of all pixel centers, masked or not.
    mask : array_like, optional
        (slow, fast), True excludes a pixel.
    n_splitting : int
        1 does not split and is fastest.
    solid_angle : bool or str
        Correct for the solid angle of a tilted and distant pixel. True or ``"incidence"`` relates each pixel to one at
        the foot of the normal of its own panel, as pyFAI does; ``"panels"`` all to that of the first panel, which
        differs where panels are at several distances or have pixels of several sizes.
    polarization_factor : float, optional
        Correct for polarization: 1 horizontal (fast axis), -1 vertical, 0 circular; ``None`` does not.
    correct_pixels : bool
        False divides the sum of pixels by the sum of their corrections (pyFAI; best statistics, and fastest because
        counts stay whole numbers). True divides each pixel by its correction and takes the mean (azint).
    sigma : bool
        Whether to estimate errors; free, except for split pixels and for ``correct_pixels``.
    empty : float
        Intensity and sigma of bins without pixels.
    compiled : bool
        False runs the plain NumPy version, several times slower; for comparison.

    Attributes
    ----------
    radial_axis : ndarray
        (radial,) centers of the radial bins [unit].
    azimuth_axis : ndarray or None
        (azimuth,) centers of the azimuthal bins [deg].
    radial_edges, azimuth_edges : ndarray, ndarray or None
        Edges of both.
    shape : (int, int)
        Of the frames.

    Raises
    ------
    UsageError
        An argument makes no sense with the others; the text says which and why.
    """

    def __init__(
        self,
        geometry: Poni | DetectorGeometry | FramePixels,
        radial_bins: int | Sequence[float] | npt.NDArray[Any],
        *,
        azimuth_bins: int | Sequence[float] | npt.NDArray[Any] | None = None,
        unit: str = "q_A^-1",
        radial_range: tuple[float, float] | None = None,
        mask: npt.ArrayLike | None = None,
        n_splitting: int = 1,
        solid_angle: bool | SolidAngle = True,
        polarization_factor: float | None = None,
        correct_pixels: bool = False,
        sigma: bool = True,
        empty: float = float("nan"),
        compiled: bool = True,
    ) -> None:
        if isinstance(geometry, Poni) and geometry.detector.shape is None and mask is not None:
            geometry = geometry.with_shape(np.shape(mask))
        pixels = frame_pixels(geometry)
        self.geometry, self.shape, self.unit = geometry, pixels.shape, unit
        self._empty, self._compiled, self._sigma = float(empty), compiled, sigma
        measured = radial_unit(unit, pixels.wavelength)
        radial = radial_edges(pixels, measured, radial_bins, radial_range)
        azimuthal = None if azimuth_bins is None else azimuth_edges(azimuth_bins)
        self.radial_edges, self.radial_axis = radial.values, radial.centers
        self.azimuth_edges = azimuthal.values if azimuthal else None
        self.azimuth_axis = azimuthal.centers if azimuthal else None
        self._result_shape = (azimuthal.n_bins, radial.n_bins) if azimuthal else (radial.n_bins,)
        self._correction = _corrections(pixels, solid_angle, polarization_factor)
        excluded = ~_placed(pixels)
        if mask is not None:
            excluded |= _checked_mask(mask, pixels.shape)
        if self._correction is not None:
            # Horizontally polarized light does not scatter at all to 90 degrees: such a pixel tells nothing.
            excluded |= ~(self._correction > 0)
        self._map = find_pixel_bins(
            pixels, measured, radial, azimuthal, excluded=excluded, n_splitting=n_splitting, loops=_load(compiled)
        )
        self._each = correct_pixels and self._correction is not None
        self._weights = self._make_weights()
        self._squared = self._weights.astype(np.float32) ** 2 if sigma and self._weights is not None else None
        self._n_sub, self._norm = self._map.sum_over(None if self._each else self._correction)

    def _make_weights(self) -> Pixels | None:
        """Return the weight of each pixel or entry; ``None`` if all are 1."""
        counts = self._map.counts
        if not self._each or self._correction is None:
            return counts
        excluded = ~(self._correction > 0)
        inverse = np.divide(1.0, self._correction, out=np.zeros_like(self._correction), where=~excluded)
        if counts is None:
            return inverse
        weights: Pixels = counts * inverse[self._map.pixels]
        return weights

    @property
    def norm(self) -> Array:
        """Norm of each bin for a frame without NaN, a new array shaped like the result."""
        return self._norm.reshape(self._result_shape).copy()

    def integrate(self, frame: npt.ArrayLike, *, mask: npt.ArrayLike | None = None) -> AzimuthalResult:
        """Return the integrated frame.

        Parameters
        ----------
        frame : array_like
            (slow, fast), any integer or floating type. NaN pixels are left out, as if they were masked; infinite ones
            make their bins infinite.
        mask : array_like, optional
            (slow, fast), True excludes a pixel of this frame, besides the integrator's own mask.

        Raises
        ------
        UsageError
            Frame or mask has another shape than the detector, or is not made of numbers.
        """
        values = self._values(frame)
        floating = values.dtype.kind == "f"
        bad = None if mask is None else _checked_mask(mask, self.shape)
        signal = None
        if bad is None:
            signal = self._sum(values, self._weights)
            # NaN is contagious: pixels are looked through only if a sum has caught it.
            bad = np.isnan(values) if floating and np.isnan(signal).any() else None
        elif floating:
            bad |= np.isnan(values)
        n_sub, norm = self._n_sub, self._norm
        if bad is not None and bad.any():
            values = np.where(bad, values.dtype.type(0), values)
            less_sub, less_norm = self._map.sum_over(None if self._each else self._correction, np.flatnonzero(bad))
            n_sub, norm = n_sub - less_sub, norm - less_norm
            signal = None
        if signal is None:
            signal = self._sum(values, self._weights)
        return self._finish(values, signal, n_sub, norm)

    def _finish(self, values: Pixels, signal: Array, n_sub: npt.NDArray[np.int64], norm: Array) -> AzimuthalResult:
        variance = None
        if self._sigma:
            variance = signal.copy() if self._squared is None else self._sum(values, self._squared)
        if self._map.counts is not None:
            signal /= self._map.sub_pixels
            if variance is not None:
                variance /= self._map.sub_pixels**2
        norm = np.where(n_sub > 0, norm, 0.0)  # a difference of sums need not be zero to the last bit
        shape = self._result_shape
        return finish(
            signal.reshape(shape),
            None if variance is None else variance.reshape(shape),
            norm.reshape(shape),
            (n_sub / self._map.sub_pixels).reshape(shape),
            empty=self._empty,
        )

    def _values(self, frame: npt.ArrayLike) -> Pixels:
        values = np.asarray(frame)
        if values.shape != self.shape:
            raise UsageError(f"the frame has shape {values.shape}, the detector {self.shape}")
        kind, size = values.dtype.kind, values.dtype.itemsize
        if kind not in "biuf":
            raise UsageError(f"the frame has type {values.dtype}; pixels are integers or floating numbers")
        if kind == "b":
            return np.ascontiguousarray(values).view(np.uint8).ravel()
        # Few types, because each costs a second of compiling: the common ones of detectors go through as they are.
        wanted: np.dtype[Any] = np.dtype(np.int32 if kind == "i" else np.float32)
        if size > 4:
            wanted = np.dtype(np.float64)
        elif kind == "u":
            wanted = values.dtype.newbyteorder("=")
        return np.ascontiguousarray(values, wanted).ravel()

    def _sum(self, values: Pixels, weights: Pixels | None) -> Array:
        """Return the sum of each bin (n_bins,), float64."""
        loops, n_bins = _load(self._compiled), self._map.n_bins
        lanes = 4 if n_bins <= MOST_BINS_INTERLEAVED else 1
        whole = weights is None and values.dtype.kind in "iu"
        sums = np.zeros((lanes, n_bins + 1), np.int64 if whole else np.float64)
        if weights is None:
            loops.add_pixels(values, self._map.bins, sums)
        elif self._map.pixels is None:
            loops.add_weighted_pixels(values, self._map.bins, weights, sums)
        else:
            loops.add_entries(values, self._map.pixels, self._map.bins, weights, sums)
        with np.errstate(invalid="ignore"):  # infinite pixels of both signs
            total: Array = sums[:, :n_bins].sum(axis=0).astype(np.float64)
        return total
