"""Masks from a user's file: NumPy ``.npy``, or a dataset of an HDF5 file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.kernels.frame_check import MAX_PIXELS
from glimt.kernels.masks import Mask, mask_from_detector
from glimt.model.errors import UsageError

MAX_SOURCES = 10_000
"""Of a mask that is a virtual dataset; the largest detectors have some hundred modules."""
HDF5_ENDINGS = (".h5", ".hdf5", ".nxs", ".hdf")


def read_mask(path: str | Path, *, shape: tuple[int, int] | None = None, valid: bool = False) -> Mask:
    """Return the mask that a file holds.

    Parameters
    ----------
    path : str or Path
        ``mask.npy``, or an HDF5 file and a dataset in it, as in ``mask.h5:/entry/mask``.
    shape : (int, int), optional
        (slow, fast) [px] that it has to have.
    valid : bool
        False: values other than 0 exclude. True: values other than 0 are good pixels, as in masks of DIALS.

    Raises
    ------
    UsageError
        The file is missing, damaged, of another kind or shape; the text names it.
    """
    text = str(path)
    name, _, dataset = text.rpartition(":")
    if name.lower().endswith(HDF5_ENDINGS) and dataset:
        array = _read_hdf5(name, dataset)
    elif text.lower().endswith(".npy"):
        array = _read_npy(text)
    else:
        raise UsageError(f"{text[:200]}: a mask is read from FILE.npy or FILE.h5:/path/to/dataset")
    if shape is not None and array.shape != tuple(shape):
        raise UsageError(f"{text[:200]}: the mask has shape {array.shape}, the frame {tuple(shape)}")
    mask = mask_from_detector(array)
    return ~mask if valid else mask


def read_hdf5_array(path: str | Path, dataset: str) -> npt.NDArray[Any]:
    """Return a dataset of numbers of any number of dimensions, such as the mask of a detector with modules.

    Raises
    ------
    UsageError
        There is no such file or dataset, it cannot be read, is empty, too large, or not made of numbers.
    """
    if not os.path.isfile(path):  # neither a device nor a pipe, which would block
        raise UsageError(f"{path}: there is no such file")
    return _read_hdf5(str(path), dataset, any_shape=True)


def _check(shape: tuple[int, ...], dtype: np.dtype[Any], name: str, *, any_shape: bool = False) -> None:
    n_pixels = 1
    for n in shape:
        n_pixels *= int(n)
    if not (any_shape or len(shape) == 2) or not 0 < n_pixels <= MAX_PIXELS:
        wanted = "an array" if any_shape else "(slow, fast)"
        raise UsageError(f"{name}: the mask has shape {shape}; {wanted} with 1 to {MAX_PIXELS} pixels is needed")
    if dtype.kind not in "biuf":
        raise UsageError(f"{name}: the mask has type {str(dtype)[:40]}; numbers are needed")


def _read_npy(name: str) -> npt.NDArray[Any]:
    try:
        array = np.load(name, mmap_mode="r", allow_pickle=False)  # the file's own size bounds what a header can ask for
    except (OSError, ValueError, EOFError, SyntaxError, TypeError, OverflowError, MemoryError) as error:
        raise UsageError(f"{name}: cannot be read as .npy: {str(error)[:200]}") from None
    _check(array.shape, array.dtype, name)
    return np.asarray(array)


def _check_sources(found: Any, what: str) -> None:
    """Raise if a source of a virtual dataset is missing: HDF5 would fill in zeros, which exclude nothing."""
    import h5py

    here = found.file.filename
    sources = {(source.file_name, source.dset_name) for source in found.virtual_sources()}
    if len(sources) > MAX_SOURCES:
        raise UsageError(f"{what} is put together from {len(sources)} places; at most {MAX_SOURCES} are possible")
    for file_name, dataset in sorted(sources):
        path = here if file_name == "." else next(filter(os.path.isfile, _places(here, file_name)), None)
        if path is None:
            raise UsageError(f"{what} takes pixels from {file_name[:200]}, and there is no such file")
        with h5py.File(path, "r") as file:
            if not isinstance(file.get(dataset), h5py.Dataset):
                raise UsageError(f"{what} takes pixels from {dataset[:100]!r} of {file_name[:200]}, which is not there")


def _places(here: str, file_name: str) -> list[str]:
    """Return where HDF5 looks for a source: beside the file, in the working directory, and where a link leads."""
    folders = [os.path.dirname(os.path.abspath(here)), os.getcwd(), os.path.dirname(os.path.realpath(here))]
    return [os.path.join(folder, name) for name in (file_name, os.path.basename(file_name)) for folder in folders]


def _read_hdf5(name: str, dataset: str, *, any_shape: bool = False) -> npt.NDArray[Any]:
    import h5py
    import hdf5plugin  # noqa: F401  its import makes the compression filters of detectors known

    try:
        with h5py.File(name, "r") as file:
            found = file.get(dataset)
            if not isinstance(found, h5py.Dataset):
                raise UsageError(f"{name}: there is no dataset {dataset[:100]!r}")
            _check(found.shape or (), found.dtype, f"{name}:{dataset[:100]}", any_shape=any_shape)
            if found.is_virtual:
                _check_sources(found, f"{name}:{dataset[:100]}")
            return np.asarray(found[()])
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{name}: cannot be read as HDF5: {str(error)[:200]}") from None
