"""HDF5 types, shapes and values as JSON, as the HDF REST API (hsds) and h5pyd write them."""

from __future__ import annotations

import sys
import zlib
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from glimt.model.publish_value import TEXT

_UTF8_STRING = {
    "class": "H5T_STRING",
    "length": "H5T_VARIABLE",
    "charSet": "H5T_CSET_UTF8",
    "strPad": "H5T_STR_NULLTERM",
}
_BOOLEAN = {
    "class": "H5T_ENUM",
    "base": {"class": "H5T_INTEGER", "base": "H5T_STD_I8LE"},
    "mapping": {"FALSE": 0, "TRUE": 1},
}


def type_json(dtype: np.dtype[Any]) -> dict[str, Any]:
    """Return the description of a type that `glimt.model.publish_value` allows.

    Booleans are the enumeration and complex numbers the compound ``(r, i)`` that h5py uses for them.
    """
    if dtype == TEXT:
        return dict(_UTF8_STRING)
    if dtype.names is not None:
        fields = [{"name": name, "type": type_json(dtype[name])} for name in dtype.names]
        return {"class": "H5T_COMPOUND", "fields": fields}
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"class": "H5T_ARRAY", "base": type_json(base), "dims": list(shape)}
    return _element_json(dtype)


def _element_json(dtype: np.dtype[Any]) -> dict[str, Any]:
    order = "BE" if dtype.byteorder == ">" or (dtype.byteorder == "=" and sys.byteorder == "big") else "LE"
    bits = 8 * dtype.itemsize
    if dtype.kind == "b":
        return dict(_BOOLEAN)
    if dtype.kind in "iu":
        return {"class": "H5T_INTEGER", "base": f"H5T_STD_{dtype.kind.upper()}{bits}{order}"}
    if dtype.kind == "f":
        return {"class": "H5T_FLOAT", "base": f"H5T_IEEE_F{bits}{order}"}
    if dtype.kind == "c":
        part = {"class": "H5T_FLOAT", "base": f"H5T_IEEE_F{bits // 2}{order}"}
        return {"class": "H5T_COMPOUND", "fields": [{"name": name, "type": part} for name in ("r", "i")]}
    return {
        "class": "H5T_STRING",
        "length": dtype.itemsize,
        "charSet": "H5T_CSET_ASCII",
        "strPad": "H5T_STR_NULLPAD",
    }


def shape_json(shape: tuple[int, ...] | None) -> dict[str, Any]:
    """Return the description of a dataspace."""
    if shape is None:
        return {"class": "H5S_NULL"}
    return {"class": "H5S_SIMPLE", "dims": list(shape)} if shape else {"class": "H5S_SCALAR"}


def value_json(array: npt.NDArray[Any]) -> Any:
    """Return the elements as nested lists, a scalar as itself; complex numbers as pairs, bytes as text."""
    value = array.tolist()
    return value if array.dtype.kind in "biufO" else _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):  # an array field of a structured array
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(element) for element in value]
    if isinstance(value, complex):
        return [value.real, value.imag]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def type_tag(dtype: np.dtype[Any]) -> str:
    """Return 8 hex digits that differ where types differ."""
    return f"{zlib.crc32(msgspec.json.encode(type_json(dtype))):08x}"
