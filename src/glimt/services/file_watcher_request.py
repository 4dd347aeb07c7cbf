"""What a recipe asks the file watcher for: the parameters of its step, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from glimt.model.errors import RejectedMessageError
from glimt.sources.new_files_images import DATASET

BURST_LIMIT = 100
TIMEOUT_S = 3600.0
MAX_ITEMS = 1_000_000_000
_MAX_TEXT = 4096

_CONVERSION = re.compile(r"%%|%[-+ #0]*\d{0,3}(?:\.\d{1,3})?[diuoxXs]")
_NOTHING = (None, "", "None", "null")


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """How a step wants to be told.

    Attributes
    ----------
    burst_limit : int
        At most so many items a round.
    burst_wait_s : float or None
        Between rounds; ``None`` lets the service choose.
    timeout_s, timeout_first_s : float
        Without anything new for so long after the last item, or before the first, the watch ends.
    logs_timeout_as_info : bool
    expected_delay_s : float or None
        Time an image takes, for the log.
    settle_s : float
        Files count when they have not changed for so long.
    out_of_order : bool or None
        Whether items after one that is missing are told as they come; ``None`` lets the site choose.
    dataset : str
        Of the images in an HDF5 file.
    """

    burst_limit: int = BURST_LIMIT
    burst_wait_s: float | None = None
    timeout_s: float = TIMEOUT_S
    timeout_first_s: float = TIMEOUT_S
    logs_timeout_as_info: bool = False
    expected_delay_s: float | None = None
    settle_s: float = 0.0
    out_of_order: bool | None = None
    dataset: str = DATASET


def read_request(parameters: Mapping[str, Any]) -> WatchRequest:
    """Return what the parameters ask for; numbers may be texts, as substitution makes them.

    Raises
    ------
    RejectedMessageError
        One makes no sense; the text names it.
    """
    timeout_s = read_seconds(parameters, "timeout")
    timeout_first_s = read_seconds(parameters, "timeout-first")
    if timeout_s is None:
        timeout_s = TIMEOUT_S
    limit = read_whole(parameters, "burst-limit", default=BURST_LIMIT)
    if limit < 1:
        raise RejectedMessageError(f"burst-limit {limit}: at least 1 file a round is needed")
    dataset = parameters.get("hdf5-dataset", DATASET)
    if not isinstance(dataset, str) or not dataset.startswith("/") or len(dataset) > _MAX_TEXT or "\0" in dataset:
        raise RejectedMessageError(f"hdf5-dataset {str(dataset)[:60]!r}: a path such as {DATASET} is needed")
    return WatchRequest(
        burst_limit=limit,
        burst_wait_s=read_seconds(parameters, "burst-wait"),
        timeout_s=timeout_s,
        timeout_first_s=timeout_s if timeout_first_s is None else timeout_first_s,
        logs_timeout_as_info=_yes(parameters, "log-timeout-as-info") or False,
        expected_delay_s=read_seconds(parameters, "expected-per-image-delay"),
        settle_s=read_seconds(parameters, "settle") or 0.0,
        out_of_order=_yes(parameters, "out-of-order"),
        dataset=dataset,
    )


def read_whole(parameters: Mapping[str, Any], name: str, *, default: int | None = None) -> int:
    """Return a whole number; without ``default`` it is required."""
    value = parameters.get(name)
    if value in _NOTHING and default is not None:
        return default
    try:
        if isinstance(value, float) and not value.is_integer():
            raise ValueError(value)
        number = int(value)  # type: ignore[arg-type]  # what cannot be converted is refused just below
    except (TypeError, ValueError, OverflowError):
        raise RejectedMessageError(f"{name} {str(parameters.get(name))[:60]!r}: a whole number is needed") from None
    if abs(number) > MAX_ITEMS:
        raise RejectedMessageError(f"{name} {str(number)[:40]}: no more than {MAX_ITEMS:,} are possible")
    return number


def read_seconds(parameters: Mapping[str, Any], name: str) -> float | None:
    """Return a time [s], ``None`` if the parameter is not there or says so."""
    value = parameters.get(name)
    if value in _NOTHING:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise RejectedMessageError(f"{name} {str(value)[:60]!r}: a number of seconds, 0 or more, is needed")
    return seconds


def _yes(parameters: Mapping[str, Any], name: str) -> bool | None:
    value = parameters.get(name)
    if value in _NOTHING:
        return None
    text = str(value).strip().lower()
    if text in {"true", "yes", "on", "1"}:
        return True
    if text in {"false", "no", "off", "0"}:
        return False
    raise RejectedMessageError(f"{name} {str(value)[:60]!r}: true or false is needed")


def check_pattern(pattern: object) -> str:
    """Return a pattern of file names with one place for a number, as in ``x_%05d.cbf``.

    Raises
    ------
    RejectedMessageError
        It is no text, or has not exactly one place for a number.
    """
    if not isinstance(pattern, str) or len(pattern) > _MAX_TEXT:
        raise RejectedMessageError(f"pattern {str(pattern)[:60]!r}: a text such as /folder/x_%05d.cbf is needed")
    found = [each for each in _CONVERSION.findall(pattern) if each != "%%"]
    if len(found) != 1 or "%" in _CONVERSION.sub("", pattern):
        raise RejectedMessageError(
            f"pattern {pattern[:200]!r}: exactly one place for the number is needed, as in x_%05d.cbf"
        )
    return pattern
