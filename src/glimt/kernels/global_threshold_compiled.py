"""A histogram of the counts of a frame up to a limit, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.compiled_code import compiled

Array = npt.NDArray[Any]


@compiled
def count_whole_values(values: Array, table: Array) -> None:
    """Count the pixels of each count, of integers.

    As `count_values`, (n_pixels,) of any integer type. Neighbors, which are often equal, go to different rows of
    ``table`` (4, limit + 1): adding to one address again waits for the first store. What is not above 0 goes to 0.
    """
    limit = table.shape[1] - 1
    for i in range(values.size):
        value = values[i]
        # Pixels of 0 are counted as well: nobody can foresee which those are, and a branch took nine times as long.
        place = limit if value > limit else np.int64(value)
        table[i & 3, max(place, 0)] += 1


@compiled
def count_values(values: Array, table: Array) -> None:
    """Count the pixels of each count.

    Parameters
    ----------
    values : ndarray
        (n_pixels,), any floating type. Fractions count as the next whole number: they are above the same whole numbers.
    table : ndarray
        (limit + 1,) int64, added to; the last entry also has all that is greater. What is not above 0 is left out.
    """
    limit = table.size - 1
    top = np.float64(limit)
    for i in range(values.size):
        value = values[i]
        if value > 0:
            table[limit if value >= top else np.int64(np.ceil(value))] += 1
