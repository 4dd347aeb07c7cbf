"""Images of an HDF5 file as detectors and beamlines write them: NXmx, EIGER master, or an EIGER data file alone."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np
import numpy.typing as npt

from glimt.model.errors import DecodeError, GlimtError
from glimt.sources.image_file_metadata import ImageMetadata
from glimt.sources.image_file_series import check_number, image_buffer
from glimt.sources.nxmx_file_confinement import LinkConfinement
from glimt.sources.nxmx_file_links import HDF5_ERRORS, OpenFiles, child_names
from glimt.sources.nxmx_file_metadata import expected_images, find_detector, find_entry, read_mask, read_metadata
from glimt.sources.nxmx_file_quantities import attribute, text_of
from glimt.sources.nxmx_file_stack import ImageStack
from glimt.sources.nxmx_file_virtual import LinkedStack, open_stack

_NUMBERED = re.compile(r"data_(\d{1,9})")


class NxmxSeries:
    """Images of an HDF5 file and of the files it leads to; an `glimt.sources.image_file_series.ImageSeries`.

    Files that are being written (SWMR) can be read up to where their writers are: see `n_images_ready`.

    Parameters
    ----------
    path : str or Path
        The file.
    confine : callable, optional
        Raises for a path that links must not lead to; see `glimt.sources.image_file.open_images`.

    Raises
    ------
    DecodeError
        The file is missing, is no HDF5 or has no images, or not one of its data files is there.
    """

    def __init__(self, path: str | Path, confine: Callable[[str], None] | None = None) -> None:
        self.path = os.path.abspath(path)
        self._files = OpenFiles(None if confine is None else LinkConfinement(confine).check)
        self._mask: npt.NDArray[np.bool_] | None = None
        self._is_mask_read = False
        try:
            self._stack = self._find_images()
            self.metadata = self._read_metadata()
        except BaseException:
            self.close()
            raise

    def _entry(self) -> Any:
        file = self._files.open(self.path, where="")
        return find_entry(file)

    def _find_images(self) -> ImageStack:
        entry = self._entry()
        if entry is None:
            raise DecodeError("has no group of class NXentry; it is no NXmx or EIGER file", where=self.path)
        for group in _data_groups(entry):
            linked = sorted(
                (int(found[1]), name) for name in child_names(group) if (found := _NUMBERED.fullmatch(name))
            )
            if linked:
                names = [f"{group.name}/{name}" for _, name in linked]
                return LinkedStack(self._files, self.path, names, expected_images(entry))
            name = text_of(attribute(group, "signal")) or "data"
            if name in child_names(group):
                return open_stack(self._files, self.path, f"{group.name}/{name}", where=self.path)
        raise DecodeError(f"{entry.name} has no images, neither data/data nor data/data_000001", where=self.path)

    def _read_metadata(self) -> ImageMetadata:
        shape = self._stack.shape
        if len(shape) == 3 and shape[0] == 1:  # one module, or one channel
            shape = shape[1:]
        return read_metadata(self._entry(), shape, self._stack.dtype.name)

    def __len__(self) -> int:
        return self._stack.n_images

    @property
    def n_images_ready(self) -> int:
        """How many images from the first one on can be read now."""
        return self._stack.n_ready

    @property
    def mask(self) -> npt.NDArray[np.bool_] | None:
        """Pixels that the detector says not to use, True = excluded; ``None`` if the file has no mask."""
        if not self._is_mask_read:
            self._mask = read_mask(self._entry(), self.metadata.shape, where=self.path)
            self._is_mask_read = True
        return self._mask

    def read(self, number: int, out: npt.NDArray[Any] | None = None, *, narrow: bool = False) -> npt.NDArray[Any]:
        """Return an image, see `glimt.sources.image_file_series.ImageSeries.read`."""
        check_number(number, max(len(self), 0), self.path)
        buffer = image_buffer(out, self.metadata, self.path)
        where = f"{self.path}, image {number}"
        try:
            pixels = self._stack.read(int(number), buffer.reshape(self._stack.shape), narrow=narrow, where=where)
        except HDF5_ERRORS as error:
            if isinstance(error, GlimtError):
                raise
            raise DecodeError(f"cannot be read ({str(error)[:120]})", where=where) from None
        return pixels.reshape(self.metadata.shape)

    def close(self) -> None:
        """Close all files."""
        self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _data_groups(entry: Any) -> list[Any]:
    """Return the groups in which images may be, the likeliest first."""
    names = ["data", "data_1", *(name for name in child_names(entry)[:1000] if name not in {"data", "data_1"})]
    groups = []
    for name in names:
        try:
            group = entry.get(name)
        except HDF5_ERRORS:
            continue
        named = name in {"data", "data_1"}
        if isinstance(group, h5py.Group) and (named or text_of(attribute(group, "NX_class")) == "NXdata"):
            groups.append(group)
    detector = find_detector(entry)
    return [*groups, detector] if detector is not None else groups
