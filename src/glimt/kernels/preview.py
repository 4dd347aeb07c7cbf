"""Small pictures of frames: binned, scaled and colored."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.color_maps import color_table
from glimt.kernels.frame_check import checked_count, checked_frame, checked_mask, checked_number, checked_shape
from glimt.kernels.picture_levels import SHIFT, level_table
from glimt.model.errors import UsageError

Array = npt.NDArray[Any]

BINNINGS = ("mean", "max")

SAMPLES = 1 << 14


class Preview:
    """Make small pictures of frames; made once, called for each frame, from one thread at a time.

    Parameters
    ----------
    shape : (int, int)
        (slow, fast).
    factor : int
        Pixels along the squares that become one pixel of the picture; those at the far edges may be cut.
    binning : str
        ``mean`` or ``max`` of a square's valid pixels. A square whose largest is -infinity has none.
    scale : str
        ``linear``, ``sqrt`` or ``log``.
    color_map : str
        One of `glimt.kernels.color_maps.COLOR_MAPS`.
    masked_color : (int, int, int)
        Red, green and blue of squares without a valid pixel.
    mask : array_like, optional
        (slow, fast), True excludes a pixel.
    compiled : bool
        False runs the plain NumPy version, for comparison.

    Attributes
    ----------
    picture_shape : (int, int)
        (rows, columns) of the picture.

    Raises
    ------
    UsageError
        An argument out of range; the text says which are possible.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        factor: int = 4,
        binning: str = "mean",
        scale: str = "sqrt",
        color_map: str = "viridis",
        masked_color: tuple[int, int, int] = (64, 64, 96),
        mask: npt.ArrayLike | None = None,
        compiled: bool = True,
    ) -> None:
        self.shape, self._compiled = checked_shape(shape), compiled
        self.factor = checked_count(factor, "factor", 1, max(self.shape))
        if binning not in BINNINGS:
            raise UsageError(f"there is no binning {str(binning)[:40]!r}; there are {', '.join(BINNINGS)}")
        self._binning, self._scale = binning, scale
        self._range, self._table = (0.0, 1.0), level_table((0.0, 1.0), scale)
        self._colors = color_table(color_map, masked_color=masked_color)
        self._keep = ~checked_mask(mask, self.shape)
        rows, columns = (-(-n // self.factor) for n in self.shape)
        self.picture_shape = rows, columns
        kept = np.add.reduceat(
            np.add.reduceat(self._keep.astype(np.float32), np.arange(0, self.shape[0], self.factor), axis=0),
            np.arange(0, self.shape[1], self.factor), axis=1,
        )  # fmt: skip
        self._inverse = np.full(self.picture_shape, np.nan, np.float32)
        np.divide(np.float32(1), kept, out=self._inverse, where=kept > 0)
        self._column = np.zeros(columns * self.factor, np.uint32), np.zeros(columns * self.factor, np.int64)
        self._binned = np.empty(self.picture_shape, np.float32)
        self._levels = np.empty(self.picture_shape, np.uint8)

    def bin(self, frame: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return the binned frame [counts], (rows, columns), the same buffer each time; NaN where nothing is valid.

        Parameters
        ----------
        frame : array_like
            (slow, fast), any integer or floating type; NaN pixels are left out.

        Raises
        ------
        UsageError
            Another shape, or no numbers.
        """
        values = checked_frame(frame, self.shape)
        floating = values.dtype.kind == "f"
        if not self._compiled:
            self._bin_plain(values)
            return self._binned
        from glimt.kernels import preview_compiled as loops  # imports Numba

        if self._binning == "max":
            least = values.dtype.type(-np.inf if floating else np.iinfo(values.dtype).min)
            row = self.factor, np.empty(self._column[0].size, values.dtype)
            loops.bin_max(values, self._keep, self._inverse, least, row, self._binned)
        elif floating:
            loops.bin_floating_mean(values, self._keep, self.factor, self._binned)
        else:
            narrow = values.dtype.kind == "u" and values.itemsize <= 2 and self.factor <= 1 << 8
            column = self._column[0 if narrow else 1]
            loops.bin_mean(values, self._keep, self._inverse, self.factor, column, self._binned)
        return self._binned

    def _bin_plain(self, values: Array) -> None:
        for r, c in np.ndindex(*self.picture_shape):
            where = np.s_[r * self.factor : (r + 1) * self.factor, c * self.factor : (c + 1) * self.factor]
            kept = values[where][self._keep[where]].astype(np.float64)
            kept = kept[~np.isnan(kept)]
            if kept.size == 0:
                self._binned[r, c] = np.nan
            elif self._binning == "max":
                self._binned[r, c] = kept.max() if kept.max() > -np.inf else np.nan
            elif values.dtype.kind == "f":
                self._binned[r, c] = kept.sum() / kept.size
            else:
                self._binned[r, c] = np.float32(kept.sum()) * self._inverse[r, c]

    def contrast(self, frame: npt.ArrayLike, *, low: float = 1.0, high: float = 99.5) -> tuple[float, float]:
        """Return a range of values that shows most of a frame: percentiles of a sample of its binned pixels.

        Returns 0 to 1 if nothing is valid, and a range of at least 1 count.

        Raises
        ------
        UsageError
            Another shape, no numbers, or percentiles that do not grow from 0 to 100.
        """
        first, last = checked_number(low, "low", 0.0, 100.0), checked_number(high, "high", 0.0, 100.0)
        if not first < last:
            raise UsageError(f"the percentiles {first:g} and {last:g} do not grow")
        binned = self.bin(frame).ravel()
        some = binned[:: max(binned.size // SAMPLES, 1)]
        some = some[np.isfinite(some)]
        if some.size == 0:
            return 0.0, 1.0
        least, most = (float(value) for value in np.percentile(some, [first, last]))
        return least, max(most, least + max(1.0, abs(least) * 1e-3))

    def levels(self, frame: npt.ArrayLike, value_range: tuple[float, float]) -> npt.NDArray[np.uint8]:
        """Return the scaled picture: 0 where nothing is valid, else 1 to 255; a new array (rows, columns).

        Parameters
        ----------
        frame : array_like
            As in `bin`.
        value_range : (float, float)
            Values shown as darkest and as brightest [counts]; infinite values count as what they are next to.

        Raises
        ------
        UsageError
            Another shape, no numbers, or a range that does not grow.
        """
        return self._find_levels(frame, value_range).copy()

    def render(self, frame: npt.ArrayLike, value_range: tuple[float, float] | None = None) -> npt.NDArray[np.uint8]:
        """Return the picture in color, a new array (rows, columns, 3) of red, green and blue.

        Without a range of values, that of `contrast` is taken; parameters and errors as in `levels`.
        """
        levels = self._find_levels(frame, value_range or self.contrast(frame))
        if not self._compiled:
            colored: npt.NDArray[np.uint8] = self._colors[levels]
            return colored
        from glimt.kernels.preview_compiled import color  # imports Numba

        picture = np.empty((*self.picture_shape, 3), np.uint8)
        color(levels.ravel(), self._colors, picture.reshape(-1, 3))
        return picture

    def _find_levels(self, frame: npt.ArrayLike, value_range: tuple[float, float]) -> npt.NDArray[np.uint8]:
        if tuple(value_range) != self._range:
            self._table = level_table(value_range, self._scale)
            self._range = (float(value_range[0]), float(value_range[1]))
        words = self.bin(frame).view(np.uint32)
        if not self._compiled:
            found: npt.NDArray[np.uint8] = self._table[words >> np.uint32(SHIFT)]
            return found
        from glimt.kernels.preview_compiled import look_up  # imports Numba

        look_up(words.ravel(), SHIFT, self._table, self._levels.ravel())
        return self._levels


def thumbnail(shape: tuple[int, int], *, largest_side: int = 256, **options: Any) -> Preview:
    """Return the preview whose picture is as large as possible with no side above ``largest_side`` [px].

    Parameters
    ----------
    shape : (int, int)
        (slow, fast) of the frames.
    largest_side : int
        Of the picture.
    **options
        Of `Preview`, other than ``factor``.

    Raises
    ------
    UsageError
        The shape is none, or an option is out of range.
    """
    side = checked_count(largest_side, "largest_side", 1, 1 << 14)
    return Preview(shape, factor=-(-max(checked_shape(shape)) // side), **options)
