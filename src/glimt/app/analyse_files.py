"""Which images a command line names: files, folders and templates, in the order given."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from glimt.model.errors import GlimtError, UsageError
from glimt.sources.image_file import HDF5_MAGIC, open_images
from glimt.sources.image_file_numbering import NumberedFiles, is_template

MAX_IMAGES = 1_000_000

_NUMBERED = re.compile(r"(.*?)(\d{1,9})(\.[A-Za-z][A-Za-z0-9]*)(\.gz|\.bz2)?", re.DOTALL)
_HDF5 = (".h5", ".hdf5", ".hdf", ".nxs")
_ENDINGS = (".cbf", ".tif", ".tiff", ".edf", ".img", ".mccd", ".mar", ".sfrm", ".osc", *_HDF5)
_PARTS = re.compile(r".*(_data_\d+|_meta)\.h5", re.DOTALL)
"""HDF5 files that a master file leads to."""


@dataclass(frozen=True, slots=True)
class ImageGroup:
    """Images that share geometry and mask: those of one file, or numbered files with one image each.

    Parameters
    ----------
    files : tuple of str
        One file, or one for each image.
    numbers : sequence of int
        Number of each image: in its file, 0-based, or that in the file's name.
    error : str
        Why the one file cannot be read, empty if it can.
    """

    files: tuple[str, ...]
    numbers: Sequence[int]
    error: str = ""

    def file_of(self, index: int) -> str:
        """Return the file of the image at a position in the group."""
        return self.files[index] if len(self.files) > 1 else self.files[0]

    def __len__(self) -> int:
        return len(self.numbers)


def find_images(paths: Sequence[str | Path]) -> list[ImageGroup]:
    """Return the images that files, folders and templates hold.

    Parameters
    ----------
    paths : sequence of str or Path
        Image files of any kind, folders (all image files in them, by name; of HDF5 files the masters), and templates
        such as ``thau_2_####.cbf``, of which missing files count.

    Returns
    -------
    list of ImageGroup
        A file that cannot be read is a group of one image with an error.

    Raises
    ------
    UsageError
        There is nothing at all of that name, a folder has no images, or there are more than a million.
    """
    groups: list[ImageGroup] = []
    n_images = 0
    for files in _runs_of_files(paths):
        group = _group(files)
        n_images += len(group)
        if n_images > MAX_IMAGES:
            raise UsageError(f"{files[0]}: more than {MAX_IMAGES} images; analyze them in several runs")
        groups.append(group)
    return groups


def _runs_of_files(paths: Sequence[str | Path]) -> Iterator[list[str]]:
    """Yield files that follow each other and differ in their number only, as lists."""
    run: list[str] = []
    for file in _files(paths):
        if run and (_key(file) is None or _key(file) != _key(run[-1])):
            yield run
            run = []
        run.append(file)
    if run:
        yield run


def _files(paths: Sequence[str | Path]) -> Iterator[str]:
    for path in paths:
        if is_template(path):
            numbered = NumberedFiles(path)
            if len(numbered) > MAX_IMAGES:
                raise UsageError(f"{path}: the file numbers cover {len(numbered)} images, at most {MAX_IMAGES} can be")
            yield from (numbered.path_of(k) for k in range(len(numbered)))
        elif os.path.isdir(path):
            yield from _files_in(Path(path))
        elif os.path.lexists(path):
            yield os.fspath(path)
        else:
            raise UsageError(f"{path}: no such file or folder")


def _files_in(folder: Path) -> list[str]:
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_file()]
    except OSError as error:
        raise UsageError(f"{folder} cannot be read ({error.strerror})") from None
    images = [name for name in names if _unpacked(name).endswith(_ENDINGS)]
    wholes = [name for name in images if not _PARTS.fullmatch(name)]
    if not images:
        raise UsageError(f"{folder} has no image files; known are {', '.join(_ENDINGS)}, some also as .gz and .bz2")
    return [str(folder / name) for name in sorted(wholes or images, key=_by_number)]


def _unpacked(name: str) -> str:
    return name.lower().removesuffix(".gz").removesuffix(".bz2")


def _by_number(name: str) -> list[tuple[int, int, str]]:
    """Return a key that sorts ``a_2`` before ``a_10``."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name)]


def _key(file: str) -> tuple[str, str] | None:
    """Return what files of one numbered series have in common, ``None`` for a file without a number or in HDF5."""
    folder, name = os.path.split(file)
    found = _NUMBERED.fullmatch(name)
    if found is None or _unpacked(name).endswith(_HDF5):
        return None
    return os.path.join(folder, found[1]), found[3].lower()


def _number(file: str) -> int:
    found = _NUMBERED.fullmatch(os.path.basename(file))
    return int(found[2]) if found else 0


def _group(files: list[str]) -> ImageGroup:
    if len(files) > 1:
        return ImageGroup(tuple(files), tuple(_number(file) for file in files))
    file = files[0]
    if _key(file) is not None and not _is_hdf5(file):
        return ImageGroup((file,), (_number(file),))
    try:
        with open_images(file) as series:
            return ImageGroup((file,), range(len(series)))
    except GlimtError as error:
        return ImageGroup((file,), (0,), str(error))


def _is_hdf5(file: str) -> bool:
    try:
        with open(file, "rb") as opened:
            return opened.read(len(HDF5_MAGIC)) == HDF5_MAGIC
    except OSError:
        return False
