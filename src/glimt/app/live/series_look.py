"""What the operator should know of a series: the shape that its header announces, and the one its frames have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glimt.codecs.registry import protocol_named
from glimt.model.errors import GlimtError


@dataclass(frozen=True, slots=True)
class SeriesLook:
    """Looks at a start packet and a data packet of a protocol; pickled to the ingester's process.

    Attributes
    ----------
    protocol : str
        Name of the protocol.
    """

    protocol: str

    def __call__(self, start: Sequence[Any], data: Sequence[Any]) -> dict[str, Any]:
        """Return shapes (slow, fast) [px] and NumPy names of pixel types, as far as the protocol tells them."""
        protocol = protocol_named(self.protocol)
        found: dict[str, Any] = {}
        try:
            announced = getattr(protocol.decode(start), "image_shape", None)
            if isinstance(announced, tuple):
                found["header_shape"] = list(announced)
            pixels = getattr(protocol.decode(data), "data", None)
            if isinstance(pixels, dict):
                pixels = next(iter(pixels.values()), None)
            if isinstance(pixels, np.ndarray):
                found |= {"frame_shape": list(pixels.shape), "frame_type": pixels.dtype.name}
        except GlimtError:  # the worker, which needs it, says so
            return found
        return found
