"""Pictures drawn and packed before the first is sent, so that drawing never limits the rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import zmq

from glimt.model.errors import UsageError
from glimt.sim.beam import Beam
from glimt.sim.scattering import ScatteringScene

POOL_BYTES = 256 << 20
"""Pictures are drawn and compressed before the first is sent, up to this size of uncompressed pixels [bytes]."""
MAX_POOL_FRAMES = 500

_ZERO_COPY_BYTES = 1 << 16
"""Below this size ZeroMQ is faster with a copy [bytes]."""

T = TypeVar("T")


def pool_size(frame_bytes: int, *, n_frames: int, beam_period: int) -> int:
    """Return how many pictures to draw: as many as there are frames, or as fit, in whole periods of the beam.

    Raises
    ------
    UsageError
        Not even one period of the beam fits.
    """
    fitting = min(MAX_POOL_FRAMES, max(2, POOL_BYTES // max(1, frame_bytes)))
    if n_frames and n_frames <= fitting:
        return n_frames
    if not beam_period:
        return fitting
    if beam_period > fitting:
        raise UsageError(
            f"{fitting} pictures of this size fit into memory, and the beam repeats after {beam_period}; "
            f"give all devices --beam-period {fitting} or less"
        )
    return fitting - fitting % beam_period


def as_part(packed: bytes) -> bytes | zmq.Frame:
    """Return what is quicker to send: large ones as ``zmq.Frame``, which is not copied."""
    return zmq.Frame(packed, copy=False) if len(packed) >= _ZERO_COPY_BYTES else packed


def drawn_pictures(scene: ScatteringScene, count: int, beam: Beam) -> Iterator[npt.NDArray[Any]]:
    """Yield ``count`` pictures ``(rows, columns)`` of ``scene``, as bright as the beam is at their frame numbers.

    Counts are scaled and rounded at random, so that the mean of a region follows the beam exactly.
    """
    dice: npt.NDArray[np.float32] | None = None
    for number, picture in enumerate(scene.pictures(count)):
        if not beam.period:
            yield picture
            continue
        scaled = picture.astype(np.float32) * np.float32(beam.intensity(number))
        if picture.dtype.kind == "f":
            yield scaled.astype(picture.dtype)
            continue
        if dice is None:
            dice = np.random.default_rng(number).random(picture.size, np.float32)
        scaled += np.roll(dice, 7919 * number).reshape(picture.shape)
        yield np.floor(scaled).astype(picture.dtype)


class PicturePool:
    """Packed pictures by frame number; a series that has more frames than there are pictures goes around.

    Parameters
    ----------
    shape, dtype, seed
        Of the `glimt.sim.scattering.ScatteringScene`.
    beam : Beam
        How bright the pictures are.
    channels : int
        Arrays that are made of each picture.
    """

    def __init__(self, shape: tuple[int, int], dtype: str, *, seed: int, beam: Beam, channels: int = 1) -> None:
        self.scene = ScatteringScene(shape, dtype, seed=seed)
        self.frame_bytes = channels * math.prod(shape) * np.dtype(dtype).itemsize
        self._beam = beam

    def draw(self, n_frames: int, pack: Callable[[npt.NDArray[Any]], T]) -> list[T]:
        """Return what ``pack`` makes of each picture of a series of ``n_frames`` (0: endless)."""
        count = pool_size(self.frame_bytes, n_frames=n_frames, beam_period=self._beam.period)
        return [pack(picture) for picture in drawn_pictures(self.scene, count, self._beam)]
