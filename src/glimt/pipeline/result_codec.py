"""What a worker returned, to bytes and back, with its types kept.

Plain data, NumPy arrays and scalars, dataclasses and msgspec structs travel as MessagePack; the types that MessagePack
does not have (tuples, arrays, classes) as its extension types. Any other object that can be pickled travels as a
pickle: existing analyses return whatever they like. Both forms are read only from the processes of the same run.
"""

from __future__ import annotations

import dataclasses
import importlib
import pickle
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from glimt.model.errors import ResultError

_PLAIN, _PICKLED = b"m", b"p"
_TUPLE, _ARRAY, _SCALAR, _OBJECT, _DICT = 1, 2, 3, 4, 5

_ATOMS = frozenset({bool, int, float, str, bytes, type(None)})
_ARRAY_KINDS = frozenset("biufcmMSU")

_encoder = msgspec.msgpack.Encoder()


class _NotPlainError(Exception):
    """The object needs pickle."""


def _pack(value: Any) -> Any:
    """Return ``value`` in types that MessagePack has, others as extensions; only exact types, never subclasses."""
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is list:
        return [_pack(item) for item in value]
    if kind is dict:
        packed = {_pack_key(key): _pack(item) for key, item in value.items()}
        if all(type(key) is str for key in value):
            return packed
        return _extension(_DICT, [[_pack(key), item] for key, item in zip(value, packed.values(), strict=True)])
    if kind is tuple:
        return _extension(_TUPLE, [_pack(item) for item in value])
    if kind is np.ndarray:
        return _pack_array(_ARRAY, value)
    if isinstance(value, np.generic) and kind.__module__ == "numpy":
        return _pack_array(_SCALAR, np.asarray(value))
    return _pack_object(value)


def _pack_key(key: Any) -> Any:
    if type(key) not in _ATOMS and type(key) is not tuple:
        raise _NotPlainError
    return key


def _extension(code: int, value: Any) -> msgspec.msgpack.Ext:
    return msgspec.msgpack.Ext(code, _encoder.encode(value))


def _pack_array(code: int, array: Any) -> msgspec.msgpack.Ext:
    if array.dtype.kind not in _ARRAY_KINDS:
        raise _NotPlainError
    return _extension(code, [array.dtype.str, array.shape, array.tobytes()])


@lru_cache(maxsize=256)
def _field_names(cls: type) -> tuple[str, ...] | None:
    """Return the fields of a class that is no more than its fields and that another process can import, else None."""
    if not _is_importable(cls):
        return None
    own_state = any("__getstate__" in base.__dict__ or "__setstate__" in base.__dict__ for base in cls.__mro__[:-1])
    if dataclasses.is_dataclass(cls):
        plain = cls.__reduce__ is object.__reduce__ and cls.__reduce_ex__ is object.__reduce_ex__
        # Slotted dataclasses have __getstate__ of their own making; it says no more than their fields.
        if plain and (not own_state or "__slots__" in cls.__dict__) and cls.__base__ is object:
            return tuple(field.name for field in dataclasses.fields(cls))
    elif issubclass(cls, msgspec.Struct) and cls.__reduce__ is msgspec.Struct.__reduce__:
        return cls.__struct_fields__
    return None


def _is_importable(cls: type) -> bool:
    try:
        return _find_class(cls.__module__, cls.__qualname__) is cls
    except (ImportError, AttributeError):
        return False


@lru_cache(maxsize=256)
def _find_class(module: str, qualname: str) -> Any:
    found: Any = importlib.import_module(module)
    for name in qualname.split("."):
        found = getattr(found, name)
    return found


def _pack_object(value: Any) -> msgspec.msgpack.Ext:
    cls: type = type(value)
    names = _field_names(cls)
    if names is None or len(getattr(value, "__dict__", ())) not in {0, len(names)}:
        raise _NotPlainError
    fields = [_pack(getattr(value, name)) for name in names]
    return _extension(_OBJECT, [cls.__module__, cls.__qualname__, fields])


def _unpack_extension(code: int, data: memoryview) -> Any:
    content = _decoder.decode(data)
    if code == _TUPLE:
        return tuple(content)
    if code == _DICT:
        return dict(content)
    if code == _OBJECT:
        return _make_object(*content)
    dtype, shape, raw = content
    array = np.frombuffer(raw, dtype).reshape(shape)
    return array[()] if code == _SCALAR else array.copy()


def _make_object(module: str, qualname: str, values: list[Any]) -> Any:
    cls = _find_class(module, qualname)
    names = _field_names(cls)
    if names is None:
        raise ResultError(f"{module}.{qualname} is not the same class here as where the result was made")
    if issubclass(cls, msgspec.Struct):
        return cls(**dict(zip(names, values, strict=True)))
    made = object.__new__(cls)
    for name, value in zip(names, values, strict=True):
        object.__setattr__(made, name, value)
    return made


_decoder = msgspec.msgpack.Decoder(ext_hook=_unpack_extension)


def encode_result(payload: Any) -> bytes:
    """Return ``payload`` as bytes for another process of the same run.

    Raises
    ------
    ResultError
        It is neither plain data nor can it be pickled; the text names the type.
    """
    try:
        return _PLAIN + _encoder.encode(_pack(payload))
    except (_NotPlainError, OverflowError, RecursionError, TypeError, UnicodeEncodeError, ValueError):
        pass
    try:
        return _PICKLED + pickle.dumps(payload, protocol=5)
    except Exception as error:
        raise ResultError(
            f"a result of type {type(payload).__module__}.{type(payload).__qualname__} cannot be sent to the reducer "
            f"({error}); return numbers, text, arrays, lists, dicts or a dataclass defined at the top of a module"
        ) from None


def decode_result(data: bytes) -> Any:
    """Return the payload: equal to, and of the same types as, what `encode_result` was given.

    Raises
    ------
    ResultError
        A class of the payload does not exist in this process, or has other fields.
    """
    try:
        if data[:1] == _PLAIN:
            return _decoder.decode(memoryview(data)[1:])
        return pickle.loads(memoryview(data)[1:])
    except ResultError:
        raise
    except Exception as error:
        raise ResultError(f"a result cannot be read by the reducer ({error})") from None


_SAFE_TO_SHARE = _ATOMS | {np.float64, np.float32, np.int64, np.bool_}


def transfer(payload: Any) -> Any:
    """Return what arrives when ``payload`` goes to the reducer: a copy that shares nothing with the worker.

    In one process results take this way too, so that an analysis that works in replay works live.

    Raises
    ------
    ResultError
        As `encode_result`.
    """
    kind = type(payload)
    if kind in _SAFE_TO_SHARE:
        return payload
    if kind is tuple:
        for item in payload:
            if type(item) not in _SAFE_TO_SHARE:
                break
        else:
            return payload
    return decode_result(encode_result(payload))
