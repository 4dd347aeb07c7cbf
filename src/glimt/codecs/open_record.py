"""Base of the messages of beamline devices: one JSON object, of which the protocol defines a few keys.

Most of what these messages carry stands under keys that the beamline chose (channels, motors, counters). An
`OpenRecord` therefore also takes them in its constructor, and keeps what Python's ``json`` writes and JSON forbids:
NaN and infinities, which a device sends for a channel that gave no value.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from glimt.codecs.plain_values import MAX_DEPTH
from glimt.codecs.record import HiddenField, Record, json_error, own_key_set
from glimt.model.errors import DecodeError

if TYPE_CHECKING:
    from typing_extensions import Buffer

MAX_JSON_BYTES = 4 << 20
"""Longest JSON part of a device [bytes]; as Python objects it may take twenty times that. Real ones have 2,000."""

T = TypeVar("T")
M = TypeVar("M", bound="OpenRecord")


def json_object(part: Buffer, *, where: str) -> dict[str, Any]:
    """Return the JSON object in ``part``, in which numbers may also be NaN and infinite.

    Raises
    ------
    DecodeError
        Too long, not JSON, or not an object.
    """
    view = memoryview(part)
    if view.nbytes > MAX_JSON_BYTES:
        raise DecodeError(f"a header of {view.nbytes} bytes; at most {MAX_JSON_BYTES} are accepted", where=where)
    try:
        try:
            values = msgspec.json.decode(view)
        except (msgspec.DecodeError, UnicodeDecodeError):
            values = json.loads(bytes(view))
            json_text({"": values})  # text that has no UTF-8 form could never be written again
    except (ValueError, RecursionError) as error:  # msgspec's own errors and those of json are ValueErrors
        raise json_error(error, where=where) from None
    if not isinstance(values, dict):
        raise DecodeError(f"a JSON {type(values).__name__}, not an object", where=where)
    _check_depth(values, where)
    return values


def _check_depth(values: dict[str, Any], where: str) -> None:
    level: list[Any] = [values]
    for _ in range(MAX_DEPTH):
        level = [
            child
            for item in level
            for child in (item.values() if type(item) is dict else item)
            if type(child) is dict or type(child) is list
        ]
        if not level:
            return
    raise DecodeError(f"bad header (nested deeper than {MAX_DEPTH})", where=where)


def json_text(values: Mapping[str, Any]) -> bytes:
    """Return ``values`` as compact JSON; NaN and infinities stay what they are."""
    text = msgspec.json.encode(values, enc_hook=_plain)
    if b"null" in text:  # what msgspec writes for None and for numbers that are not finite
        plain = msgspec.to_builtins(values, enc_hook=_plain)
        text = json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode()
    return text


def _plain(value: Any) -> Any:
    listed = getattr(value, "tolist", None)  # NumPy's numbers and arrays
    if listed is None:
        raise TypeError(f"a {type(value).__name__} cannot be written as JSON")
    return listed()


class _TakesAnyKey(msgspec.StructMeta):
    """Makes the constructor of a record take keys that its protocol does not define."""

    def __call__(self, /, *args: Any, **keys: Any) -> Any:
        known = {name for name in self.__struct_fields__ if not name.startswith("_")}
        extra = {key: keys.pop(key) for key in [*keys] if key not in known}
        record = super().__call__(*args, **keys)
        # What is part of the message but not of its header, such as the pixels, is assigned.
        assigned = {key for key in extra if getattr(getattr(self, key, None), "fset", None) is not None}
        record._extra = {key: value for key, value in extra.items() if key not in assigned}
        for key in assigned:
            setattr(record, key, extra[key])
        return record


class OpenRecord(Record, kw_only=True, eq=False, metaclass=_TakesAnyKey):
    """One decoded message whose sender adds keys of its own; give those to the constructor like any other."""

    _extra: HiddenField = msgspec.field(default=None, name="(glimt extra)")

    @property
    def extra(self) -> dict[str, Any]:
        """Keys that the protocol does not define, with their values."""
        if self._extra is None:
            received = json_object(self._header, where=self.typ) if self._header else {}
            own = own_key_set(type(self))
            self._extra = {key: value for key, value in received.items() if key not in own}
        keys: dict[str, Any] = self._extra
        return keys

    @classmethod
    def from_values(cls: type[M], values: Mapping[str, Any], *, where: str, header: Any = b"") -> M:
        """Make the record of an object that was read already.

        Parameters
        ----------
        values : mapping
            What the message says.
        where : str
            For the error text.
        header : buffer
            The text of it, to be written back as it came.

        Raises
        ------
        DecodeError
            A key is missing or has the wrong type.
        """
        known = frozenset(cls.__struct_encode_fields__)
        own = {key: values[key] for key in values if key in known and not key.startswith("(")}
        try:
            record = msgspec.convert(own, cls)
        except (msgspec.ValidationError, OverflowError) as error:
            raise json_error(error, where=where) from None
        record._extra = {key: value for key, value in values.items() if key not in own}
        record._header = header
        return record

    @classmethod
    def from_header(cls: type[M], part: Buffer, *, where: str) -> M:
        """Make the record of a JSON part.

        Raises
        ------
        DecodeError
            Not a JSON object, a key is missing or has the wrong type.
        """
        return cls.from_values(json_object(part, where=where), where=where, header=part)

    def values(self) -> dict[str, Any]:
        """Return all keys of the header with their values, those of the protocol first."""
        return {key: getattr(self, name) for name, key in self._own_keys()} | self.extra

    def header_json(self) -> bytes:
        """Return the header as JSON: byte for byte as received unless something was changed since."""
        text = json_text(self.values())
        if self._header:
            received = type(self).from_header(self._header, where=self.typ)
            if json_text(received.values()) == text:
                return bytes(self._header)
        return text

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, OpenRecord):
            return False
        return json_text(self.values()) == json_text(other.values()) and self.to_frames()[1:] == other.to_frames()[1:]

    __hash__ = None

    def __repr__(self) -> str:
        pairs = [*self.values().items(), *self._shown()]
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in pairs)})"

    def model_dump(
        self, *, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, Any]:
        """Return everything in the message as a dict: what a pydantic model of it would."""
        own = {name: getattr(self, name) for name, _ in self._own_keys()}
        pairs = own | self.extra | dict(self._shown())
        wanted = pairs if include is None else include
        return {name: value for name, value in pairs.items() if name in wanted and name not in (exclude or ())}

    def model_dump_json(self, *, include: Collection[str] | None = None, exclude: Collection[str] | None = None) -> str:
        """Return `model_dump` as JSON text; arrays as lists."""
        return json_text(self.model_dump(include=include, exclude=exclude)).decode()


def one_part(frames: Sequence[Buffer], *, where: str) -> Buffer:
    """Return the only part of a message.

    Raises
    ------
    DecodeError
        There is none or more than one.
    """
    if len(frames) != 1:
        raise DecodeError(f"{len(frames)} parts, a message has 1", where=where)
    return frames[0]


def chosen(values: Mapping[str, Any], key: str, kinds: Mapping[Any, T], *, where: str) -> T:
    """Return the entry of ``kinds`` that ``values[key]`` names.

    Raises
    ------
    DecodeError
        The key is missing or names none of them.
    """
    value = values.get(key)
    if type(value) is not str and type(value) is not int:
        raise DecodeError(f"no {key!r}, which says what the message is: {_listed(kinds)}", where=where)
    if value not in kinds:
        raise DecodeError(f"{key} {str(value)[:40]!r} is not one of {_listed(kinds)}", where=where)
    return kinds[value]


def _listed(kinds: Mapping[Any, Any]) -> str:
    return ", ".join(str(kind) for kind in kinds)
