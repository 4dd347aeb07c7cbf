"""A CrystFEL geometry file applied to the images of a file: its panels, and what its masks and maps exclude."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from glimt.codecs.crystfel_geometry_detector import detector_geometry
from glimt.codecs.crystfel_geometry_record import CrystfelGeometry, GeometryValue
from glimt.model.detector_geometry import DetectorGeometry
from glimt.sources.crystfel_files import read_geometry_mask, read_header, read_saturation
from glimt.sources.image_file_metadata import ImageMetadata


@dataclass(frozen=True, slots=True, eq=False)
class AppliedGeometry:
    """What a geometry file says of images.

    Parameters
    ----------
    detector : DetectorGeometry
        Its panels, placed in a frame with the images' modules below each other.
    mask : ndarray
        (slow, fast) bool of frames, True = excluded.
    saturation : ndarray or None
        (slow, fast) float64 largest count of each pixel that is not saturated.
    """

    detector: DetectorGeometry
    mask: npt.NDArray[np.bool_]
    saturation: npt.NDArray[np.float64] | None


def apply_geometry_file(
    record: CrystfelGeometry,
    known: ImageMetadata,
    images: str | Path | None = None,
    confine: Callable[[str], None] | None = None,
) -> AppliedGeometry:
    """Return what a geometry file says of the images of a file.

    Camera length and wavelength that it leaves to a header are those at that place of the file, otherwise those that
    the file says as NXmx or EIGER masters do.

    Parameters
    ----------
    record : CrystfelGeometry
        What the geometry file says.
    known : ImageMetadata
        What the file of the images says.
    images : str or Path, optional
        That file.
    confine : callable, optional
        Raises for a path that must not be opened.

    Raises
    ------
    UsageError, DecodeError, RejectedMessageError
        As `glimt.sources.crystfel_files.read_geometry_mask`; or the panels do not fit the images.
    """
    header = {} if images is None else read_header(record, images=images, confine=confine)

    def is_missing(value: GeometryValue | None) -> bool:
        return value is None or (isinstance(value.value, str) and value.value not in header)

    no_length = any(is_missing(panel.clen or record.clen) for panel in record.panels)
    detector = detector_geometry(
        record,
        header=header,
        camera_length_m=known.distance_m if no_length else None,
        wavelength_angstrom=known.wavelength_angstrom if is_missing(record.beam) else None,
        frame_shape=known.shape,
    )
    return AppliedGeometry(
        detector,
        read_geometry_mask(record, detector, images=images, confine=confine),
        read_saturation(record, detector, images=images, confine=confine),
    )


def needs_images_file(record: CrystfelGeometry) -> bool:
    """Return whether what a geometry file says depends on the file of the images, beyond what every file says."""
    values = [record.beam, record.clen, record.shift_x, record.shift_y, *(panel.clen for panel in record.panels)]
    if any(value is not None and isinstance(value.value, str) for value in values):
        return True
    return any(
        any(mask.data is not None and mask.file is None for mask in panel.masks)
        or (panel.saturation_map is not None and panel.saturation_map_file is None)
        for panel in record.panels
    )
