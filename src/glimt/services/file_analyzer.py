"""The analyzer for the images of a file, from what the file says: `glimt analyse` and the services make it here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from glimt.kernels.masks import combine_masks
from glimt.model.errors import UsageError
from glimt.model.geometry import Poni
from glimt.pipeline.workers.image_analysis import ImageAnalyzer, geometry_of
from glimt.pipeline.workers.spot_options import SpotOptions
from glimt.sources.image_file_metadata import ImageMetadata


def file_analyzer(
    known: ImageMetadata,
    spots: SpotOptions,
    *,
    masks: Sequence[npt.NDArray[np.bool_] | None] = (),
    poni: Poni | None = None,
) -> ImageAnalyzer:
    """Return the analyzer for images of which a file says this much.

    Parameters
    ----------
    known : ImageMetadata
        What the file says.
    spots : SpotOptions
        What a spot is.
    masks : sequence of ndarray or None
        (slow, fast) bool, True = excluded; what any of them excludes is left out.
    poni : Poni or None
        Geometry to use instead of what the file says.

    Raises
    ------
    UsageError
        The geometry is not known, or a mask has another shape than the images.
    """
    if len(known.shape) != 2:
        raise UsageError(f"images of shape {known.shape} have modules; only flat images (slow, fast) are analyzed")
    shape = known.shape[0], known.shape[1]
    geometry = geometry_of(
        _poni(known, shape, poni),
        sensor_thickness_m=known.sensor_thickness_m,
        sensor_material=known.sensor_material,
    )
    given = [mask for mask in masks if mask is not None]
    for mask in given:
        if mask.shape != shape:
            raise UsageError(f"the mask has shape {mask.shape}, the images {shape}")
    return ImageAnalyzer(
        geometry,
        options=spots,
        mask=combine_masks(*given) if given else None,
        saturation_value=known.saturation_value,
    )


def _poni(known: ImageMetadata, shape: tuple[int, int], given: Poni | None) -> Poni:
    if given is None:
        poni = known.poni()
        if poni.wavelength is None:
            raise UsageError("the image file does not say the wavelength; give a PONI file")
        return poni
    if given.detector.shape is not None and given.detector.shape != shape:
        raise UsageError(f"the PONI file is for images of {given.detector.shape}, these have {shape} pixels")
    return given if given.detector.shape is not None else given.with_shape(shape)
