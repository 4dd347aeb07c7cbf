"""One call for every way in which detectors pack pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glimt.model.errors import DecodeError
from glimt.model.frame import check_array

if TYPE_CHECKING:
    from typing_extensions import Buffer


def decode_pixels(
    payload: Buffer, *, compression: str, shape: Sequence[int], dtype: str, where: str = "pixels"
) -> npt.NDArray[Any]:
    """Return the pixels of one frame."""
    dimensions, element, nbytes = check_array(shape, dtype, where=where)
    if compression == "none":
        if memoryview(payload).nbytes != nbytes:
            raise DecodeError("size", where=where)
        return np.frombuffer(memoryview(payload), element).reshape(dimensions)
    raise DecodeError(f"compression {compression!r}", where=where)


def encode_pixels(pixels: npt.NDArray[Any], *, compression: str) -> bytes:
    """Return the pixels packed."""
    return np.ascontiguousarray(pixels).tobytes()
