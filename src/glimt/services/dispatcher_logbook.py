"""The Dispatcher's logbook: a file for every run of a recipe, with what was asked and what it became."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def write_logbook(
    folder: Path,
    guid: str,
    *,
    headers: Mapping[str, Any],
    message: Any,
    parsed: Any,
    recipe: Mapping[str, Any],
    now: float,
) -> Path | None:
    """Write ``YYYY-MM/<first two characters of guid>/<rest>`` in Zocalo's form, which its tools read.

    Never raises: a run is not stopped because its record cannot be written; the log tells.

    Parameters
    ----------
    folder : Path
        Of the logbook.
    guid : str
        Identity of the run, at least three plain characters.
    headers, message : mapping
        As they came.
    parsed : mapping
        The message with what was found out.
    recipe : mapping
        As it is sent.
    now : float
        Time [s, UTC].

    Returns
    -------
    Path or None
        The file, if it was written.
    """
    path = folder / time.strftime("%Y-%m", time.localtime(now)) / guid[:2] / guid[2:]
    sections = (
        ("Incoming message header:", headers),
        ("Incoming message body:", message),
        ("Parsed message body:", parsed),
        ("Recipe object:", recipe),
    )
    try:
        text = "\n\n".join(f"{title}\n{_neat(content)}" for title, content in sections) + "\n"
        path.parent.mkdir(parents=True, exist_ok=True)
        spare = path.with_name(f".{path.name}.{os.getpid()}")
        spare.write_text(text, encoding="utf-8", errors="backslashreplace")
        os.replace(spare, path)
    except (OSError, ValueError, TypeError, RecursionError) as error:
        log.warning("the logbook %s has no entry of run %s: %s", folder, guid, error)
        return None
    return path


def _neat(content: Any) -> str:
    return json.dumps(_with_text_keys(content), indent=2, sort_keys=True, default=str)


def _with_text_keys(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {str(key): _with_text_keys(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_with_text_keys(value) for value in content]
    return content
