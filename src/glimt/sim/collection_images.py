"""The images of a simulated collection: real CBF files from a folder, or drawn ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.codecs.cbf import decode_cbf, encode_cbf
from glimt.codecs.cbf_header import CbfHeader
from glimt.model.errors import UsageError
from glimt.sim.beam import Beam
from glimt.sim.picture_pool import POOL_BYTES, PicturePool
from glimt.sim.scattering import PHOTON_ENERGY_EV, PIXEL_M, WAVELENGTH_ANGSTROM, Setup
from glimt.sources.image_file_bytes import read_image_file


def cbf_header(shape: tuple[int, int], period_s: float) -> CbfHeader:
    """Return what the header of a drawn image says."""
    setup = Setup(shape)
    return CbfHeader(
        detector="glimt simulated detector",
        serial_number="0",
        pixel_size_m=(PIXEL_M, PIXEL_M),
        beam_center_px=setup.beam_center_px,
        distance_m=setup.distance_m,
        wavelength_angstrom=WAVELENGTH_ANGSTROM,
        exposure_s=period_s,
        period_s=period_s,
        count_cutoff=1_000_000,
        threshold_ev=PHOTON_ENERGY_EV / 2,
    )


def drawn_images(shape: tuple[int, int], n_images: int, *, seed: int) -> list[npt.NDArray[Any]]:
    """Return images (slow, fast), int32 [counts]: as many as fit into memory, to be used in turn."""
    pool = PicturePool(shape, "int32", seed=seed, beam=Beam(seed, 0))
    return pool.draw(n_images, np.ascontiguousarray)


def cbf_files_of(folder: Path, n_images: int) -> list[bytes]:
    """Return the CBF files of a folder, unpacked, in the order of their names: as many as fit into memory.

    Raises
    ------
    UsageError
        There are none.
    DecodeError
        One cannot be read.
    """
    paths = sorted(path for path in folder.glob("*") if path.name.endswith((".cbf", ".cbf.gz", ".cbf.bz2")))
    files: list[bytes] = []
    n_bytes = 0
    for path in paths[:n_images]:
        files.append(read_image_file(path, where="simulated collection"))
        n_bytes += len(files[-1])
        if n_bytes > POOL_BYTES:
            break
    if not files:
        raise UsageError(f"{folder} has no CBF files (.cbf, .cbf.bz2, .cbf.gz)")
    return files


def as_cbf(images: list[npt.NDArray[Any]], period_s: float) -> list[bytes]:
    """Return images as CBF files."""
    return [encode_cbf(image, cbf_header((image.shape[0], image.shape[1]), period_s)) for image in images]


def as_pixels(files: list[bytes]) -> tuple[list[npt.NDArray[Any]], CbfHeader]:
    """Return the images of CBF files, which must all be alike, and the header of the first.

    Raises
    ------
    UsageError
        They have different shapes or types.
    """
    decoded = [decode_cbf(file) for file in files]
    kinds = {(image.pixels.shape, image.pixels.dtype) for image in decoded}
    if len(kinds) > 1:
        raise UsageError(f"images of different kinds cannot be in one collection: {sorted(map(str, kinds))}")
    return [image.pixels for image in decoded], decoded[0].header
