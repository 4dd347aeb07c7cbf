"""What an image in DECTRIS SIMPLON stream V1 says about its pixels: how they are packed, and when they were exposed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import msgspec
import numpy as np

from glimt.codecs.dectris_v1_header import TYP, Count, decode_part
from glimt.codecs.record import Record
from glimt.model.errors import DecodeError
from glimt.model.frame import check_array

if TYPE_CHECKING:
    from typing_extensions import Buffer

# bs16-lz4< (bitshuffle of 16-bit elements, then LZ4), lz4<, < (as they are); the last character is the byte order.
_ENCODING = re.compile(r"(?:bs(?P<bits>8|16|32|64)-?lz4|(?P<lz4>lz4))?(?P<order>[<>]?)")


class PixelPacking(NamedTuple):
    """What ``encoding`` says: compression and framing for `decode_pixels`, and the order of bytes."""

    compression: str
    framing: str
    big_endian: bool


def pixel_packing(encoding: str, dtype: str, *, where: str) -> PixelPacking:
    """Return how pixels of type ``dtype`` are packed.

    Raises
    ------
    DecodeError
        An unknown encoding, or one for elements of another size.
    """
    match = _ENCODING.fullmatch(encoding)
    if match is None:
        raise DecodeError(f"encoding {encoding[:40]!r} is none of bs8/16/32-lz4<, lz4<, <", where=where)
    big_endian = match["order"] == ">"
    if match["bits"]:
        if int(match["bits"]) != 8 * np.dtype(dtype).itemsize:
            raise DecodeError(f"encoding {encoding!r} does not fit elements of type {dtype}", where=where)
        return PixelPacking("bslz4", "hdf5", big_endian)
    return PixelPacking("lz4", "bare", big_endian) if match["lz4"] else PixelPacking("none", "bare", big_endian)


class DectrisV1Layout(Record, kw_only=True):
    """What part 1 of an image says about its pixels.

    Attributes
    ----------
    encoding : str
        Such as ``"bs16-lz4<"``; see `pixel_packing`.
    shape : list of int
        ``[columns, rows]``, fast axis first, as on the wire [px].
    size : int
        Length of the pixel part [bytes].
    type : str
        Element type, such as ``"uint16"``.
    """

    typ: ClassVar[str] = TYP
    encoding: str
    htype: Literal["dimage_d-1.0"] = "dimage_d-1.0"
    shape: list[int]
    size: Count
    type: str

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> DectrisV1Layout:
        """Decode part 1 of an image; `DecodeError` if no array can be like that."""
        where = "dectris-v1 image, part 1"
        layout = decode_part(_layout_decoder, frames[0], where=where)
        check_array(layout.shape[::-1], layout.type, where=where)
        if len(layout.shape) != 2:
            raise DecodeError(f"shape {layout.shape} is not [columns, rows]", where=where)
        pixel_packing(layout.encoding, layout.type, where=where)
        return layout


class DectrisV1Times(Record, kw_only=True):
    """When an image was exposed, part 3 of it.

    Attributes
    ----------
    real_time : int
        Exposure [ns].
    start_time, stop_time : int
        Since the start of the series [ns].
    """

    typ: ClassVar[str] = TYP
    htype: Literal["dconfig-1.0"] = "dconfig-1.0"
    real_time: int
    start_time: int
    stop_time: int

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> DectrisV1Times:
        """Decode part 3 of an image."""
        return decode_part(_times_decoder, frames[0], where="dectris-v1 image, part 3")


_layout_decoder = msgspec.json.Decoder(DectrisV1Layout)
_times_decoder = msgspec.json.Decoder(DectrisV1Times)
