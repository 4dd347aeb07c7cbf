"""What one row of a stored name is: element type, shape, fill value, and whether a value fits."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError

MAX_ROW_BYTES = 1 << 30
MAX_ROW_DIMENSIONS = 31  # HDF5 allows 32, one is the event number
DEFAULT_TEXT_BYTES = 256

_PLAIN_KINDS = "biufc"
_SAFE_FLOAT32 = 3.4e38


@dataclass(frozen=True, slots=True)
class RowType:
    """Element type and shape of the rows of one name.

    Attributes
    ----------
    name : str
        The name, for messages.
    dtype : dtype
        As stored, native byte order. Text is ``S``: UTF-8 of at most ``dtype.itemsize`` bytes.
    shape : tuple of int
        Of one row; ``()`` for a scalar.
    fill : object
        What a gap reads as: NaN for floats and complex, 0 for integers and structured rows, False, ``""``.
    is_declared : bool
        The caller named the dtype, so values are converted to it where that is the evident wish.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fill: Any
    is_declared: bool

    @classmethod
    def of(cls, name: str, value: Any, *, dtype: npt.DTypeLike | None = None, max_length: int | None = None) -> RowType:
        """Return the type of rows that look like ``value``.

        Parameters
        ----------
        name : str
            For messages.
        value : scalar, str or array_like
            The first value.
        dtype : dtype_like, optional
            Element type to store; taken from ``value`` if left out.
        max_length : int, optional
            Bytes of UTF-8 reserved for each text; at least 256 and twice the first text if left out.

        Raises
        ------
        UsageError
            Not a number, text or array of a fixed-size type, empty, or above 1 GiB.
        """
        array = _array(name, None, value)
        stored = _stored_dtype(name, array, dtype, max_length)
        if array.ndim > MAX_ROW_DIMENSIONS:
            raise UsageError(f"put {name!r}: {array.ndim} dimensions, at most {MAX_ROW_DIMENSIONS} can be stored")
        if array.size == 0:
            raise UsageError(
                f"put {name!r}: a row of shape {array.shape} holds nothing; pad lists of varying length to a fixed "
                "one and put their number beside them"
            )
        if array.size * stored.itemsize > MAX_ROW_BYTES:
            raise UsageError(f"put {name!r}: {array.size * stored.itemsize} bytes a row, at most {MAX_ROW_BYTES}")
        return cls(name, stored, array.shape, _fill(stored), dtype is not None)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def convert(self, value: Any, event_number: int) -> Any:
        """Return ``value`` as something that can be assigned to a row without loss.

        Masked elements become NaN in a float row; in any other row they are an error.

        Raises
        ------
        UsageError
            It does not fit; the text names the name, the event, what was expected and what was given.
        """
        # The two cases of nearly every call, without making an array.
        if type(value) is np.ndarray:
            if value.dtype == self.dtype and value.shape == self.shape and self.dtype.kind != "S":
                return value
        elif type(value) is float and not self.shape and self.dtype.kind == "f":
            n_bytes = self.dtype.itemsize
            if n_bytes >= 8 or (n_bytes == 4 and -_SAFE_FLOAT32 < value < _SAFE_FLOAT32):
                return value
        return self._convert(value, event_number)

    def _convert(self, value: Any, event_number: int) -> Any:
        array = _array(self.name, event_number, value)
        if array.shape != self.shape:
            raise self._misfit(array, event_number)
        kind, wanted = array.dtype.kind, self.dtype.kind
        if wanted == "S":
            if kind != "U":
                raise self._misfit(array, event_number)
            return _encoded(self.name, event_number, array, self.dtype.itemsize)
        if isinstance(array, np.ma.MaskedArray):
            array = _unmasked(self.name, event_number, array)
        is_exact = np.can_cast(array.dtype, self.dtype, casting="safe")
        if is_exact or (kind in "iu" and wanted in "iu" and self._is_in_range(array)):
            return array
        # An integer or a Python number has no precision that the caller chose; an array of doubles has.
        may_round = kind in "iu" or self.is_declared or type(value) in {float, complex}
        if wanted in "fc" and may_round and np.can_cast(array.dtype, self.dtype, casting="same_kind"):
            # 1e300 is no float32.
            with suppress(FloatingPointError), np.errstate(over="raise"):
                return array.astype(self.dtype)
        raise self._misfit(array, event_number)

    def _is_in_range(self, array: npt.NDArray[Any]) -> bool:
        limits = np.iinfo(self.dtype)
        return bool(int(array.min()) >= limits.min and int(array.max()) <= limits.max)

    def _misfit(self, array: npt.NDArray[Any], event_number: int) -> UsageError:
        expected, given = f"{_dtype_name(self.dtype)} {self.shape}", f"{_dtype_name(array.dtype)} {array.shape}"
        hint = "all rows of a name have one dtype and shape, those of the first put"
        if array.shape == self.shape and array.dtype.kind in _PLAIN_KINDS and self.dtype.kind in _PLAIN_KINDS:
            hint = "name the dtype in the first put, such as dtype='float64'"
            if array.dtype.kind in "iu" and self.dtype.kind in "iu":
                given += f" with values {array.min()} to {array.max()}"
        return UsageError(f"put {self.name!r}, event {event_number}: expected {expected}, given {given}; {hint}")


def _where(name: str, event_number: int | None) -> str:
    return f"put {name!r}" if event_number is None else f"put {name!r}, event {event_number}"


def _dtype_name(dtype: np.dtype[Any]) -> str:
    if dtype.kind == "S":
        return f"text of at most {dtype.itemsize} bytes"
    return "text" if dtype.kind == "U" else str(dtype)


def _array(name: str, event_number: int | None, value: Any) -> npt.NDArray[Any]:
    """Return ``value`` as an array of a kind that can be stored; masks are kept."""
    where = _where(name, event_number)
    if value is None:
        raise UsageError(f"{where}: the value is None; put nothing for an event without a value")
    try:
        array: npt.NDArray[Any] = np.asanyarray(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"{where}: {type(value).__name__} is not an array of one shape: {error}") from None
    if array.dtype.kind in "Mm":
        raise UsageError(f"{where}: HDF5 has no {array.dtype}; put integer nanoseconds, .astype('int64')")
    if array.dtype.kind == "S":
        raise UsageError(f"{where}: bytes; put text as str and binary data as np.frombuffer(value, 'uint8')")
    if not _is_storable(array.dtype):
        raise UsageError(f"{where}: cannot store {type(value).__name__} ({array.dtype}); put numbers, text or arrays")
    return array


def _is_storable(dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "V":
        return dtype.names is not None and all(
            _is_storable(dtype[name].base) and dtype[name].base.kind not in "US" for name in dtype.names
        )
    return dtype.kind in _PLAIN_KINDS + "U"


def _stored_dtype(
    name: str, array: npt.NDArray[Any], dtype: npt.DTypeLike | None, max_length: int | None
) -> np.dtype[Any]:
    if dtype is not None:
        try:
            asked = np.dtype(dtype)
        except TypeError as error:
            raise UsageError(f"put {name!r}: dtype {dtype!r} is none: {error}") from None
        if not _is_storable(asked) or (asked.kind == "U") != (array.dtype.kind == "U"):
            raise UsageError(f"put {name!r}: cannot store {_dtype_name(array.dtype)} as dtype {asked}")
        if asked.kind != "U":
            return asked.newbyteorder("=")
    if array.dtype.kind != "U":
        return array.dtype.newbyteorder("=")
    if max_length is None:
        longest = max((len(_utf8(text)) for text in array.ravel().tolist()), default=0)
        max_length = max(DEFAULT_TEXT_BYTES, 2 * longest)
    if not 1 <= max_length <= MAX_ROW_BYTES:
        raise UsageError(f"put {name!r}: max_length={max_length}, expected 1 to {MAX_ROW_BYTES} bytes")
    return np.dtype(f"S{max_length}")


def _fill(dtype: np.dtype[Any]) -> Any:
    if dtype.kind in "fc":
        return dtype.type(np.nan)
    return np.zeros((), dtype)[()]


def _unmasked(name: str, event_number: int, array: np.ma.MaskedArray[Any, Any]) -> npt.NDArray[Any]:
    if not np.ma.is_masked(array):
        return np.asarray(np.ma.getdata(array))
    if array.dtype.kind not in "fc":
        raise UsageError(
            f"put {name!r}, event {event_number}: masked elements in {array.dtype}, which has no NaN; fill them first"
        )
    return np.asarray(array.filled(np.nan))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # lone surrogates, as in undecodable file names, stay readable


def _encoded(name: str, event_number: int, array: npt.NDArray[Any], n_bytes: int) -> npt.NDArray[Any]:
    texts = [_utf8(text) for text in array.ravel().tolist()]
    longest = max(map(len, texts), default=0)
    if longest > n_bytes:
        raise UsageError(
            f"put {name!r}, event {event_number}: text of {longest} bytes, {n_bytes} are reserved; "
            "pass max_length= in the first put"
        )
    return np.array(texts, dtype=f"S{n_bytes}").reshape(array.shape)
