"""JSON as python-workflows writes and reads it: ``NaN`` and ``Infinity`` as words, ``Decimal`` as float."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from math import isfinite
from typing import Any

import msgspec
import numpy as np

from glimt.model.errors import ResultError


def parse_json(text: bytes) -> Any:
    """Return the values in a JSON text; what msgspec refuses and Python's own reader takes is taken.

    Raises
    ------
    ValueError
        Neither can read it, or it is too deep.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("too deep") from None
    except (msgspec.DecodeError, UnicodeError):
        pass
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("too deep") from None


def encode_json(value: Any, what: str) -> bytes:
    """Return a value as JSON; NumPy's scalars and arrays become numbers and lists.

    Parameters
    ----------
    value : Any
    what : str
        What it is, for the error.

    Raises
    ------
    ResultError
        It holds what JSON does not have, or is too deep.
    """
    try:
        text = _ENCODER.encode(value)
        # msgspec writes a float that is not finite as null; most messages have no null at all
        if b"null" not in text or not _has_non_finite(value):
            return text
    except (TypeError, ValueError, OverflowError, RecursionError):
        pass
    try:
        return json.dumps(value, separators=(",", ":"), default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultError(f"the {what} of a message cannot be written as JSON: {error}") from None


def _plain(value: Any) -> Any:
    """Return what stands for a value in JSON."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    try:
        return msgspec.to_builtins(value)
    except TypeError:
        raise TypeError(f"a value of type {type(value).__name__}") from None


def _encoder_hook(value: Any) -> Any:
    if isinstance(value, float):
        return float(value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"a value of type {type(value).__name__}")


def _has_non_finite(value: Any) -> bool:
    if isinstance(value, float | np.floating | Decimal):
        return not isfinite(value)
    if isinstance(value, np.ndarray):
        return value.dtype.kind == "f" and not bool(np.isfinite(value).all())
    if isinstance(value, Mapping):
        return any(map(_has_non_finite, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_has_non_finite, value))
    return False


_DECODER = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder(decimal_format="number", enc_hook=_encoder_hook)
