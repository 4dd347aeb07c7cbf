"""Base of every decoded message: a typed header that keeps what it does not know.

A beamline adds keys to its headers whenever it likes. A `Record` has the keys its protocol defines as typed fields;
all others stay readable as attributes and in `Record.extra`, and are written back by ``encode``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import msgspec

from glimt.model.errors import DecodeError
from glimt.model.event import StreamData

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAX_HEADER_BYTES = 16 << 20
"""Longest JSON header that is parsed [bytes]; real ones have 50 to 2,000."""

R = TypeVar("R", bound="Record")

if TYPE_CHECKING:
    HiddenField = Any
else:

    class HiddenField:
        """Type of the fields of a `Record` that are not part of the message."""


class Record(msgspec.Struct, kw_only=True, eq=False):
    """One decoded message.

    Subclasses declare the keys of the wire format as fields. Two attributes are not part of the message:

    ``typ`` (class attribute)
        the `StreamData.typ` that frames of this protocol carry.
    ``_header``
        the JSON text it was decoded from, empty if it was made in Python.
    """

    typ: ClassVar[str] = ""

    # Fields of a Struct can be filled from the wire. These have a type that no JSON value fits.
    _header: HiddenField = msgspec.field(default=b"", name="(glimt header)")
    _payload: HiddenField = msgspec.field(default=None, name="(glimt payload)")
    _array: HiddenField = msgspec.field(default=None, name="(glimt array)")

    @property
    def extra(self) -> dict[str, Any]:
        """Header keys that the protocol does not define, as plain JSON values; empty if there are none.

        Raises
        ------
        DecodeError
            One of them is not JSON after all, such as text that is not UTF-8: they are parsed when first asked for.
        """
        if not self._header:
            return {}
        known = own_key_set(type(self))
        return {key: value for key, value in self._received().items() if key not in known}

    def _received(self) -> dict[str, Any]:
        try:
            content: dict[str, Any] = msgspec.json.decode(self._header)
        except (ValueError, RecursionError) as error:
            raise json_error(error, where=f"{self.typ} header") from None
        return content

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            extra = self.extra
            if name in extra:
                return extra[name]
        raise AttributeError(f"{type(self).__name__} has no field {name!r}; it has {', '.join(self.field_names())}")

    def field_names(self) -> list[str]:
        """Return the names of the protocol's own keys, then those found in this message beside them."""
        own = [name for name in self.__struct_fields__ if not name.startswith("_")]
        return own + [key for key in self.extra if key not in own]

    def header_json(self) -> bytes:
        """Return the header as JSON: byte for byte as received unless a field was changed since."""
        own = {key: getattr(self, name) for name, key in self._own_keys()}
        if self._header:
            received = self._received()
            if all(received.get(key, own[key]) == msgspec.to_builtins(own[key]) for key in own):
                return bytes(self._header)
        return msgspec.json.encode(own | self.extra)

    def _own_keys(self) -> list[tuple[str, str]]:
        return _own_keys(type(self))

    def to_frames(self) -> list[bytes]:
        """Return the parts of the message as they go over the wire."""
        return [self.header_json()]

    def to_stream_data(self) -> StreamData:
        """Return the message as the `StreamData` an event carries."""
        return StreamData(self.typ, list(self.to_frames()))

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, Record):
            return False
        mine, theirs = self.to_frames(), other.to_frames()
        return msgspec.json.decode(mine[0]) == msgspec.json.decode(theirs[0]) and mine[1:] == theirs[1:]

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        parts = [f"{name}={getattr(self, name)!r}" for name, _ in self._own_keys()]
        parts += [f"{name}={value!r}" for name, value in self.extra.items()]
        return " ".join(parts + [f"{name}={value!r}" for name, value in self._shown()])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self!s})"

    def _shown(self) -> list[tuple[str, Any]]:
        """Return what to print beside the header, such as the pixels."""
        return []

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the wire form: a payload may be a view of a network buffer, which no other process has.
        return _rebuild, (type(self), [bytes(frame) for frame in self.to_frames()])

    @classmethod
    def from_frames(cls: type[R], frames: Sequence[Buffer]) -> R:
        """Decode one message of this very type from its parts."""
        raise TypeError(f"{cls.__name__} cannot be decoded on its own")


def _rebuild(cls: type[R], frames: list[bytes]) -> R:
    return cls.from_frames(frames)


class _Kind(msgspec.Struct):
    htype: str


_kind_decoder = msgspec.json.Decoder(_Kind)


def json_view(part: Buffer, *, where: str) -> memoryview:
    """Return the bytes of a JSON part, refusing one too long to be a header.

    Raises
    ------
    DecodeError
        The part has more than `MAX_HEADER_BYTES`.
    """
    view = memoryview(part)
    if view.nbytes > MAX_HEADER_BYTES:
        raise DecodeError(f"a header of {view.nbytes} bytes; at most {MAX_HEADER_BYTES} are accepted", where=where)
    return view


def json_error(error: Exception, *, where: str) -> DecodeError:
    """Return the `DecodeError` for what msgspec found wrong with a JSON part."""
    text = str(error)  # may quote a value as long as the message
    return DecodeError(f"bad header ({text if len(text) < 300 else f'{text[:140]}…{text[-140:]}'})", where=where)


def header_kind(part: Buffer, *, where: str) -> str:
    """Return the ``htype`` of a JSON header.

    Raises
    ------
    DecodeError
        Not JSON, or no text under ``htype``.
    """
    try:
        return _kind_decoder.decode(json_view(part, where=where)).htype
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise json_error(error, where=where) from None


def decode_header(decoder: msgspec.json.Decoder[R], part: Buffer, *, where: str) -> R:
    """Decode a JSON part into its `Record`, which keeps the text for its extra keys.

    Raises
    ------
    DecodeError
        Not JSON, a key is missing or has the wrong type.
    """
    try:
        record = decoder.decode(json_view(part, where=where))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, NotImplementedError, TypeError) as error:
        raise json_error(error, where=where) from None
    record._header = part
    return record


@cache
def _own_keys(cls: type[Record]) -> list[tuple[str, str]]:
    """Return the attribute and the JSON key of each field that the protocol defines."""
    pairs = zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True)
    return [(name, key) for name, key in pairs if not name.startswith("_")]


@cache
def own_key_set(cls: type[Record]) -> frozenset[str]:
    """Return the JSON keys that the protocol defines."""
    return frozenset(key for _, key in _own_keys(cls))
