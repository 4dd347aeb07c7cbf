"""Arrays of numbers in CBOR: RFC 8746 tags, and the compression tag 56500 that DECTRIS puts inside them.

On the wire, a frame is ``40([[rows, columns], 69(56500(["bslz4", 2, h'...']))])``: tag 40 has the shape, the tag inside
it the type, 56500 the compression. Sources: RFC 8746; DECTRIS stream V2 documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cbor2
import numpy as np
import numpy.typing as npt

from glimt.codecs.pixels import decode_pixels, encode_pixels
from glimt.model.errors import DecodeError
from glimt.model.frame import check_array

if TYPE_CHECKING:
    from typing_extensions import Buffer

ROW_MAJOR_TAG = 40
COLUMN_MAJOR_TAG = 1040
COMPRESSED_TAG = 56500
COMPRESSIONS = ("none", "lz4", "bslz4")

# tag: (element type, big endian). 76 is reserved, 83 and 87 (128-bit floats) have no NumPy type on every machine.
_ELEMENTS: dict[int, tuple[str, bool]] = {
    64: ("uint8", False),
    65: ("uint16", True),
    66: ("uint32", True),
    67: ("uint64", True),
    68: ("uint8", False),
    69: ("uint16", False),
    70: ("uint32", False),
    71: ("uint64", False),
    72: ("int8", False),
    73: ("int16", True),
    74: ("int32", True),
    75: ("int64", True),
    77: ("int16", False),
    78: ("int32", False),
    79: ("int64", False),
    80: ("float16", True),
    81: ("float32", True),
    82: ("float64", True),
    84: ("float16", False),
    85: ("float32", False),
    86: ("float64", False),
}
_TAGS = {name: tag for tag, (name, big_endian) in _ELEMENTS.items() if not big_endian and tag != 68}

ARRAY_TAGS = frozenset({ROW_MAJOR_TAG, COLUMN_MAJOR_TAG, *range(64, 88)})
"""Tags whose content is an array of numbers."""


@dataclass(frozen=True, slots=True)
class EncodedArray:
    """An array as it came: what its tags say, and bytes that are not decoded yet.

    ``numpy.asarray`` decodes it.

    Attributes
    ----------
    dtype : str
        NumPy name of the element type, such as ``"uint16"``.
    shape : tuple of int or None
        Slowest axis first; ``None`` for a list of numbers (no tag 40), which is as long as its bytes say.
    compression : str
        ``"none"``, or what tag 56500 says: ``"bslz4"`` and ``"lz4"`` can be decoded.
    payload : buffer
        The bytes; a view of the message where it was received.
    big_endian, column_major : bool
        How elements and axes lie in the decompressed bytes.
    """

    dtype: str
    shape: tuple[int, ...] | None
    compression: str
    payload: Buffer
    big_endian: bool = False
    column_major: bool = False

    def decode(self, *, where: str = "array") -> npt.NDArray[Any]:
        """Return the numbers, shape ``shape`` in C order, dtype ``dtype`` in the machine's byte order.

        Raises
        ------
        DecodeError
            The bytes do not fit the shape, are damaged, or are compressed with something else than bslz4 or lz4.
        """
        if self.compression not in COMPRESSIONS:
            raise DecodeError(
                f"compression {self.compression[:40]!r} cannot be decoded: set the detector to bslz4 or lz4",
                where=where,
            )
        shape = self._length(where) if self.shape is None else self.shape
        pixels = decode_pixels(
            self.payload,
            compression=self.compression,
            shape=shape[::-1] if self.column_major else shape,
            dtype=self.dtype,
            where=where,
            framing="hdf5",
        )
        if self.big_endian:
            pixels = pixels.byteswap()
        return np.ascontiguousarray(pixels.T) if self.column_major else pixels

    def _length(self, where: str) -> tuple[int]:
        """Return the shape of a list of numbers: compressed ones start with their size in bytes."""
        itemsize = np.dtype(self.dtype).itemsize
        view = memoryview(self.payload)
        nbytes = view.nbytes if self.compression == "none" else int.from_bytes(view[:8], "big")
        if nbytes % itemsize:
            raise DecodeError(f"{nbytes} bytes are not a whole number of {self.dtype}", where=where)
        return (nbytes // itemsize,)

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        return np.array(self.decode(), dtype=dtype, copy=copy)

    def to_tag(self) -> cbor2.CBORTag:
        """Return the tags to encode it with; always little-endian and row-major, which is how it was made here."""
        content: Any = bytes(self.payload)
        if self.compression != "none":
            itemsize = 0 if self.compression == "lz4" else np.dtype(self.dtype).itemsize
            content = cbor2.CBORTag(COMPRESSED_TAG, [self.compression, itemsize, content])
        element = (self.dtype, self.big_endian)
        typed = cbor2.CBORTag(next(tag for tag, known in _ELEMENTS.items() if known == element), content)
        if self.shape is None:
            return typed
        return cbor2.CBORTag(COLUMN_MAJOR_TAG if self.column_major else ROW_MAJOR_TAG, [list(self.shape), typed])


def pack_array(numbers: npt.ArrayLike, *, compression: str = "none") -> EncodedArray:
    """Return an array as it goes over the wire.

    Parameters
    ----------
    numbers : array_like
        One axis: a list of numbers. More: an array with a shape.
    compression : str
        ``"none"``, ``"lz4"`` or ``"bslz4"``.
    """
    array = np.asarray(numbers)
    return EncodedArray(
        dtype=array.dtype.name,
        shape=array.shape if array.ndim != 1 else None,
        compression=compression,
        payload=encode_pixels(np.ascontiguousarray(array), compression=compression, framing="hdf5"),
    )


def array_of_tag(number: int, content: Any, *, where: str) -> EncodedArray:
    """Return the array that tag ``number`` with the already read ``content`` stands for.

    Raises
    ------
    DecodeError
        The content is not what the tag asks for, or the shape is one no array may have.
    """
    if number not in (ROW_MAJOR_TAG, COLUMN_MAJOR_TAG):
        return _list_of_numbers(number, content, where)
    match content:
        case [list() as shape, EncodedArray(shape=None) as numbers] if all(type(length) is int for length in shape):
            dimensions, _, nbytes = check_array(shape, numbers.dtype, where=where)
        case _:
            raise DecodeError(f"tag {number} needs [shape, array of numbers]", where=where)
    if numbers.compression == "none" and memoryview(numbers.payload).nbytes != nbytes:
        raise DecodeError(
            f"{memoryview(numbers.payload).nbytes} bytes, {list(dimensions)} of {numbers.dtype} has {nbytes}",
            where=where,
        )
    return EncodedArray(
        numbers.dtype,
        dimensions,
        numbers.compression,
        numbers.payload,
        numbers.big_endian,
        number == COLUMN_MAJOR_TAG,
    )


def _list_of_numbers(number: int, content: Any, where: str) -> EncodedArray:
    if number not in _ELEMENTS:
        raise DecodeError(f"tag {number} is a type of number that is not supported", where=where)
    dtype, big_endian = _ELEMENTS[number]
    itemsize = np.dtype(dtype).itemsize
    match content:
        case memoryview() | bytes():
            return EncodedArray(dtype, None, "none", content, big_endian)
        case cbor2.CBORTag(tag=56500, value=[str() as algorithm, int() as size, memoryview() | bytes() as payload]):
            if algorithm == "bslz4" and size != itemsize:
                raise DecodeError(f"bslz4 of {size}-byte elements in an array of {dtype}", where=where)
            return EncodedArray(dtype, None, algorithm, payload, big_endian)
    raise DecodeError(f"tag {number} needs bytes, or tag {COMPRESSED_TAG} with [algorithm, size, bytes]", where=where)


class ChannelArrays(Mapping[str, npt.NDArray[Any]]):
    """The arrays of a detector's channels (energy thresholds) by name, each decoded when it is first read.

    Parameters
    ----------
    encoded : dict of str to EncodedArray
        As received; anything else under a name is a `DecodeError` when that name is read.
    where : str
        For the error text.
    """

    __slots__ = ("_decoded", "_encoded", "_where")

    def __init__(self, encoded: Mapping[str, Any], *, where: str) -> None:
        self._encoded = encoded
        self._decoded: dict[str, npt.NDArray[Any]] = {}
        self._where = where

    def __getitem__(self, channel: str) -> npt.NDArray[Any]:
        if channel not in self._decoded:
            where = f"{self._where}, channel {channel!r}"
            if channel not in self._encoded:
                raise KeyError(f"{where} is not there; there are: {', '.join(self._encoded) or 'none'}")
            array = self._encoded[channel]
            if not isinstance(array, EncodedArray):
                raise DecodeError(f"a {type(array).__name__}, not an array of numbers", where=where)
            self._decoded[channel] = array.decode(where=where)
        return self._decoded[channel]

    def __iter__(self) -> Iterator[str]:
        return iter(self._encoded)

    def __len__(self) -> int:
        return len(self._encoded)

    def __repr__(self) -> str:
        return f"ChannelArrays({', '.join(self._encoded)})"
