"""What an NXmx or EIGER master file says about its images.

Where the two differ, the name of NXmx is looked for first. Sources: NeXus manual, NXmx and NXdetector (v2024.02);
DECTRIS, "SIMPLON API reference", file writer 1.8 and 2.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from glimt.model.errors import DecodeError
from glimt.sources.image_file_metadata import HC_EV_ANGSTROM, ImageMetadata
from glimt.sources.nxmx_file_geometry import FlatPosition, flat_position, read_panels
from glimt.sources.nxmx_file_links import HDF5_ERRORS, child_names
from glimt.sources.nxmx_file_quantities import (
    ANGSTROM,
    ANY,
    ELECTRONVOLT,
    METERS,
    PIXELS,
    SECONDS,
    attribute,
    dataset_in,
    read_quantity,
    read_text,
    text_of,
    unit_of,
)


def find_entry(file: Any) -> Any:
    """Return the group of the measurement: class NXentry, or called ``entry`` or ``entry_1``; ``None`` without."""
    return _child(file, "NXentry", ("entry", "entry_1"))


def find_detector(entry: Any) -> Any:
    """Return the group of the detector, ``None`` if there is none."""
    instrument = _child(entry, "NXinstrument", ("instrument", "instrument_1"))
    return _child(instrument, "NXdetector", ("detector", "detector_1", "ELE_D0"))


def _child(group: Any, nexus_class: str, names: tuple[str, ...]) -> Any:
    if not isinstance(group, h5py.Group):
        return None
    for name in (*names, *child_names(group)[:1000]):
        try:
            child = group.get(name)
        except HDF5_ERRORS:
            continue
        named = name in names
        if isinstance(child, h5py.Group) and (named or text_of(attribute(child, "NX_class")) == nexus_class):
            return child
    return None


def read_metadata(entry: Any, shape: tuple[int, ...], dtype: str) -> ImageMetadata:
    """Return what the file says; what is missing, damaged or in an unknown unit is ``None``."""
    detector = find_detector(entry)
    panels = read_panels(detector, shape) if detector is not None else ()
    pixel_size = _pixel_size(detector) or (panels[0].pixel_size_m if panels else None)
    derived = flat_position(panels[0]) if len(panels) == 1 else None
    return ImageMetadata(
        shape=shape,
        dtype=dtype,
        detector_name=read_text(detector, "description"),
        serial_number=read_text(detector, "serial_number") or read_text(detector, "detector_number"),
        pixel_size_m=pixel_size,
        beam_center_px=_beam_center(detector, pixel_size, derived),
        distance_m=_distance(detector, derived),
        wavelength_angstrom=_wavelength(entry, detector),
        exposure_s=read_quantity(detector, "count_time", SECONDS, unit="s"),
        period_s=read_quantity(detector, "frame_time", SECONDS, unit="s"),
        sensor_thickness_m=read_quantity(detector, "sensor_thickness", METERS, unit="m"),
        sensor_material=read_text(detector, "sensor_material"),
        threshold_ev=read_quantity(detector, "threshold_energy", ELECTRONVOLT, unit="ev"),
        saturation_value=_saturation(detector, dtype),
        panels=panels,
    )


def _pixel_size(detector: Any) -> tuple[float, float] | None:
    slow = read_quantity(detector, "y_pixel_size", METERS, unit="m")
    fast = read_quantity(detector, "x_pixel_size", METERS, unit="m")
    return (slow, fast) if slow and fast and slow > 0 and fast > 0 else None


def _distance(detector: Any, derived: FlatPosition | None) -> float | None:
    for name in ("distance", "detector_distance"):
        distance = read_quantity(detector, name, METERS, unit="m")
        if distance and distance > 0:  # writers put 0 where nobody has told them
            return distance
    return derived.distance_m if derived else None


def _beam_center(
    detector: Any, pixel_size: tuple[float, float] | None, derived: FlatPosition | None
) -> tuple[float, float] | None:
    center = []
    for axis, name in enumerate(("beam_center_y", "beam_center_x")):
        dataset = dataset_in(detector, name)
        if unit_of(dataset, "pixel") in PIXELS:
            center.append(read_quantity(detector, name, PIXELS, unit="pixel"))
        elif pixel_size:
            length = read_quantity(detector, name, METERS, unit="m")
            center.append(None if length is None else length / pixel_size[axis])
    if len(center) == 2 and center[0] is not None and center[1] is not None and any(center):
        return center[0], center[1]
    return derived.beam_center_px if derived else None


def _wavelength(entry: Any, detector: Any) -> float | None:
    for name in (
        "instrument/beam/incident_wavelength",
        "instrument/beam/wavelength",
        "sample/beam/incident_wavelength",
        "instrument/monochromator/wavelength",
    ):
        wavelength = read_quantity(entry, name, ANGSTROM, unit="angstrom")
        if wavelength and wavelength > 0:
            return wavelength
    for group, name in (
        (entry, "instrument/beam/incident_energy"),
        (entry, "instrument/monochromator/energy"),
        (detector, "detectorSpecific/photon_energy"),
        (detector, "photon_energy"),
    ):
        energy = read_quantity(group, name, ELECTRONVOLT, unit="ev")
        if energy and energy > 0:
            return HC_EV_ANGSTROM / energy
    return None


def _saturation(detector: Any, dtype: str) -> float | None:
    for name in (
        "saturation_value",
        "detectorSpecific/saturation_value",
        "detectorSpecific/countrate_correction_count_cutoff",
        "countrate_correction_count_cutoff",
    ):
        value = read_quantity(detector, name, ANY | {"counts": 1.0, "count": 1.0}, unit="")
        if value and value > 0:
            return value
    bits = read_quantity(detector, "bit_depth_image", ANY, unit="")
    return 2.0**bits - 3 if bits in {8.0, 16.0, 32.0} and dtype.startswith("u") else None


def expected_images(entry: Any) -> int | None:
    """Return how many images the detector was told to take, ``None`` if the file does not say."""
    specific = find_detector(entry)
    n_images = read_quantity(specific, "detectorSpecific/nimages", ANY, unit="")
    n_triggers = read_quantity(specific, "detectorSpecific/ntrigger", ANY, unit="")
    n = (n_images or 0) * (n_triggers or 1)
    return int(n) if 0 < n < 1 << 40 else None


def read_mask(entry: Any, shape: tuple[int, ...], *, where: str) -> npt.NDArray[np.bool_] | None:
    """Return the detector's pixel mask as an image's mask, True = excluded; ``None`` if the file has none.

    Every bit that is set excludes a pixel: gaps, dead, too weak, too strong, noisy.

    Raises
    ------
    DecodeError
        The mask is there and cannot be read, or has another shape: analyzing without it would be wrong.
    """
    detector = find_detector(entry)
    for name in ("pixel_mask", "pixel_mask_1", "detectorSpecific/pixel_mask", "threshold_1_channel/pixel_mask"):
        dataset = dataset_in(detector, name)
        if dataset is None or dataset.ndim < 2:
            continue
        n_pixels = int(np.prod(dataset.shape, dtype=np.float64))
        of_all_modules = n_pixels == int(np.prod(shape))
        if dataset.shape[-2:] != shape[-2:] or not (of_all_modules or n_pixels == shape[-2] * shape[-1]):
            raise DecodeError(f"its {name} has {list(dataset.shape)} pixels, images {list(shape)}", where=where)
        try:
            excluded: npt.NDArray[np.bool_] = np.asarray(dataset[()]) != 0
        except HDF5_ERRORS as error:
            raise DecodeError(f"its {name} cannot be read ({str(error)[:100]})", where=where) from None
        if of_all_modules:
            return excluded.reshape(shape)
        return np.broadcast_to(excluded.reshape(shape[-2:]), shape).copy()  # the same for every channel
    return None
