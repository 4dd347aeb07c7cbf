"""Which pixels of a frame are strong: the dispersion thresholds of DIALS."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from glimt.kernels.dispersion_rule import DispersionRule, checked_rule
from glimt.kernels.frame_check import checked_frame, checked_mask, checked_number, checked_shape
from glimt.kernels.global_threshold import estimate_global_threshold
from glimt.model.errors import UsageError

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.int64]

Threshold = Literal["dispersion", "dispersion_extended"]
GlobalThreshold = float | Literal["auto"]

UNTRUSTED_SHARE, EXACT_SHARE = 256, 64
"""One pixel in so many may be untrusted, or need its neighborhood summed anew, before a frame is treated as unusual."""


def _checked_gain(gain: npt.ArrayLike | None, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    if gain is None:
        return np.ones((1, 1))
    array = np.asarray(gain)
    if array.dtype.kind not in "iuf" or array.shape not in ((), (1, 1), shape):
        raise UsageError(f"the gain has shape {array.shape} and type {array.dtype}; a number or {shape} is needed")
    array = np.array(array, np.float64, ndmin=2)
    if not (np.isfinite(array).all() and array.min() > 0):
        raise UsageError("the gain has a value that is not a positive number; give counts per photon of every pixel")
    return np.ascontiguousarray(array)


def _runs(mask: npt.NDArray[np.bool_]) -> tuple[Array, Array]:
    """Return the runs of excluded pixels (run, 2) and where those of each row start (slow + 1,)."""
    edges = np.zeros((mask.shape[0], mask.shape[1] + 2), np.int8)
    edges[:, 1:-1] = mask
    steps = np.diff(edges, axis=1)
    slow, first = np.nonzero(steps == 1)
    last = np.nonzero(steps == -1)[1]
    starts = np.searchsorted(slow, np.arange(mask.shape[0] + 1)).astype(np.int64)
    return starts, np.ascontiguousarray(np.stack([first, last], axis=1), np.int32)


class StrongPixelFinder:
    """Find strong pixels; made once for a detector, called for each frame, by one thread at a time.

    Gives pixel for pixel what DIALS 3.12 gives. ``dispersion`` takes pixels whose neighborhood varies more than
    counting explains and that are far above its mean. ``dispersion_extended`` takes the rim off the regions whose
    neighborhoods vary too much, and compares what is left with the background around: more spots, more pixels of each.

    Parameters
    ----------
    shape : (int, int)
        (slow, fast) [px].
    threshold : str
        ``dispersion`` or ``dispersion_extended``.
    kernel_size : (int, int)
        Half sizes of the neighborhood (slow, fast) [px], 1 to 25.
    sigma_background : float
        Standard deviations of variance / mean above which a neighborhood is no background.
    sigma_strong : float
        Standard deviations above the local mean from which a pixel is strong.
    min_local : int
        Fewest pixels in a neighborhood, 2 or more; 0 or less: all of it, so that nothing is found at edges and gaps.
    global_threshold : float or str
        Strong pixels are greater [counts]. ``"auto"`` estimates it from each frame as DIALS does, see
        `glimt.kernels.global_threshold`.
    gain : array_like, optional
        Counts per photon, one number or (slow, fast).
    mask : array_like, optional
        (slow, fast), True excludes a pixel.
    trusted_range : (float, float), optional
        Lowest and highest count to trust [counts]; pixels outside are excluded in that frame. (DIALS excludes the two
        ends as well: for its ``(-1, 65535)`` of counts say ``(0, 65534)``.)
    max_strong_fraction : float
        More strong pixels than this part of all is an error, not a diffraction pattern.
    compiled : bool
        False runs the plain NumPy version, ten to a hundred times slower; for comparison.

    Raises
    ------
    UsageError
        An argument makes no sense; the text says which and what is possible.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        threshold: Threshold = "dispersion",
        kernel_size: tuple[int, int] = (3, 3),
        sigma_background: float = 6.0,
        sigma_strong: float = 3.0,
        min_local: int = 2,
        global_threshold: GlobalThreshold = 0.0,
        gain: npt.ArrayLike | None = None,
        mask: npt.ArrayLike | None = None,
        trusted_range: tuple[float, float] | None = None,
        max_strong_fraction: float = 0.25,
        compiled: bool = True,
    ) -> None:
        if threshold not in get_args(Threshold):
            raise UsageError(f"threshold is {str(threshold)[:40]!r}; {' or '.join(get_args(Threshold))} is possible")
        self.shape = checked_shape(shape)
        self.extended = threshold == "dispersion_extended"
        self.is_automatic = isinstance(global_threshold, str) and global_threshold == "auto"
        least: Any = 0.0 if self.is_automatic else global_threshold
        self.rule = checked_rule(
            kernel_size=kernel_size, sigma_background=sigma_background, sigma_strong=sigma_strong, min_local=min_local,
            global_threshold=least, has_gain=gain is not None, trusted_range=trusted_range,
        )  # fmt: skip
        self._gain = _checked_gain(gain, self.shape)
        self.mask = checked_mask(mask, self.shape)
        fraction = checked_number(max_strong_fraction, "max_strong_fraction", 0.0, 1.0)
        self._most = math.floor(fraction * self.shape[0] * self.shape[1])
        self._search = (
            _CompiledSearch(self.mask, self._gain, self.rule, self._most, self.extended) if compiled else None
        )

    def find(self, frame: npt.ArrayLike, *, global_threshold: float | None = None) -> Pixels:
        """Return the strong pixels.

        Parameters
        ----------
        frame : array_like
            (slow, fast), any integer or floating type [counts]. NaN and infinite pixels are excluded. Negative ones
            count like any other unless ``mask`` or ``trusted_range`` excludes them.
        global_threshold : float, optional
            For this frame alone [counts], 0 or more.

        Returns
        -------
        ndarray
            (n_strong,) int64, flat pixel numbers ``slow * n_fast + fast``, ascending; empty if there are none, as for a
            frame of zeros or one that is excluded as a whole. The caller's own.

        Raises
        ------
        UsageError
            Another shape, not numbers, or more than ``max_strong_fraction`` of the pixels are strong.
        """
        values = checked_frame(frame, self.shape)
        rule = self.rule
        if global_threshold is not None:
            rule = rule._replace(global_threshold=float(global_threshold))
        elif self.is_automatic:
            threshold = estimate_global_threshold(values, compiled=self._search is not None)
            rule = rule._replace(global_threshold=float(threshold))
        if self._search is not None:
            n_found, found = self._search.find(values, rule)
        else:
            from glimt.kernels.dispersion_plain import find_dispersion, find_extended

            found = (find_extended if self.extended else find_dispersion)(values, self.mask, self._gain, rule)
            n_found = found.size
        if n_found > self._most:
            raise UsageError(
                f"{n_found} of {values.size} pixels are strong, at most {self._most} make sense: is there a mask for "
                "gaps and saturated pixels, and is the gain right? max_strong_fraction sets the limit"
            )
        return found


class _CompiledSearch:
    """The compiled thresholds with their buffers."""

    def __init__(
        self, mask: npt.NDArray[np.bool_], gain: Array, rule: DispersionRule, most: int, extended: bool
    ) -> None:
        from glimt.kernels import dispersion_compiled  # imports Numba, which only whoever searches has to wait for
        from glimt.kernels.dispersion_plain import neighborhood_sum

        self._mask, self._gain, self._rule, self._extended = mask, gain, rule, extended
        self._starts, self._runs = _runs(mask)
        counts = neighborhood_sum(~mask, rule.kernel_slow, rule.kernel_fast, dtype=np.uint16)
        counts[mask] = 0
        self._counts, self._pristine = counts.copy(), counts
        least_gain = float(gain.min())
        # A little less than exact, because the quick tests round to single precision.
        self._quick = dispersion_compiled.QuickTest(
            clamp=0xFFFF // rule.window,
            window=float(rule.window),
            least_square=0.999 * rule.sigma_strong**2 * least_gain * rule.window,
            least_dispersion=0.999 * rule.least_dispersion(least_gain),
            most_exact=mask.size // EXACT_SHARE + 4096,
        )
        self._dropped = np.zeros(mask.size // UNTRUSTED_SHARE + 64, np.int64)
        self._found = np.zeros(most, np.int64)
        marks = mask.shape if extended else (1, 0)
        self._dispersed, self._peaks = np.zeros(marks, np.uint8), np.zeros(marks, np.uint8)
        rows = mask.shape[0] if extended else 0
        self._in_row, self._peaks_in_row = np.zeros(rows, np.int64), np.zeros(rows, np.int64)

    def find(self, frame: Array, rule: DispersionRule) -> tuple[int, Pixels]:
        """Return the number of strong pixels and as many of them as there is room for."""
        from glimt.kernels.dispersion_dense_compiled import find_densely
        from glimt.kernels.dispersion_sums_compiled import UNUSUAL

        self._rule = rule
        status, n_found = UNUSUAL, 0
        if frame.dtype.kind in "iu":
            status, n_found = self._find_quickly(frame)
        if status == UNUSUAL:
            self._dispersed[:] = 0
            status, n_found = find_densely(
                frame, self._mask, self._gain, self._rule, self._quick.least_dispersion, self._dispersed, self._in_row,
                self._found,
            )  # fmt: skip
        if self._extended:
            status, n_found = self._find_above_background(frame)
        return n_found, self._found[:n_found].copy()

    def _find_quickly(self, frame: Array) -> tuple[int, int]:
        from glimt.kernels.dispersion_compiled import find_quickly, restore_counts

        self._dispersed[:] = 0
        status, n_found, n_dropped = find_quickly(
            frame, self._mask, self._starts, self._runs, self._counts, self._gain, self._rule, self._quick,
            self._dropped, self._dispersed, self._in_row, self._found,
        )  # fmt: skip
        if n_dropped:
            restore_counts(self._counts, self._pristine, self._dropped[:n_dropped], self._rule)
        return status, n_found

    def _find_above_background(self, frame: Array) -> tuple[int, int]:
        from glimt.kernels.dispersion_extended_compiled import erode, find_above_background

        reach = min(self._rule.kernel_slow, self._rule.kernel_fast) - 1
        erode(self._dispersed, self._in_row, reach, self._peaks, self._peaks_in_row)
        return find_above_background(
            frame, self._mask, self._peaks, self._peaks_in_row, self._gain, self._rule, self._found
        )
