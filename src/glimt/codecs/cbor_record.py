"""Base of every decoded message that is one CBOR map: a `Record` whose header is the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import cbor2
import msgspec
import numpy as np

from glimt.codecs.cbor_items import SELF_DESCRIBED, read_item, scan_map
from glimt.codecs.record import Record
from glimt.codecs.typed_array import ChannelArrays, EncodedArray, pack_array
from glimt.model.errors import DecodeError

if TYPE_CHECKING:
    from typing_extensions import Buffer

C = TypeVar("C", bound="CborRecord")


def encode_value(value: Any) -> bytes:
    """Return one value as CBOR; arrays, also inside lists and dicts, with the tags of RFC 8746."""
    return cbor2.dumps(_plain(value))


def _plain(value: Any) -> Any:
    match value:
        case EncodedArray():
            return value.to_tag()
        case np.ndarray():
            return pack_array(value).to_tag()
        case np.generic():
            return value.item()
        case memoryview():
            return bytes(value)
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case cbor2.CBORTag():
            return cbor2.CBORTag(value.tag, _plain(value.value))
    return value


class CborRecord(Record, kw_only=True, eq=False):
    """One message that is one map.

    Subclasses declare as fields the keys that have plain values, and name in ``lazy_keys`` those that they decode on
    demand. Everything else in the map is in `extra` and readable as an attribute; arrays there are
    `EncodedArray`, which ``numpy.asarray`` decodes. A message is written back byte for byte, and after a change only
    the changed keys are encoded anew.
    """

    lazy_keys: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_spans(cls: type[C], message: Buffer, spans: dict[str, memoryview], *, where: str) -> C:
        """Make the record of a message whose keys were found by `glimt.codecs.cbor_items.scan_map`.

        Raises
        ------
        DecodeError
            A field is missing, has the wrong type or cannot be read.
        """
        record = cls._convert(spans, where)
        record._header = message
        record._payload = spans
        record._array = {}
        return record

    @classmethod
    def _convert(cls: type[C], spans: dict[str, memoryview], where: str) -> C:
        values = {
            key: read_item(spans[key], where=f"{where}, {key}")
            for name, key in zip(cls.__struct_fields__, cls.__struct_encode_fields__, strict=True)
            if key in spans and not name.startswith("_")
        }
        try:
            return msgspec.convert(values, cls)
        except (msgspec.ValidationError, OverflowError) as error:
            raise DecodeError(f"bad field ({error})", where=where) from None

    @property
    def _spans(self) -> dict[str, Any]:
        """Encoded values by key, as received or put."""
        if self._payload is None:
            self._payload, self._array = {}, {}
        spans: dict[str, Any] = self._payload
        return spans

    @property
    def extra(self) -> dict[str, Any]:
        """Keys of the message that the protocol does not define, decoded; empty if there are none."""
        known = {key for _, key in self._own_keys()} | {*self.lazy_keys}
        return {key: self.read(key) for key in self._spans if key not in known}

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self._spans:
            return self.read(name)
        raise AttributeError(f"{type(self).__name__} has no field {name!r}; it has {', '.join(self.field_names())}")

    def field_names(self) -> list[str]:
        """Return the names of the protocol's own keys, then those found in this message beside them."""
        own = [name for name in self.__struct_fields__ if not name.startswith("_")]
        return own + [key for key in self._spans if key not in own and key not in self.lazy_keys]

    def read(self, key: str) -> Any:
        """Return the value under ``key`` as the message has it; `KeyError` if it does not.

        Raises
        ------
        DecodeError
            The value is malformed.
        """
        return read_item(memoryview(self._spans[key]), where=f"{self.typ} message, {key}")

    def put(self, key: str, value: Any) -> None:
        """Set ``key`` to an array, a dict of arrays by channel or any plain value; fields can be assigned as well."""
        for name, own_key in self._own_keys():
            if key == own_key:
                setattr(self, name, value)
                return
        self._spans[key] = encode_value(value)
        self._array = {}
        self._header = b""

    def channel_arrays(self, key: str) -> ChannelArrays:
        """Return the arrays by channel under ``key``, each decoded when it is first read; empty without the key.

        Raises
        ------
        DecodeError
            The value is no map.
        """
        spans = self._spans
        if key not in self._array:
            where = f"{self.typ} message, {key}"
            arrays = self.read(key) if key in spans else {}
            if not isinstance(arrays, dict):
                raise DecodeError(f"a {type(arrays).__name__}, not arrays by channel", where=where)
            self._array[key] = ChannelArrays(arrays, where=where)
        found: ChannelArrays = self._array[key]
        return found

    def to_frames(self) -> list[bytes]:
        """Return the message: byte for byte as received unless something was changed since."""
        changed, gone = self._changes()
        if self._header and not changed and not gone:
            return [bytes(self._header)]
        kept = {key: changed.get(key, raw) for key, raw in self._spans.items() if key not in gone}
        # A sender writes "type" first, so that a receiver can tell messages apart without reading them.
        encoded = kept | changed if "type" in kept else changed | kept
        pairs = b"".join(encode_value(key) + raw for key, raw in encoded.items())
        return [SELF_DESCRIBED + _map_head(len(encoded)) + pairs]

    def _changes(self) -> tuple[dict[str, bytes], set[str]]:
        """Return what encodes differently than it was received, by key, and the keys that were set to ``None``."""
        own = self._own_keys()
        spans = {key: memoryview(self._spans[key]) for _, key in own if key in self._spans}
        received = self._convert(spans, self.typ) if spans else None
        changed, gone = {}, set()
        for name, key in own:
            value, before = getattr(self, name), getattr(received, name) if key in spans else None
            if value is None and before is not None:
                gone.add(key)
            elif value is not None and (encoded := encode_value(value)) != encode_value(before):
                changed[key] = encoded
        return changed, gone

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, CborRecord):
            return False
        mine, theirs = self.to_frames()[0], other.to_frames()[0]
        return mine == theirs or _all_values(mine) == _all_values(theirs)

    __hash__ = None

    def __str__(self) -> str:
        return " ".join(f"{name}={self._printed(name)}" for name in self.field_names())

    def _printed(self, name: str) -> str:
        try:
            return repr(getattr(self, name) if name in self.__struct_fields__ else self.read(name))
        except DecodeError as error:  # a message must be printable, above all one with something wrong in it
            return f"<{error}>"

    @classmethod
    def from_frames(cls: type[C], frames: Sequence[Buffer]) -> C:
        """Decode a message of this very type from its one part."""
        if len(frames) != 1:
            raise DecodeError(f"{len(frames)} parts, 1 is needed", where=f"{cls.typ} message")
        where = f"{cls.typ} message"
        return cls.from_spans(frames[0], scan_map(frames[0], where=where), where=where)


def _all_values(message: bytes) -> dict[str, Any]:
    return {key: read_item(span, where="comparison") for key, span in scan_map(message, where="comparison").items()}


def _map_head(n_pairs: int) -> bytes:
    if n_pairs < 24:
        return bytes([0xA0 + n_pairs])
    return bytes([0xB8, n_pairs]) if n_pairs < 256 else b"\xb9" + n_pairs.to_bytes(2, "big")
