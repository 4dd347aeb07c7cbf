"""The powder rings of hexagonal ice, which hide among spots."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError

Array = npt.NDArray[np.float64]

ICE_A_ANGSTROM, ICE_C_ANGSTROM = 4.498, 7.338
"""Cell of hexagonal ice, space group P6_3/mmc (194), as DIALS has it."""

ICE_RING_WIDTH = 0.004
"""Default full width of a ring in 1/d² [1/Å²]; DIALS' for per-image analysis."""

MAX_D_STAR_SQ = 400.0
"""No rings are made beyond d = 0.05 Å, where a beam of 0.1 Å scatters straight back."""


@lru_cache(maxsize=16)
def _rings(limit: int) -> Array:
    h, k, l = (  # noqa: E741  the field's name of the third index
        np.arange(math.floor(math.sqrt(limit) * edge) + 1) for edge in (ICE_A_ANGSTROM, ICE_A_ANGSTROM, ICE_C_ANGSTROM)
    )
    # Symmetry brings every ring to 0 <= k <= h, 0 <= l. The c glide takes away hhl with odd l, 00l with them.
    h, k, l = (index.ravel() for index in np.meshgrid(h, k, l, indexing="ij"))  # noqa: E741
    there = (k <= h) & (h + k + l > 0) & ~((h == k) & (l % 2 == 1))
    h, k, l = h[there], k[there], l[there]  # noqa: E741
    d_star_sq = (h * h + h * k + k * k) * (4.0 / 3.0) / ICE_A_ANGSTROM**2 + (l * l) / ICE_C_ANGSTROM**2
    rings: Array = np.unique(d_star_sq[d_star_sq <= limit])
    rings.setflags(write=False)
    return rings


def ice_rings(d_star_sq_max: float) -> Array:
    """Return 1/d² of all rings of hexagonal ice up to a limit, (ring,) float64, ascending [1/Å²].

    Limits beyond `MAX_D_STAR_SQ` are cut there; the array is read-only.

    Raises
    ------
    UsageError
        The limit is not a positive number.
    """
    if not d_star_sq_max > 0:
        raise UsageError(f"ice rings are asked for up to 1/d² = {d_star_sq_max}; a positive number is needed")
    limit = min(d_star_sq_max, MAX_D_STAR_SQ)
    rings = _rings(max(1, math.ceil(limit)))
    return rings[: int(np.searchsorted(rings, limit, side="right"))]


def on_ice_ring(d_star_sq: npt.ArrayLike, *, width: float = ICE_RING_WIDTH) -> npt.NDArray[np.bool_]:
    """Return which resolutions lie within half a width of an ice ring.

    Parameters
    ----------
    d_star_sq : array_like
        (spot,) 1/d² [1/Å²]; NaN and infinite ones are on no ring, and nothing is beyond `MAX_D_STAR_SQ`.
    width : float
        Full width of each ring in 1/d² [1/Å²].

    Returns
    -------
    ndarray
        (spot,) bool.

    Raises
    ------
    UsageError
        The width is not a positive, finite number.
    """
    if not 0 < width < math.inf:
        raise UsageError(f"the width of the ice rings is {width}; a positive number [1/Å²] is needed")
    values = np.asarray(d_star_sq, np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape, np.bool_)
    rings = ice_rings(max(float(values[finite].max()) + 0.5 * width, 1e-3))
    if not rings.size:
        return np.zeros(values.shape, np.bool_)
    above = np.minimum(np.searchsorted(rings, values), rings.size - 1)
    below = np.maximum(above - 1, 0)
    nearest = np.minimum(np.abs(values - rings[above]), np.abs(values - rings[below]))
    found: npt.NDArray[np.bool_] = nearest < 0.5 * width
    return found
