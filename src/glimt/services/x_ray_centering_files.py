"""The files that beamline control waits for: the result as JSON, the log beside it, and a link that is easy to find."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from glimt.model.errors import RejectedMessageError, RetryMessageError
from glimt.services.confined_path import confined_path
from glimt.services.x_ray_centering_result import CenteringResult
from glimt.services.x_ray_centering_task import CenteringTask

LINK_LEVELS = 2


def write_result(task: CenteringTask, result: CenteringResult, roots: Sequence[Path]) -> None:
    """Write what the task asks for; each file appears whole or not at all, and the JSON file last.

    Raises
    ------
    RetryMessageError
        A file cannot be written now; the text says which and why.
    RejectedMessageError
        A path no longer leads into a folder open to messages.
    """
    for path, text in ((task.log, result.log), (task.output, result.output)):
        if path is None:
            continue
        confined_path(path, roots)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace_file(path, text)
        except OSError as error:
            raise RetryMessageError(
                f"{path}: the result of X-ray centering cannot be written: {error.strerror}"
            ) from None
    if task.output is not None and task.parameters.results_symlink is not None:
        try:
            link_from_above(task.output.parent, task.parameters.results_symlink, roots)
        except OSError as error:
            raise RetryMessageError(f"{task.output}: no link to its folder can be made: {error.strerror}") from None


def link_from_above(folder: Path, name: str, roots: Sequence[Path]) -> bool:
    """Make a relative link to a folder, two levels above it; an older link gives way, a real file or folder stays.

    Parameters
    ----------
    folder : Path
        Absolute.
    name : str
        Of the link.
    roots : sequence of Path
        The link is only made inside one of them.

    Returns
    -------
    bool
        Whether the link is there now.
    """
    if len(folder.parts) <= LINK_LEVELS:
        return False
    above = folder.parents[LINK_LEVELS - 1]
    try:
        confined_path(above, roots)
    except RejectedMessageError:
        return False
    link = above / name
    if os.path.lexists(link) and not link.is_symlink():
        return False
    target = os.path.relpath(folder, above)
    if link.is_symlink() and os.readlink(link) == target:
        return True
    spare = above / f".{name[:100]}.{uuid.uuid4().hex}"
    os.symlink(target, spare)
    try:
        os.replace(spare, link)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(spare)
        raise
    return True


def _replace_file(path: Path, text: str) -> None:
    spare = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}")
    try:
        with spare.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(spare, path)
    except OSError:
        with contextlib.suppress(OSError):
            spare.unlink()
        raise
