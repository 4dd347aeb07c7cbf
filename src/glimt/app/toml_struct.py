"""Reads tables of a TOML document into records, and says of every problem which key, which line and what is allowed."""

from __future__ import annotations

import difflib
import math
import typing
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import inspect

from glimt.app.problems import either, key_text, value_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from glimt.app.problems import Problems
    from glimt.app.toml_lines import Key

_S = TypeVar("_S", bound=msgspec.Struct)
_MISSING = object()
_NEAR = 0.7  # at difflib's 0.6 "extras" is near "streams"


class StructReader:
    """Turns tables into records; what is wrong with them goes to ``problems``.

    Parameters
    ----------
    problems : Problems
        Where they are collected.
    written : mapping of str to callable
        For types marked ``Meta(extra={"written": word})``: the function that makes the value of what is written. It
        raises `ValueError` with what is allowed.
    checks : mapping of type to callable
        What more to check of a record, once its keys are right: called with the record, the table as it was written
        (empty if it was left out) and its key. It returns the record, completed.
    """

    def __init__(
        self,
        problems: Problems,
        *,
        written: Mapping[str, Callable[[Any], Any]],
        checks: Mapping[type, Callable[[Any, dict[str, Any], Key], Any]],
    ) -> None:
        self._problems = problems
        self._written = written
        self._checks = checks

    def read(self, record: type[_S], table: Any, key: Key = ()) -> _S | None:
        """Return the record that ``table`` describes; ``None`` if there is a problem anywhere in it."""
        if not isinstance(table, dict):
            self._problems.add(key, f"is {value_text(table)}; it must be {_table(key)}")
            return None
        before = len(self._problems)
        fields = {field.encode_name: field for field in msgspec.structs.fields(record)}
        meant = set()
        for name in (name for name in table if name not in fields):
            near = difflib.get_close_matches(name, fields, n=1, cutoff=_NEAR)
            meant.update(near)
            self._problems.add((*key, name), f"is not a key; {_instead(near, list(fields), key)}")
        values: dict[str, Any] = {}
        for name, field in fields.items():
            if name in table or (field.required and name not in meant):
                values[name] = self._value(field.type, table.get(name, _MISSING), (*key, name))
            elif isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
                values[name] = self.read(field.type, {}, (*key, name))  # its check may complete it
        if len(self._problems) > before:
            return None
        made = record(**values)
        if record in self._checks:
            made = self._checks[record](made, table, key)
        return made if len(self._problems) == before else None

    def _value(self, kind: Any, value: Any, key: Key) -> Any:
        info = inspect.type_info(kind)
        if value is _MISSING:
            self._problems.add(key, f"is missing; {_allowed(info)}")
        elif isinstance(info, inspect.StructType):
            return self.read(info.cls, value, key)
        elif isinstance(info, inspect.DictType):
            return self._table_of(kind, value, key)
        elif isinstance(info, inspect.ListType) and isinstance(info.item_type, inspect.StructType):
            return self._list_of(info.item_type.cls, value, key)
        else:
            return self._leaf(kind, info, value, key)
        return None

    def _table_of(self, kind: Any, value: Any, key: Key) -> dict[str, Any]:
        """Read a table whose keys are the user's, such as the names of streams."""
        if not isinstance(value, dict):
            self._problems.add(key, f"is {value_text(value)}; it must be {_table(key)}")
            return {}
        name_kind, item_kind = typing.get_args(kind)
        for name in value:
            self._leaf(name_kind, inspect.type_info(name_kind), name, (*key, name), says="is not allowed as a name")
        return {name: self._value(item_kind, item, (*key, name)) for name, item in value.items()}

    def _list_of(self, record: type[Any], value: Any, key: Key) -> list[Any]:
        if not isinstance(value, list):
            self._problems.add(key, f"is {value_text(value)}; it must be tables, each as [[{key_text(key)}]]")
            return []
        return [self.read(record, item, (*key, number)) for number, item in enumerate(value)]

    def _leaf(self, kind: Any, info: inspect.Type, value: Any, key: Key, *, says: str = "") -> Any:
        said = says or f"is {value_text(value)}"
        word = _extra(info).get("written")
        if word == "secret":
            said = "cannot be used"  # whatever it is, it stays secret
        try:
            if word is not None:
                return self._written[word](value)
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError("it must be a finite number" if isinstance(info, inspect.AnyType) else _allowed(info))
            return msgspec.convert(value, kind)
        except (msgspec.ValidationError, OverflowError):
            said += f"; {_allowed(info)}"
        except ValueError as error:
            said += f"; {error}"
        self._problems.add(key, said)
        return None


def _table(key: Key) -> str:
    return f"a table: [{key_text(key)}]" if all(isinstance(name, str) for name in key) else "a table"


def _instead(near: list[str], names: list[str], key: Key) -> str:
    if near:
        return f"did you mean {near[0]}?"
    where = key_text(key) if key else "the file"
    return f"{where} can have {either(names)}"


def _extra(info: inspect.Type) -> dict[str, Any]:
    """Return what the type is marked with, also where it may be left out."""
    if isinstance(info, inspect.UnionType):
        return next((extra for each in info.types if (extra := _extra(each))), {})
    if isinstance(info, inspect.Metadata):
        return info.extra or {}
    return {}


def _allowed(info: inspect.Type) -> str:
    verb = "can" if isinstance(info, inspect.LiteralType) else "must"
    return f"it {verb} be {_described(info)}"


_WRITTEN = {
    "size": "a size, such as 512 MB or 2 GiB",
    "path": "a path",
    "secret": "text",
    "parameter": "text, a number, true or false",
    "protocol": "the name of a protocol, such as stins",
}


def _described(info: inspect.Type) -> str:
    """Return in words what values a type allows."""
    match info:
        case inspect.Metadata():
            extra = info.extra or {}
            return str(extra.get("says") or _WRITTEN.get(extra.get("written", "")) or _described(info.type))
        case inspect.UnionType():
            words = [_described(each) for each in info.types if not isinstance(each, inspect.NoneType)]
            return " or ".join(word for word in words if word)
        case inspect.LiteralType():
            return either(value for value in info.values if value != "") if any(info.values) else ""
        case inspect.IntType():
            return f"a whole number{_limits(info)}"
        case inspect.FloatType():
            return f"a number{_limits(info)}"
        case inspect.BoolType():
            return "true or false"
        case inspect.ListType():
            return f"a list, each {_described(info.item_type)}"
        case inspect.StructType() | inspect.DictType():
            return "a table"
        case _:
            return "text"


def _limits(info: inspect.IntType | inspect.FloatType) -> str:
    if info.ge is not None and info.le is not None:
        return f" from {info.ge:.19g} to {info.le:.19g}"
    words = [
        f"{word} {limit:.15g}"
        for word, limit in (("above", info.gt), ("of at least", info.ge), ("below", info.lt), ("up to", info.le))
        if limit is not None
    ]
    return f" {' and '.join(words)}" if words else ""
