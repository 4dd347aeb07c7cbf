"""Paths that messages name, held to the folders that the site opened for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from glimt.model.errors import RejectedMessageError

MAX_PATH = 4096
"""Bytes; Linux takes no longer path."""

_OPENING = "`glimt serve --root FOLDER` opens one, and so does [paths] roots of the site file"


def confined_path(path: object, roots: Sequence[Path]) -> Path:
    """Return where a path of a message leads, if that is in one of the folders that are open to messages.

    Symbolic links and ``..`` are followed first, so that neither leads out. The file itself need not exist. A link that
    somebody makes between this check and the use of the path is not seen: whoever may write below a root is trusted
    that far.

    Parameters
    ----------
    path : object
        What the message says; only a text that is an absolute path will do.
    roots : sequence of Path
        ``[paths] roots`` of the site file; a root may be a link itself.

    Raises
    ------
    RejectedMessageError
        It is no absolute path, has a null character, is too long, or leads elsewhere; the text names the roots.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise RejectedMessageError(f"a path is a text, not {type(path).__name__} {str(path)[:60]!r}")
    text = os.fspath(path)
    if not isinstance(text, str) or not text:
        raise RejectedMessageError("the path is empty; the message must name a file by its absolute path")
    if "\0" in text:
        raise RejectedMessageError(f"the path {text[:60]!r} has a null character")
    if len(text) > MAX_PATH or len(os.fsencode(_writable(text))) > MAX_PATH:
        raise RejectedMessageError(f"the path {text[:60]!r}… is longer than {MAX_PATH} bytes")
    if not os.path.isabs(text):
        raise RejectedMessageError(
            f"{text!r} is no absolute path, and services have no folder of their own to start in"
        )
    try:
        real = Path(os.path.realpath(text))
        open_folders = [Path(os.path.realpath(root)) for root in roots]
    except (OSError, ValueError) as error:
        raise RejectedMessageError(f"{text}: cannot be followed ({error})") from None
    if not any(real.is_relative_to(folder) for folder in open_folders):
        raise RejectedMessageError(_refusal(text, real, roots))
    return real


def confine_to(roots: Sequence[Path]) -> Callable[[str], None]:
    """Return a function that raises for paths outside the folders, as `confined_path` does."""

    def confine(path: str) -> None:
        confined_path(path, roots)

    return confine


def _writable(text: str) -> str:
    """Return the text without lone surrogates that no file name can have; `os.fsencode` refuses them."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise RejectedMessageError(f"the path {text[:60]!r} has characters that no file name can have") from None
    return text


def _refusal(text: str, real: Path, roots: Sequence[Path]) -> str:
    leads = "" if str(real) == text else f" leads to {real}, which"
    if not roots:
        return f"{text}{leads} is not open to messages: no folder is; {_OPENING}"
    named = ", ".join(str(root) for root in roots[:8]) + (", …" if len(roots) > 8 else "")
    return f"{text}{leads} is outside the folders open to messages ({named}); {_OPENING}"
