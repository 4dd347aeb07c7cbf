"""A kernel that is made for a detector and for parameters, and made anew when one of them changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from glimt.pipeline.workers.detector_stream import DetectorStream, Frame, Values

K = TypeVar("K")


class MadeFor(Generic[K]):
    """Keeps what was made for the frames of now.

    Parameters
    ----------
    make : callable
        Makes it from stream, frame and parameters. When it raises, it is asked again for the next frame.
    """

    def __init__(self, make: Callable[[DetectorStream, Frame, Values | None], K]) -> None:
        self._make = make
        self._made: K | None = None
        self._for: tuple[Any, ...] | None = None

    def get(self, stream: DetectorStream, frame: Frame, parameters: Values | None) -> K:
        """Return it for a frame."""
        given = {name: entry.data for name, entry in (parameters or {}).items()}
        now = (stream.n_headers, stream.modules, frame.shape, frame.dtype.str, given)
        if self._made is None or now != self._for:
            self._made, self._for = None, None
            self._made = self._make(stream, frame, parameters)
            self._for = now
        return self._made
