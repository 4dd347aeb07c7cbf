"""Compile what the per-image analysis runs before the first image comes."""

from __future__ import annotations

import logging
import time

import numpy as np
from numba.core import event

from glimt.codecs.cbf import decode_cbf, encode_cbf
from glimt.codecs.pixels import decode_pixels
from glimt.codecs.pixels.encode import encode_pixels
from glimt.codecs.pixels.narrow import decode_narrowed
from glimt.pipeline.workers.spot_options import SpotOptions
from glimt.services.file_analyzer import file_analyzer
from glimt.sources.image_file_metadata import ImageMetadata

DTYPES = ("int32", "uint16", "uint32")
"""CBF files; HDF5 files, of which 32-bit images are narrowed when they are decoded; those that cannot be."""

_SIDE = 128

log = logging.getLogger(__name__)


def warm_kernels(spots: SpotOptions) -> None:
    """Decode and analyze a small artificial image of each common type.

    Numba keeps what it compiles on disk, so this takes some twenty seconds once on a machine, and a second or two
    later. The log says when it begins and when it is done, and that something is compiled only if that is so.
    """
    log.info("getting ready")
    began = time.monotonic()
    with event.install_listener("numba:compile", _TellFirst()):
        _analyze_all(spots)
    log.info("ready, after %.1f s", time.monotonic() - began)


class _TellFirst(event.Listener):
    """Logs the first function that Numba compiles; what it finds on disk it does not tell of."""

    def __init__(self) -> None:
        self._is_told = False

    def on_start(self, event: object) -> None:
        del event
        if not self._is_told:
            self._is_told = True
            log.info("compiling kernels, which takes some twenty seconds the first time on a machine")

    def on_end(self, event: object) -> None:
        del event


def _analyze_all(spots: SpotOptions) -> None:
    pixels = np.full((_SIDE, _SIDE), 2, np.int32)
    pixels[::3] += 1
    for k in range(64):  # enough spots that a limit of resolution is looked for
        row, column = 8 + 14 * (k // 8), 8 + 14 * (k % 8)
        pixels[row : row + 2, column : column + 2] = 100 + 10 * k
    decode_cbf(encode_cbf(pixels))
    for dtype in DTYPES:
        typed = pixels.astype(dtype)
        packed = encode_pixels(typed, compression="bslz4")
        for decode in (decode_pixels, decode_narrowed):
            decode(packed, compression="bslz4", shape=typed.shape, dtype=dtype, framing="hdf5")
        known = ImageMetadata(
            shape=typed.shape,
            dtype=dtype,
            pixel_size_m=(1e-4, 1e-4),
            beam_center_px=(-20.0, -30.0),
            distance_m=0.02,
            wavelength_angstrom=1.0,
            saturation_value=50_000.0,
        )
        file_analyzer(known, spots, masks=(np.zeros(typed.shape, np.bool_),)).analyze(typed)
