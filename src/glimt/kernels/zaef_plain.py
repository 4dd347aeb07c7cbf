"""The gradient search of Zaefferer in plain Python: what `glimt.kernels.zaef_compiled` is held against."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def integrate_ring(
    panel: Array, excluded: Array, at: tuple[int, int], radii: tuple[float, float, float], adu_per_photon: float
) -> tuple[float, ...] | None:
    """Return fs, ss, intensity, maximum, signal to noise and pixels of a disc, None if it cannot be integrated."""
    inner, middle, outer = radii
    reach = int(outer)
    wide = np.pad(panel, reach)
    bad = np.pad(excluded | ~np.isfinite(panel), reach, constant_values=True)
    y, x = (a - reach for a in np.indices((2 * reach + 1, 2 * reach + 1)))
    where = slice(at[0], at[0] + 2 * reach + 1), slice(at[1], at[1] + 2 * reach + 1)
    disc, d = y**2 + x**2 <= inner**2, y**2 + x**2
    ring = (middle**2 <= d) & (d <= outer**2)
    if bad[where][ring | disc].any() or not ring.any():
        return None
    background = wide[where][ring]
    mean = background.sum() / background.size
    variance = max((background * background).sum() / background.size - mean**2, 0.0)
    v = wide[where][disc] - mean
    intensity = v.sum()
    square = v.size * variance + adu_per_photon * intensity
    x_sum, y_sum = (v * x[disc]).sum(), (v * y[disc]).sum()
    if intensity <= 0 or square <= 0 or x_sum**2 + y_sum**2 > (inner * intensity) ** 2:
        return None
    place = at[1] + x_sum / intensity, at[0] + y_sum / intensity
    return (*place, intensity, max(v.max(), 0.0), intensity / np.sqrt(square), v.size)


def _summit(panel: Array, excluded: Array, start: tuple[int, int], reach: float) -> tuple[int, int] | None:
    step, here = int(reach), start
    while True:
        first = max(here[0] - step, 0), max(here[1] - step, 0)
        window = np.where(excluded, -np.inf, panel)[first[0] : here[0] + step + 1, first[1] : here[1] + step + 1]
        row, column = np.unravel_index(np.nanargmax(window), window.shape)
        best = int(row) + first[0], int(column) + first[1]
        if not panel[best] > panel[here]:
            best = here
        if (best[0] - start[0]) ** 2 + (best[1] - start[1]) ** 2 > reach**2:
            return None
        if best == here:
            return best
        here = best


def _steep(panel: Array, at: tuple[int, int]) -> float:
    y, x = at
    with np.errstate(invalid="ignore"):  # infinite pixels
        return _square_gradient(panel, y, x)


def _square_gradient(panel: Array, y: int, x: int) -> float:
    along_fs = (panel[y, x] - panel[y, x + 1]) ** 2 + (panel[y, x - 1] - panel[y, x]) ** 2
    along_ss = (panel[y, x] - panel[y + 1, x + 1]) ** 2 + (panel[y - 1, x] - panel[y, x]) ** 2
    return float(0.5 * along_fs + 0.5 * along_ss)


def find_peaks(
    frame: Array,
    excluded: Array,
    panel_shape: tuple[int, int],
    threshold: float,
    rule: tuple[float, float, tuple[float, float, float], float],
) -> list[tuple[float, ...]]:
    """Return the peaks of a frame, panel by panel, as `glimt.kernels.zaef_compiled.find_peaks` does.

    Parameters
    ----------
    frame, excluded : ndarray
        (slow, fast) float64 and bool.
    panel_shape : (int, int)
        (slow, fast).
    threshold : float
        Pixels above may lie on the slope of a peak.
    rule : tuple
        As there.
    """
    least_gradient, least_snr, radii, adu_per_photon = rule
    peaks: list[tuple[float, ...]] = []
    for first in np.ndindex(frame.shape[0] // panel_shape[0], frame.shape[1] // panel_shape[1]):
        ss_min, fs_min = first[0] * panel_shape[0], first[1] * panel_shape[1]
        where = slice(ss_min, ss_min + panel_shape[0]), slice(fs_min, fs_min + panel_shape[1])
        panel, bad = frame[where], excluded[where]
        for ss, fs in np.argwhere((panel > threshold) & (panel < np.inf) & ~bad):
            at = int(ss), int(fs)
            inside = 0 < ss < panel.shape[0] - 1 and 0 < fs < panel.shape[1] - 1
            summit = None
            if inside and _steep(panel, at) >= least_gradient:
                summit = _summit(panel, bad, at, radii[0])
            found = integrate_ring(panel, bad, summit, radii, adu_per_photon) if summit else None
            if found is None or found[4] < least_snr:
                continue
            found = (found[0] + fs_min, found[1] + ss_min, *found[2:])
            if all((p[0] - found[0]) ** 2 + (p[1] - found[1]) ** 2 >= (2 * radii[0]) ** 2 for p in peaks):
                peaks.append(found)
    return peaks
