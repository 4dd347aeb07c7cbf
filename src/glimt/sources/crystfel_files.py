"""The files that a CrystFEL geometry file leads to: masks, saturation maps, and numbers in the file of the images."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import hdf5plugin  # noqa: F401  its import makes the compression filters of detectors known
import numpy as np
import numpy.typing as npt

from glimt.codecs.crystfel_geometry_mask import constant_mask
from glimt.codecs.crystfel_geometry_planes import file_mask, saturation_values
from glimt.codecs.crystfel_geometry_record import CrystfelGeometry
from glimt.kernels.masks_file import MAX_SOURCES
from glimt.model.detector_geometry import DetectorGeometry
from glimt.model.errors import DecodeError, UsageError
from glimt.model.geometry import MAX_PIXELS
from glimt.sources.nxmx_file_confinement import LinkConfinement
from glimt.sources.nxmx_file_links import HDF5_ERRORS, OpenFiles, find_object, linked_path

MAX_IMAGES = 1 << 22
"""Of a number that the file has for each image."""

Confine = Callable[[str], None]


def read_geometry_mask(
    geometry: CrystfelGeometry,
    detector: DetectorGeometry,
    *,
    images: str | Path | None = None,
    confine: Confine | None = None,
) -> npt.NDArray[np.bool_]:
    """Return all pixels that a geometry file excludes from every frame, its masks in files among them.

    Parameters
    ----------
    geometry : CrystfelGeometry
        What the file says, of `glimt.codecs.crystfel_geometry.read_geometry`.
    detector : DetectorGeometry
        Made of it by `glimt.codecs.crystfel_geometry_detector.detector_geometry`.
    images : str or Path, optional
        The images' HDF5 file, in which masks are that name no file. Without it these are left out.
    confine : callable, optional
        Raises for a path that must not be opened; see `glimt.sources.image_file.open_images`.

    Returns
    -------
    ndarray
        (slow, fast) bool, True = excluded.

    Raises
    ------
    UsageError
        A named file is missing or cannot be read, has no such dataset, or one of another shape or type.
    DecodeError
        The same of the file of the images.
    RejectedMessageError
        By ``confine``.
    """
    mask = constant_mask(geometry, detector)
    with CrystfelFiles(images, confine) as files:
        more = file_mask(geometry, detector, files.read)
    return mask if more is None else mask | more


def read_saturation(
    geometry: CrystfelGeometry,
    detector: DetectorGeometry,
    *,
    images: str | Path | None = None,
    confine: Confine | None = None,
) -> npt.NDArray[np.float64] | None:
    """Return the largest count of each pixel that is not saturated, as `saturation_values` does, files opened.

    Parameters and errors are those of `read_geometry_mask`.
    """
    with CrystfelFiles(images, confine) as files:
        return saturation_values(geometry, detector, files.read)


def read_header(geometry: CrystfelGeometry, *, images: str | Path, confine: Confine | None = None) -> dict[str, float]:
    """Return the numbers that a geometry file has in the images' HDF5 file, by their locations.

    Those that are not there, or are no numbers, are left out: the `detector_geometry` of the file says what it misses.
    What the file has for each image is taken if it is the same for all.

    Raises
    ------
    UsageError
        A number is not finite, or differs from image to image.
    DecodeError
        The file cannot be read.
    RejectedMessageError
        By ``confine``.
    """
    lengths = [geometry.beam, geometry.clen, geometry.shift_x, geometry.shift_y]
    lengths += [panel.clen for panel in geometry.panels]
    places = {length.value for length in lengths if length is not None and isinstance(length.value, str)}
    with CrystfelFiles(images, confine) as files:
        numbers = {place: files.number(place) for place in sorted(places)}
    return {place: number for place, number in numbers.items() if number is not None}


class CrystfelFiles:
    """Reads arrays by the names that a geometry file has for them.

    Parameters
    ----------
    images : str or Path, optional
        The file of the images.
    confine : callable, optional
        Raises for a path that must not be opened, also for those that HDF5 would follow.
    """

    def __init__(self, images: str | Path | None = None, confine: Confine | None = None) -> None:
        self._images = None if images is None else os.path.abspath(images)
        self._confine = confine
        self._files = OpenFiles(None if confine is None else LinkConfinement(confine).check)

    def read(self, file: str | None, dataset: str) -> npt.NDArray[Any] | None:
        """Return a whole dataset, ``None`` if it would be in the file of the images and that is no HDF5 file.

        ``file`` counts from the working directory, as for CrystFEL. Errors as of `read_geometry_mask`.
        """
        if file is None:
            return None if self._images is None or not h5py.is_hdf5(self._images) else self._read(self._images, dataset)
        path = os.path.abspath(file)
        if self._confine is not None:
            self._confine(path)
        if not os.path.isfile(path):  # neither a device nor a pipe, which would block
            told = "" if os.path.isabs(file) else f" (as {path}: such names count from the working directory)"
            raise UsageError(f"the geometry file names {file[:300]}{told}, and there is no such file")
        try:
            return self._read(path, dataset)
        except DecodeError as error:
            raise UsageError(f"the geometry file takes {dataset[:100]} from {path}: {error.what}") from None

    def _read(self, path: str, dataset: str) -> npt.NDArray[Any]:
        where, found = find_object(self._files, path, dataset, where="")
        if not isinstance(found, h5py.Dataset) or not found.shape:
            raise DecodeError(f"{dataset[:100]} is no dataset with an array", where=path)
        if not 0 < found.size <= MAX_PIXELS or found.dtype.kind not in "biuf":
            raise DecodeError(
                f"{dataset[:100]} is {list(found.shape)} of {str(found.dtype)[:40]}; 1 to {MAX_PIXELS} numbers are "
                "possible",
                where=path,
            )
        try:
            if found.is_virtual:
                self._check_sources(found, where)
            return np.asarray(found[()])
        except (*HDF5_ERRORS, MemoryError) as error:
            if isinstance(error, DecodeError):
                raise
            raise DecodeError(f"{dataset[:100]} cannot be read ({str(error)[:120]})", where=path) from None

    def _check_sources(self, dataset: Any, path: str) -> None:
        """Raise if a source is missing: HDF5 would fill in zeros, which exclude nothing."""
        sources = dataset.virtual_sources()
        if len(sources) > MAX_SOURCES:
            raise DecodeError(f"{dataset.name} is put together from {len(sources)} places", where=path)
        for source in sources:
            if "%b" in source.file_name + source.dset_name:
                raise DecodeError(f"{dataset.name} takes pixels from files named {source.file_name[:80]!r}", where=path)
            find_object(self._files, linked_path(source.file_name, path), source.dset_name, where=path)

    def number(self, location: str) -> float | None:
        """Return a number of the file of the images, ``None`` if there is none at that place; see `read_header`."""
        if self._images is None or not h5py.is_hdf5(self._images):
            return None
        try:
            where, found = find_object(self._files, self._images, location, where="")
        except DecodeError:
            return None
        is_number = isinstance(found, h5py.Dataset) and found.shape is not None and found.dtype.kind in "iuf"
        if not is_number or not 0 < found.size <= MAX_IMAGES:
            return None
        try:
            if found.is_virtual:
                self._check_sources(found, where)
            values = np.asarray(found[()], np.float64).ravel()
        except HDF5_ERRORS as error:
            if isinstance(error, DecodeError):
                raise
            raise DecodeError(f"{location[:100]} cannot be read ({str(error)[:120]})", where=self._images) from None
        if not np.isfinite(values).all():
            raise UsageError(
                f"{self._images}: {location[:100]} is not a finite number; write one into the geometry file"
            )
        if values.min() != values.max():
            raise UsageError(
                f"{self._images}: {location[:100]} is {values.min():g} to {values.max():g}: it differs from image to "
                "image; write one number into the geometry file"
            )
        return float(values[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._files.close()
