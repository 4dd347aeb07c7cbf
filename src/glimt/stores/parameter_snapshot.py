"""Parameters as they were at one moment, ready to be written beside the data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np


@dataclass(frozen=True, slots=True)
class ParameterSnapshot:
    """Names, values and the content hash.

    Attributes
    ----------
    values : dict of str to object
        `bool`, `int`, `float`, `str`, `bytes` or ndarray. What is none of these is JSON text.
    content_hash : str
        SHA-256 in hex, the one of `glimt.pipeline.parameter_set.ParameterSet`: equal content gives the equal hash.
    """

    values: dict[str, Any]
    content_hash: str

    @classmethod
    def of(cls, parameters: Mapping[str, Any] | None, *, parameters_hash: str | None = None) -> ParameterSnapshot:
        """Copy ``parameters``, whose objects may change later.

        Parameters
        ----------
        parameters : mapping of str to object, optional
            What the pipeline hands to a worker (objects with ``value`` and ``data``), or plain values. A parameter
            that nobody described has ``value`` None: its raw ``data`` is taken.
        parameters_hash : str, optional
            The pipeline's own content hash, as in ``result.parameters_hash``; computed here if left out.
        """
        values: dict[str, Any] = {}
        digest = hashlib.sha256()
        for name in sorted(parameters or {}, key=str):
            value, encoded = _value_and_bytes((parameters or {})[name])
            values[str(name)] = value
            for part in (str(name).encode("utf-8", "backslashreplace"), encoded):
                digest.update(len(part).to_bytes(8, "big"))
                digest.update(part)
        return cls(values, parameters_hash if parameters_hash is not None else digest.hexdigest())


def _value_and_bytes(parameter: Any) -> tuple[Any, bytes]:
    data = getattr(parameter, "data", None) if not isinstance(parameter, np.ndarray | np.generic) else None
    has_value = hasattr(parameter, "value")
    value = _plain(parameter.value if has_value else parameter)
    if isinstance(data, bytes | bytearray | memoryview):
        raw = bytes(data)
        return (raw if has_value and parameter.value is None else value), raw
    return value, _encoded(value)


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int | float | str):
        # Integers beyond 64 bits have no HDF5 type.
        return str(value) if type(value) is int and not -(2**63) <= value < 2**64 else value
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufc":
        return np.array(value)
    try:
        return msgspec.json.encode(value, enc_hook=repr).decode()
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def _encoded(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, np.ndarray):
        return f"{value.dtype.str}{value.shape}".encode() + value.tobytes()
    return str(value).encode("utf-8", "backslashreplace")
