"""Connected pixels: from a list of strong pixels to the spots they make."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import checked_shape
from glimt.model.errors import UsageError

Pixels = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int32]


@lru_cache(maxsize=2)
def _loops(compiled: bool) -> Any:
    if compiled:
        from glimt.kernels import components_compiled  # imports Numba, which only whoever searches has to wait for

        return components_compiled
    from glimt.kernels import components_plain

    return components_plain


def _checked_pixels(pixels: npt.ArrayLike) -> Pixels:
    array = np.asarray(pixels)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise UsageError(f"the pixels have shape {array.shape} and type {array.dtype}; flat pixel numbers are needed")
    return np.ascontiguousarray(array, np.int64)


def label_components(
    pixels: npt.ArrayLike, shape: tuple[int, int], *, connectivity: int = 4, compiled: bool = True
) -> tuple[Labels, int]:
    """Tell which strong pixels are connected.

    Parameters
    ----------
    pixels : array_like
        (n_strong,) integers, flat pixel numbers ``slow * n_fast + fast``, ascending, as
        `glimt.kernels.strong_pixels.StrongPixelFinder.find` gives them.
    shape : (int, int)
        (slow, fast) [px] of the frame.
    connectivity : int
        4: pixels that share an edge; 8: also those that share a corner.
    compiled : bool
        False runs the plain version, for comparison.

    Returns
    -------
    ndarray, int
        (n_strong,) int32 component number of each pixel, components in order of their first pixels; how many there are.
        No pixels make no components.

    Raises
    ------
    UsageError
        Pixels out of order, twice or outside the frame; another connectivity than 4 or 8.
    """
    shape = checked_shape(shape)
    if connectivity not in (4, 8):
        raise UsageError(f"connectivity is {str(connectivity)[:20]}; 4 or 8 is possible")
    checked = _checked_pixels(pixels)
    labels = np.empty(checked.size, np.int32)
    n_components = int(_loops(compiled).label(checked, shape, connectivity == 8, labels))
    if n_components < 0:
        raise UsageError(f"the pixels have to ascend from 0 to at most {shape[0] * shape[1] - 1}, each once")
    return labels, n_components


def measure_components(
    frame: npt.NDArray[Any], pixels: Pixels, labels: Labels, spots: npt.NDArray[np.void], *, compiled: bool = True
) -> None:
    """Fill in the zeroed rows ``spots`` of type `glimt.kernels.spots.SPOT`, one for each component.

    ``frame`` is (slow, fast) and contiguous; ``pixels`` and ``labels`` are those of `label_components`.
    """
    _loops(compiled).measure(frame.reshape(-1), pixels, labels, frame.shape[1], spots)
