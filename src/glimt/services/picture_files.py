"""Pictures as files: where they go, and how they get there whole."""

from __future__ import annotations

import os
import re
import secrets
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from glimt.model.errors import RejectedMessageError, RetryMessageError, UsageError
from glimt.services.confined_path import confined_path

if TYPE_CHECKING:
    from PIL.Image import Image

ENDINGS = {".jpeg": "JPEG", ".jpg": "JPEG", ".png": "PNG"}
"""Names of pictures; nothing else is written, so that no message can have an image of data written over."""

READABLE = ("JPEG", "PNG")
QUALITY = 95


def pillow() -> Any:
    """Return Pillow's module of images.

    Raises
    ------
    UsageError
        It is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise UsageError(
            "pictures are written by Pillow, which is not installed; pip install 'glimt[services]'"
        ) from None
    return Image


def default_output(file: str, *, visit: re.Pattern[str], template: str) -> str:
    """Return where the picture of an image file goes when the message does not say.

    Parameters
    ----------
    file : str
        The image file.
    visit : pattern
        What a visit's folder looks like in a path.
    template : str
        ``{visit}`` is the path up to and with the visit's folder, ``{rest}`` the folders after it, ``{name}`` the
        file's name without its ending. A file in no visit has its picture beside it.
    """
    folder, name = os.path.split(file)
    stem = name.rpartition(".")[0] or name
    if name.endswith((".gz", ".bz2")):
        stem = stem.rpartition(".")[0] or stem
    found = visit.search(folder + "/")
    if found is None:
        return os.path.join(folder, stem + ".jpeg")
    end = found.end()
    parts = {"{visit}": folder[:end].rstrip("/"), "{rest}": folder[end:], "{name}": stem}
    return os.path.normpath(re.sub(r"\{(?:visit|rest|name)\}", lambda part: parts[part[0]], template))


def output_path(output: object, roots: Sequence[Path], *, source: Path) -> Path:
    """Return where a picture may be written.

    Raises
    ------
    RejectedMessageError
        Outside the roots, not the name of a picture, or the source itself.
    """
    path = confined_path(output, roots)
    if path.suffix.lower() not in ENDINGS:
        raise RejectedMessageError(f"{path} is no name for a picture; it ends in {', '.join(ENDINGS)}")
    if path == source:
        raise RejectedMessageError(f"{path} would be written over the image that it is made from")
    return path


def thumbnail_beside(path: Path) -> Path:
    """Return where the thumbnail of a picture goes: ``a.jpeg`` has ``a.thumb.jpeg``."""
    return path.with_name(f"{path.stem}.thumb{path.suffix}")


def from_levels(levels: npt.NDArray[np.uint8]) -> Image:
    """Return the picture of greys (rows, columns)."""
    picture: Image = pillow().fromarray(levels)
    return picture


def read_picture(path: Path) -> Image:
    """Return a picture from a file.

    Raises
    ------
    RejectedMessageError
        It is none, or larger than Pillow thinks safe.
    """
    image = pillow()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", image.DecompressionBombWarning)
            with image.open(path, formats=READABLE) as opened:
                opened.load()
                picture: Image = opened.copy()
    except (OSError, ValueError, SyntaxError, MemoryError, image.DecompressionBombWarning) as error:
        raise RejectedMessageError(f"{path} is no picture ({str(error)[:120]}); JPEG and PNG are read") from None
    except image.DecompressionBombError as error:
        raise RejectedMessageError(f"{path}: {error}") from None
    return picture


def write_picture(picture: Image, path: Path) -> None:
    """Write a picture, so that others see all of it or nothing; missing folders are made.

    Raises
    ------
    RejectedMessageError
        It may not be written there.
    RetryMessageError
        The disk is full, or the like.
    """
    part = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part")
    kind = ENDINGS[path.suffix.lower()]
    if kind == "JPEG" and picture.mode not in ("L", "RGB"):
        picture = picture.convert("RGB")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(part, "xb") as file:
                picture.save(file, kind, quality=QUALITY)
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except (PermissionError, NotADirectoryError, FileExistsError, IsADirectoryError) as error:
        raise RejectedMessageError(f"{path} cannot be written ({error.strerror})") from None
    except OSError as error:
        raise RetryMessageError(f"{path} cannot be written ({error.strerror or error})") from None
