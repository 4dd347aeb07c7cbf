"""Connected regions of a grid of two or three dimensions, corners and edges counting as contact."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def connected_regions(chosen: npt.NDArray[np.bool_]) -> list[tuple[Array, ...]]:
    """Return the connected regions of the chosen cells.

    Parameters
    ----------
    chosen : ndarray
        Of any number of dimensions, bool. Cells touch if no index differs by more than one: 8 neighbors in a plane, 26
        in a volume.

    Returns
    -------
    list of tuple of ndarray
        Each region's indices, (cell,) one array a dimension, in C order; regions in the order of their first cell.
        Empty if no cell is chosen.
    """
    cells = np.nonzero(chosen)
    n_cells = cells[0].size
    if n_cells == 0:
        return []
    # One cell of margin all around, so that no neighbor wraps.
    numbers = np.full([n + 2 for n in chosen.shape], -1, np.intp)
    inside = tuple(index + 1 for index in cells)
    numbers[inside] = np.arange(n_cells)
    label = np.arange(n_cells)
    for step in product((-1, 0, 1), repeat=chosen.ndim):
        if step > (0,) * chosen.ndim:  # the other half of the neighbors finds the same contacts
            other = numbers[tuple(index + move for index, move in zip(inside, step, strict=True))]
            touching = np.flatnonzero(other >= 0)
            label = _merge(label, touching, other[touching])
    order = np.argsort(label, kind="stable")
    cuts = np.flatnonzero(np.diff(label[order])) + 1
    return [tuple(index[members] for index in cells) for members in np.split(order, cuts)]


def _merge(label: Array, one: Array, other: Array) -> Array:
    """Return the smallest cell that each is connected to, from the same before the cells of both arrays touched."""
    while True:
        a, b = label[one], label[other]
        differ = a != b
        if not differ.any():
            return label
        low, high = np.minimum(a[differ], b[differ]), np.maximum(a[differ], b[differ])
        np.minimum.at(label, high, low)
        # Roots now point to smaller roots: follow them to the end.
        while True:
            further = label[label]
            if np.array_equal(further, label):
                break
            label = further
