"""Finds on which line of a TOML document each key stands, which `tomllib` does not tell."""

from __future__ import annotations

import contextlib
import re
import tomllib
from typing import NamedTuple

Key = tuple[str | int, ...]
"""Where a value lies: names of tables and keys, numbers of elements of arrays, such as ``("streams", "eiger")``."""

_TOKEN = re.compile(
    r'''
    (?P<blank> [ \t\r]+ | \#[^\n]* )
  | (?P<newline> \n )
  | (?P<text> """(?:[^\\]|\\.)*?"""(?:"{0,2}) | \'\'\'.*?\'\'\'(?:'{0,2})
            | "(?:[^"\\\n]|\\.)*" | '[^'\n]*' )
  | (?P<unclosed> ["'] .* )
  | (?P<mark> [\[\]{}=,.] )
  | (?P<bare> [^\s\[\]{}=,."'\#]+ )
  | (?P<odd> . )
    ''',
    re.VERBOSE | re.DOTALL,
)


_MAX_DEPTH = 64
"""Keys that lie deeper are not located: each would hold the names of all above it."""


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


class TomlLines:
    """The lines of all keys, tables and array elements of a document.

    Parameters
    ----------
    text : str
        A document that `tomllib` accepts. Of any other, what was understood before the fault is located.
    """

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._next = 0
        self._lines: dict[Key, int] = {}
        self._n_tables: dict[Key, int] = {}  # how often [[…]] has stood there
        with contextlib.suppress(_NotTomlError):  # what was located until then is good enough
            self._document()
        del self._tokens

    def line(self, key: Key) -> int | None:
        """Return the line, from 1, on which ``key`` stands, or else what it lies in; ``None`` if not even that does."""
        for length in range(len(key), 0, -1):
            if (line := self._lines.get(key[:length])) is not None:
                return line
        return None

    def items(self) -> dict[Key, int]:
        """Return all that was located."""
        return dict(self._lines)

    def _document(self) -> None:
        table: Key = ()
        while (token := self._skip("newline")) is not None:
            if token.text == "[" and token.kind == "mark":
                table = self._header()
            else:
                self._key_and_value(table)

    def _header(self) -> Key:
        """Read ``[a.b]`` or ``[[a.b]]``; return where the keys that follow belong."""
        line = self._take("[").line
        is_array = self._peek_text() == "["
        if is_array:
            self._take("[")
        names = self._dotted_key()
        self._take("]")
        if is_array:
            self._take("]")
        table: Key = ()
        for name in names[:-1]:
            table = self._innermost((*table, name))
            self._lines.setdefault(table, line)
        table = (*table, names[-1])
        if is_array:
            self._lines.setdefault(table, line)
            self._n_tables[table] = self._n_tables.get(table, 0) + 1
            table = self._innermost(table)
        self._lines[table] = line  # here it is written out; before it may only have been implied
        return table

    def _innermost(self, table: Key) -> Key:
        """Return the element of an array of tables that is being written, or ``table`` if it is no such array."""
        count = self._n_tables.get(table, 0)
        return (*table, count - 1) if count else table

    def _key_and_value(self, table: Key) -> None:
        line = self._line()
        for name in self._dotted_key():
            table = (*table, name)
            self._lines.setdefault(table, line)
        self._take("=")
        self._value(table)

    def _dotted_key(self) -> list[str]:
        names = [self._name()]
        while self._peek_text() == ".":
            self._take(".")
            names.append(self._name())
            if len(names) > _MAX_DEPTH:
                raise _NotTomlError
        return names

    def _name(self) -> str:
        token = self._skip()
        if token is None or token.kind not in {"bare", "text"}:
            raise _NotTomlError
        self._next += 1
        if token.kind == "bare":
            return token.text
        try:
            return str(tomllib.loads(f"key = {token.text}")["key"])  # it knows all escapes
        except tomllib.TOMLDecodeError:
            raise _NotTomlError from None

    def _value(self, key: Key) -> None:
        if len(key) > _MAX_DEPTH:
            raise _NotTomlError
        opening = self._peek_text()
        if opening == "[":
            self._array(key)
        elif opening == "{":
            self._inline_table(key)
        else:
            self._plain()

    def _array(self, key: Key) -> None:
        self._take("[")
        number = 0
        while (token := self._skip("newline")) is not None and token.text != "]":
            if token.text == ",":
                number += 1
                self._take(",")
            else:
                self._lines.setdefault((*key, number), token.line)
                self._value((*key, number))
        self._take("]")

    def _inline_table(self, table: Key) -> None:
        self._take("{")
        while (token := self._skip("newline")) is not None and token.text != "}":
            if token.text == ",":
                self._take(",")
            else:
                self._key_and_value(table)
        self._take("}")

    def _plain(self) -> None:
        """Pass over a number, text, time or truth value, however it is spelled."""
        start = self._next
        while (token := self._skip()) is not None and token.kind != "newline" and token.text not in {",", "]", "}"}:
            self._next += 1
        if self._next == start:
            raise _NotTomlError

    def _skip(self, *kinds: str) -> _Token | None:
        """Return the next token that is neither blank nor of ``kinds``, without taking it; ``None`` at the end."""
        while self._next < len(self._tokens):
            token = self._tokens[self._next]
            if token.kind != "blank" and token.kind not in kinds:
                return token
            self._next += 1
        return None

    def _peek_text(self) -> str:
        """Return the next mark, ``""`` if something else is next; a quoted mark is none."""
        token = self._skip()
        return token.text if token is not None and token.kind == "mark" else ""

    def _take(self, mark: str) -> _Token:
        token = self._skip()
        if token is None or token.kind != "mark" or token.text != mark:
            raise _NotTomlError
        self._next += 1
        return token

    def _line(self) -> int:
        token = self._skip()
        if token is None:
            raise _NotTomlError
        return token.line


class _NotTomlError(Exception):
    """What follows is no TOML."""


def _tokens(text: str) -> list[_Token]:
    found = []
    line = 1
    for match in _TOKEN.finditer(text):
        found.append(_Token(str(match.lastgroup), match[0], line))
        line += match[0].count("\n")
    return found
