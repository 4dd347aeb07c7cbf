"""What azimuthal integration of a frame gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AzimuthalResult:
    """What integrating one frame gives; arrays are (radial,) or (azimuth, radial), float64, and the caller's own.

    Parameters
    ----------
    intensity : ndarray
        ``signal / norm``; the integrator's ``empty`` where a bin has no pixel.
    sigma : ndarray or None
        Standard deviation of the intensity if pixels are Poisson distributed counts.
    signal, variance : ndarray, ndarray or None
        Sum of the pixels (each divided by its correction first, if the integrator was told so) and its variance.
    norm : ndarray
        Sum of the pixels' corrections; just their number, if each was divided by its own.
    n_pixels : ndarray
        Number of pixels, with fractions for those that are split.
    """

    intensity: Array
    sigma: Array | None
    signal: Array
    variance: Array | None
    norm: Array
    n_pixels: Array

    def over_azimuth(self, *, empty: float = float("nan")) -> AzimuthalResult:
        """Return the (radial,) result of all sectors of an (azimuth, radial) one together.

        Parts of one split pixel in several sectors count as independent, which makes sigma a little too small.
        """
        variance = None if self.variance is None else self.variance.sum(axis=0)
        return finish(self.signal.sum(axis=0), variance, self.norm.sum(axis=0), self.n_pixels.sum(axis=0), empty=empty)


def finish(signal: Array, variance: Array | None, norm: Array, n_pixels: Array, *, empty: float) -> AzimuthalResult:
    """Return the result that sums make; bins with no pixel get ``empty`` in intensity and sigma."""
    used = (n_pixels > 0) & (norm > 0)
    intensity, sigma = np.full_like(signal, empty), None
    np.divide(signal, norm, out=intensity, where=used)
    if variance is not None:
        sigma = np.full_like(signal, empty)
        np.divide(np.sqrt(np.maximum(variance, 0.0)), norm, out=sigma, where=used)
    return AzimuthalResult(intensity, sigma, signal, variance, norm, n_pixels)
