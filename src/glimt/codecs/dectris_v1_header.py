"""The first message of a series in DECTRIS SIMPLON stream V1: detector configuration and tables of all pixels.

Part 0 says by ``header_detail`` what follows: ``none`` nothing, ``basic`` the configuration, ``all`` the
configuration and three tables (JSON and numbers each). A last part may hold what the control system had set.
Shapes are (x, y) on the wire, fast axis first; everything here is (rows, columns).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, TypeVar

import msgspec
import numpy.typing as npt

from glimt.codecs.pixels import decode_pixels, encode_pixels
from glimt.codecs.record import Record, decode_header, json_error
from glimt.model.errors import DecodeError
from glimt.model.frame import check_array

if TYPE_CHECKING:
    from typing_extensions import Buffer

TYP = "EIGER_LEGACY"
"""What dranspose calls this protocol in captures."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
Detail = Literal["none", "basic", "all"]
TableKind = Literal["dflatfield-1.0", "dpixelmask-1.0", "dcountrate_table-1.0"]

FLATFIELD: TableKind = "dflatfield-1.0"
PIXEL_MASK: TableKind = "dpixelmask-1.0"
COUNTRATE_TABLE: TableKind = "dcountrate_table-1.0"
_TABLE_KINDS = (FLATFIELD, PIXEL_MASK, COUNTRATE_TABLE)

_PARTS = {"none": 1, "basic": 2, "all": 2 + 2 * len(_TABLE_KINDS)}
"""Parts by ``header_detail``, without the appendix."""


MAX_PART_BYTES = 1 << 20
"""Longest JSON part [bytes]; real ones have 40 to 2,000. An appendix is not parsed and may be longer."""

R = TypeVar("R", bound=Record)


def _short(part: Buffer, *, where: str) -> Buffer:
    nbytes = memoryview(part).nbytes
    if nbytes > MAX_PART_BYTES:
        raise DecodeError(f"{nbytes} bytes of JSON, at most {MAX_PART_BYTES} are accepted", where=where)
    return part


def decode_part(decoder: msgspec.json.Decoder[R], part: Buffer, *, where: str) -> R:
    """Decode a JSON part into its `Record`, of which every key can be read later.

    Raises
    ------
    DecodeError
        Not JSON, longer than `MAX_PART_BYTES`, a key is missing or has the wrong type.
    """
    record = decode_header(decoder, _short(part, where=where), where=where)
    try:
        msgspec.json.decode(part)  # the typed decoder skips keys that it does not know without looking at them
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise json_error(error, where=where) from None
    return record


class DectrisV1Table(Record, kw_only=True):
    """What a header says about one of its tables.

    Attributes
    ----------
    htype : str
        Which table.
    shape : list of int
        ``[columns, rows]``, fast axis first, as on the wire [px].
    type : str
        Element type, such as ``"float32"``.
    """

    typ: ClassVar[str] = TYP
    htype: TableKind
    shape: list[int]
    type: str


class _Contents(NamedTuple):
    """The parts after the first, as received or made."""

    config: Buffer | None = None
    tables: tuple[tuple[DectrisV1Table, Buffer], ...] = ()
    appendix: Buffer | None = None


class DectrisV1Header(Record, kw_only=True):
    """Start of a series.

    Attributes
    ----------
    header_detail : str
        ``"none"``, ``"basic"`` or ``"all"``: what the message has beside this part.
    series : int
        Number of the series, also in every image.
    """

    typ: ClassVar[str] = TYP
    header_detail: Detail
    htype: Literal["dheader-1.0"] = "dheader-1.0"
    series: Count

    @property
    def config(self) -> dict[str, Any]:
        """The detector configuration under DECTRIS's own names, a new dict; empty if the header has none."""
        part = self._contents.config
        if part is None:
            return {}
        found: dict[str, Any] = _config_decoder.decode(part)
        return found

    @property
    def number_of_images(self) -> int | None:
        """Images until the series ends unless it is aborted, ``None`` if the configuration does not say."""
        config = self.config
        triggers = _whole_number(config, "ntrigger")
        match config.get("trigger_mode"):
            case "exte" | "inte":  # every trigger is one image, as long as the trigger is
                return triggers
            case "exts" | "ints":
                images = _whole_number(config, "nimages")
                return None if triggers is None or images is None else images * triggers
        return None

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Rows and columns [px], ``None`` if the configuration does not say."""
        config = self.config
        rows, columns = _whole_number(config, "y_pixels_in_detector"), _whole_number(config, "x_pixels_in_detector")
        return None if rows is None or columns is None else (rows, columns)

    @property
    def flatfield(self) -> npt.NDArray[Any] | None:
        """Factor of every pixel, ``(rows, columns)`` float32; ``None`` unless ``header_detail`` is ``"all"``."""
        return self._table(FLATFIELD)

    @property
    def pixel_mask(self) -> npt.NDArray[Any] | None:
        """State of every pixel, ``(rows, columns)`` uint32: 0 is good, each bit one reason against it; or ``None``."""
        return self._table(PIXEL_MASK)

    @property
    def countrate_table(self) -> npt.NDArray[Any] | None:
        """Pairs of measured and corrected counts, ``(n, 2)`` float32; or ``None``."""
        return self._table(COUNTRATE_TABLE)

    @property
    def appendix(self) -> bytes | None:
        """What the control system had set as ``header_appendix``, ``None`` if nothing."""
        part = self._contents.appendix
        return None if part is None else bytes(part)

    @property
    def _contents(self) -> _Contents:
        contents: _Contents = self._payload or _Contents()
        return contents

    def _table(self, kind: TableKind) -> npt.NDArray[Any] | None:
        for table, numbers in self._contents.tables:
            if table.htype == kind:
                return decode_pixels(
                    numbers,
                    compression="none",
                    shape=table.shape[::-1],
                    dtype=table.type,
                    where=f"dectris-v1 header, {kind}",
                )
        return None

    def to_frames(self) -> list[bytes]:
        """Return the parts of the message as they go over the wire."""
        contents = self._contents
        parts = [self.header_json()]
        if contents.config is not None:
            parts.append(bytes(contents.config))
        for table, numbers in contents.tables:
            parts += [table.header_json(), bytes(numbers)]
        return parts if contents.appendix is None else [*parts, bytes(contents.appendix)]

    @classmethod
    def from_frames(cls, frames: Sequence[Buffer]) -> DectrisV1Header:
        """Decode a header; tables stay encoded until they are read."""
        record = decode_part(_header_decoder, frames[0], where="dectris-v1 header, part 0")
        n_parts = _PARTS[record.header_detail]
        if len(frames) not in (n_parts, n_parts + 1):
            raise DecodeError(
                f"{len(frames)} parts, with header_detail {record.header_detail!r} there are {n_parts}, "
                f"or {n_parts + 1} with an appendix",
                where="dectris-v1 header",
            )
        config = frames[1] if n_parts > 1 else None
        if config is not None:
            _check_config(config)
        tables = tuple((_decode_table(frames[number], number), frames[number + 1]) for number in range(2, n_parts, 2))
        if len({table.htype for table, _ in tables}) != len(tables):
            raise DecodeError("a table occurs twice", where="dectris-v1 header")
        record._payload = _Contents(config, tables, frames[n_parts] if len(frames) > n_parts else None)
        return record

    @classmethod
    def make(
        cls,
        *,
        series: int,
        config: Mapping[str, Any] | None = None,
        tables: Mapping[TableKind, npt.NDArray[Any]] | None = None,
        appendix: bytes | None = None,
    ) -> DectrisV1Header:
        """Return a header with what is given, ``header_detail`` following from it.

        Parameters
        ----------
        series : int
            Number of the series.
        config : mapping, optional
            Detector configuration under DECTRIS's own names.
        tables : mapping, optional
            All three tables, ``(rows, columns)``; need ``config``.
        appendix : bytes, optional
            Any bytes.
        """
        if tables is not None and (config is None or set(tables) != set(_TABLE_KINDS)):
            raise ValueError(f"tables need a config and all of {', '.join(_TABLE_KINDS)}")
        detail: Detail = "none" if config is None else "basic" if tables is None else "all"
        record = cls(header_detail=detail, series=series)
        encoded = tuple(
            (
                DectrisV1Table(htype=kind, shape=list(tables[kind].shape[::-1]), type=tables[kind].dtype.name),
                encode_pixels(tables[kind], compression="none"),
            )
            for kind in _TABLE_KINDS
            if tables is not None
        )
        record._payload = _Contents(None if config is None else msgspec.json.encode(config), encoded, appendix)
        return record


_header_decoder = msgspec.json.Decoder(DectrisV1Header)
_table_decoder = msgspec.json.Decoder(DectrisV1Table)
_config_decoder = msgspec.json.Decoder(dict[str, Any])


def _check_config(part: Buffer) -> None:
    where = "dectris-v1 header, part 1"
    try:
        _config_decoder.decode(_short(part, where=where))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise json_error(error, where=where) from None


def _decode_table(part: Buffer, number: int) -> DectrisV1Table:
    where = f"dectris-v1 header, part {number}"
    table = decode_part(_table_decoder, part, where=where)
    check_array(table.shape[::-1], table.type, where=where)
    return table


def _whole_number(config: Mapping[str, Any], key: str) -> int | None:
    value = config.get(key)
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < 2**63:
        raise DecodeError(f"{key} {value!r:.40} is not a whole number", where="dectris-v1 header, part 1")
    return value
