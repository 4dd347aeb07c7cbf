"""Color maps of pictures, interpolated between a few colors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError

N_LEVELS = 255

_ANCHORS: dict[str, tuple[str, ...]] = {
    "gray": ("000000", "ffffff"),
    "inverted": ("ffffff", "000000"),
    "heat": ("000000", "7f0000", "ff3f00", "ffbf00", "ffffff"),
    # Seventeen colors each of the maps of that name, which their authors gave to the public domain (CC0).
    "viridis": (
        "440154",
        "48186a",
        "472d7b",
        "424086",
        "3b528b",
        "33638d",
        "2c728e",
        "26828e",
        "21918c",
        "1fa088",
        "28ae80",
        "3fbc73",
        "5ec962",
        "84d44b",
        "addc30",
        "d8e219",
        "fde725",
    ),
    "inferno": (
        "000004",
        "0b0724",
        "210c4a",
        "3d0965",
        "57106e",
        "71196e",
        "8a226a",
        "a32c61",
        "bc3754",
        "d24644",
        "e45a31",
        "f1731d",
        "f98e09",
        "fcac11",
        "f9cb35",
        "f2ea69",
        "fcffa4",
    ),
}

COLOR_MAPS = tuple(_ANCHORS)


def color_table(name: str, *, masked_color: tuple[int, int, int] = (64, 64, 96)) -> npt.NDArray[np.uint8]:
    """Return the colors of levels 0 (no valid pixel) and 1 to 255.

    Parameters
    ----------
    name : str
        One of `COLOR_MAPS`.
    masked_color : (int, int, int)
        Red, green and blue of level 0.

    Returns
    -------
    ndarray
        (256, 3) uint8.

    Raises
    ------
    UsageError
        An unknown name, or no color.
    """
    if name not in _ANCHORS:
        raise UsageError(f"there is no color map {str(name)[:40]!r}; there are {', '.join(COLOR_MAPS)}")
    anchors = np.array([list(bytes.fromhex(color)) for color in _ANCHORS[name]], np.float64)
    masked = np.asarray(masked_color)
    if masked.shape != (3,) or masked.dtype.kind not in "iu" or not ((masked >= 0) & (masked <= 255)).all():
        raise UsageError(f"the masked color is {str(masked_color)[:40]}; three numbers from 0 to 255 are needed")
    at = np.linspace(0.0, len(anchors) - 1.0, N_LEVELS)
    table = np.empty((N_LEVELS + 1, 3), np.uint8)
    table[0] = masked
    for channel in range(3):
        table[1:, channel] = np.rint(np.interp(at, np.arange(len(anchors)), anchors[:, channel]))
    return table
