"""The images of a simulated collection: real CBF files from a folder, or drawn ones."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.codecs.cbf import decode_cbf, encode_cbf
from glimt.codecs.cbf_header import CbfHeader
from glimt.model.errors import UsageError
from glimt.sim.beam import Beam
from glimt.sim.faults import Choice
from glimt.sim.picture_pool import POOL_BYTES, PicturePool, pool_size
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


def drawn_images(
    shape: tuple[int, int], n_images: int, *, seed: int, spots: Choice | None = None
) -> list[npt.NDArray[Any]]:
    """Return images (slow, fast), int32 [counts]: as many as fit into memory, to be used in turn.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns [px].
    n_images : int
    seed : int
    spots : Choice or None
        Images (from 0) of a grid scan that show the spots of a crystal, while the others show background alone;
        ``None``: all show a powder and some spots.

    Raises
    ------
    UsageError
        There are more images than fit into memory, so that each cannot have what is chosen for it.
    """
    pool = PicturePool(shape, "int32", seed=seed, beam=Beam(seed, 0))
    if spots is None:
        return pool.draw(n_images, np.ascontiguousarray)
    n_fitting = pool_size(pool.frame_bytes, n_frames=n_images, beam_period=0)
    if n_fitting < n_images:
        raise UsageError(f"--spots chooses among {n_fitting} images of this size at most, and {n_images} are asked for")
    random = Random(seed)
    chosen = [spots.takes(number, 1, random) for number in range(n_images)]
    return [np.ascontiguousarray(picture) for picture in pool.scene.crystal_pictures(chosen)]


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
