"""The analyzer for the images of a file, from what the file says: `glimt analyse` and the services make it here."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from glimt.codecs.crystfel_geometry_record import CrystfelGeometry
from glimt.kernels.masks import combine_masks
from glimt.model.detector_geometry import DetectorGeometry
from glimt.model.errors import UsageError
from glimt.model.geometry import Poni
from glimt.pipeline.workers.image_analysis import ImageAnalyzer, geometry_of
from glimt.pipeline.workers.spot_options import SpotOptions
from glimt.pipeline.workers.untrusted_pixels import UntrustedPixels
from glimt.sources.image_file_detector import detector_geometry
from glimt.sources.image_file_metadata import ImageMetadata

Mask = npt.NDArray[np.bool_]


def file_analyzer(
    known: ImageMetadata,
    spots: SpotOptions,
    *,
    masks: Sequence[Mask | None] = (),
    poni: Poni | None = None,
    geometry: CrystfelGeometry | None = None,
    images: str | Path | None = None,
    confine: Callable[[str], None] | None = None,
) -> ImageAnalyzer:
    """Return the analyzer for images of which a file says this much.

    A file that says where each of several modules is gives a detector of so many panels, all others a flat one.

    Parameters
    ----------
    known : ImageMetadata
        What the file says.
    spots : SpotOptions
        What a spot is.
    masks : sequence of ndarray or None
        Bool, True = excluded, of the images' shape or with their modules below each other; what any of them excludes is
        left out.
    poni, geometry : Poni or None, CrystfelGeometry or None
        Geometry to use instead of what the file says; one of the two. Masks and saturation maps that a geometry file
        names are opened; a camera length or wavelength that it leaves to the images is taken from them.
    images : str or Path, optional
        The file, in which a geometry file may have masks and numbers.
    confine : callable, optional
        Raises for a path that must not be opened; see `glimt.sources.crystfel_files.read_geometry_mask`.

    Raises
    ------
    UsageError
        The geometry is not known, or a mask has another shape than the images, or cannot be read.
    DecodeError
        What the geometry file takes from the images' file cannot be read.
    RejectedMessageError
        By ``confine``.
    """
    shape = (math.prod(known.shape[:-1]), known.shape[-1])
    given = [_flat(mask, known.shape, shape) for mask in masks if mask is not None]
    untrusted: UntrustedPixels | None = None
    where: Poni | DetectorGeometry
    if geometry is not None:
        if poni is not None:
            raise UsageError("a PONI file and a CrystFEL geometry file both say where pixels are; give one of them")
        from glimt.services.file_geometry import apply_geometry_file  # imports h5py, which CBF files can do without

        applied = apply_geometry_file(geometry, known, images, confine)
        where = applied.detector
        given.append(applied.mask)
        untrusted = UntrustedPixels(geometry, where, saturation=applied.saturation, mask=combine_masks(*given))
    elif poni is None and (len(known.panels) > 1 or len(known.shape) > 2):
        where = _modules(known)
    else:
        where = _poni(known, shape, poni)
    placed = geometry_of(where, sensor_thickness_m=known.sensor_thickness_m, sensor_material=known.sensor_material)
    return ImageAnalyzer(
        placed,
        options=spots,
        mask=combine_masks(*given) if given else None,
        saturation_value=known.saturation_value,
        untrusted=untrusted,
    )


def _flat(mask: Mask, shape: tuple[int, ...], flat: tuple[int, int]) -> Mask:
    if mask.shape not in (shape, flat):
        raise UsageError(f"the mask has shape {mask.shape}, the images {shape}")
    return mask.reshape(flat)


def _modules(known: ImageMetadata) -> DetectorGeometry:
    n_modules = known.shape[0] if len(known.shape) == 3 else 1
    if len({panel.module_number for panel in known.panels}) < n_modules or len(known.shape) > 3:
        raise UsageError(
            f"images of shape {known.shape} have modules, and the file does not say where each of them is; give a "
            "CrystFEL geometry file"
        )
    return detector_geometry(known)


def _poni(known: ImageMetadata, shape: tuple[int, int], given: Poni | None) -> Poni:
    if given is None:
        poni = known.poni()
        if poni.wavelength is None:
            raise UsageError("the image file does not say the wavelength; give a PONI file")
        return poni
    if len(known.shape) != 2:
        raise UsageError(
            f"images of shape {known.shape} have modules; a PONI file describes flat detectors only, give a CrystFEL "
            "geometry file"
        )
    if given.detector.shape is not None and given.detector.shape != shape:
        raise UsageError(f"the PONI file is for images of {given.detector.shape}, these have {shape} pixels")
    return given if given.detector.shape is not None else given.with_shape(shape)
