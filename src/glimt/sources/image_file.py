"""Open image files of any kind: the one call that commands and services use."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from glimt.codecs.cbf_section import MAGIC as CBF_MAGIC
from glimt.model.errors import DecodeError, UsageError
from glimt.sources.image_file_bytes import read_image_file
from glimt.sources.image_file_numbering import NumberedFiles
from glimt.sources.image_file_series import ImageSeries

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_CBF_ENDINGS = (".cbf", ".cbf.gz", ".cbf.bz2")


def open_images(path: str | Path | Sequence[str | Path], confine: Callable[[str], None] | None = None) -> ImageSeries:
    """Open images for reading by number.

    Parameters
    ----------
    path : str, Path or sequence of them
        An NXmx or EIGER master file (HDF5), a CBF file, a template of numbered files (``thau_2_####.cbf``,
        ``thau_2_%04d.cbf``), files in order, or a file of any format that FabIO reads. Image files may be packed with
        gzip or bzip2. What a file is, its first bytes say, not its name.
    confine : callable, optional
        Raises `RejectedMessageError` for a path that must not be opened; called for whatever an HDF5 file leads to
        (external links, virtual sources, raw data in other files) before anything is read. Without it links may lead
        anywhere.

    Returns
    -------
    ImageSeries
        To be closed, or used with ``with``.

    Raises
    ------
    DecodeError
        A file is damaged, or not one image can be read.
    UsageError
        There is no such file.
    RejectedMessageError
        By ``confine``; the text names the link and its target.
    """
    first = NumberedFiles(path).path_of(0)
    if not os.path.exists(first):
        raise UsageError(f"{first}: no such file")
    if not os.path.isfile(first):
        raise UsageError(f"{first} is no file; name an image file, or a template such as image_####.cbf")
    magic = _first_bytes(first)
    if magic.startswith(HDF5_MAGIC):
        from glimt.sources.nxmx_file import NxmxSeries  # each format's library is loaded when it is met

        if not isinstance(path, (str, Path)) and len(path) == 1:
            path = path[0]
        if not isinstance(path, (str, Path)) or os.fspath(path) != first:
            raise UsageError(f"{first} is an HDF5 file, which holds many images; open one at a time")
        return NxmxSeries(path, confine)
    if magic.startswith(CBF_MAGIC):
        from glimt.sources.cbf_file import CbfSeries

        return CbfSeries(path)
    if confine is not None and _is_hdf5_further_on(first):
        raise DecodeError("is an HDF5 file behind other bytes, whose links cannot be checked", where=first)
    from glimt.sources.fabio_file import FabioSeries

    return FabioSeries(path)


def _is_hdf5_further_on(path: str) -> bool:
    """Return whether HDF5 would read a file that begins with something else (a user block)."""
    import h5py

    return bool(h5py.is_hdf5(path))


def _first_bytes(path: str) -> bytes:
    """Return the first bytes of a file, unpacked."""
    try:
        with open(path, "rb") as file:
            magic = file.read(8)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})") from None
    if not magic.startswith((b"\x1f\x8b", b"BZh")):
        return magic
    if path.lower().endswith(_CBF_ENDINGS):
        return CBF_MAGIC  # to unpack it here would take as long as to read it
    try:
        return read_image_file(path, where=path)[:8]
    except DecodeError:
        return magic
