"""What a command of the ISPyB service is: a record that names its fields, and a function that writes its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import msgspec

from glimt.stores.results_rows import upsert_row

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

C = TypeVar("C", bound=msgspec.Struct)

Id = int | None
Number = float | None
Count = int | None
Text = str | float | None
"""Numbers are stored as they are written."""
Flag = bool | int | str | None
"""True, false, 1, 0 and texts of these."""
Moment = str | float | None
"""ISO 8601 or seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Column:
    """Says, in the annotation of a field, which column it goes to.

    Attributes
    ----------
    name : str
    """

    name: str


@dataclass(slots=True)
class CommandRun:
    """A transaction in which commands run, and what is to be said about it when it has ended.

    Attributes
    ----------
    session : Session
    roots : tuple of Path
        Folders that paths of files must lie in.
    environment : dict
        Values that later commands may name as ``$name``; a copy until the transaction is over.
    stored : dict
        What `store` added to it.
    messages : list of (str, object)
        Streams and payloads to be sent besides the result.
    now : datetime
        Local time, as ISPyB stores it.
    """

    session: Session
    roots: tuple[Path, ...]
    environment: dict[str, Any]
    stored: dict[str, Any] = field(default_factory=dict)
    messages: list[tuple[str, Any]] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: datetime.now().replace(microsecond=0))

    def store(self, name: Any, value: Any) -> None:
        """Keep the result of a command under a name; nothing without a name."""
        if name:
            self.environment[str(name)] = self.stored[str(name)] = value


@dataclass(frozen=True, slots=True)
class Command:
    """An ``ispyb_command``.

    Attributes
    ----------
    name : str
    record : type
        A `msgspec.Struct` whose fields are those of the command. What else a message has is ignored.
    write : callable
        Takes a `CommandRun` and the record, and returns the result, which is a JSON value.
    tables : tuple of str
        What it writes to, or reads; for people.
    literal : frozenset of str
        Fields in which ``$name`` stays as it is.
    loose : bool
        Fields are found without regard to case and underscores, as ISPyB's own parameter lists do it.
    """

    name: str
    record: type[msgspec.Struct]
    write: Callable[[CommandRun, Any], Any]
    tables: tuple[str, ...]
    literal: frozenset[str] = frozenset()
    loose: bool = False


def values_of(command: msgspec.Struct) -> dict[str, Any]:
    """Return the fields of a command that have a column, by the names of the columns."""
    return {column: getattr(command, name) for name, column in _columns(type(command)).items()}


def writes_row(table: str, key: str = "", **fixed: Any) -> Callable[[CommandRun, Any], int]:
    """Return a function that writes the fields of its command to one row and returns its key.

    Parameters
    ----------
    table : str
    key : str
        Field with the row's own key: if it is given the row is updated. Empty for tables that only grow.
    **fixed : object
        Further columns with what always stands in them; ``datetime`` itself stands for now.
    """

    def write(run: CommandRun, command: msgspec.Struct) -> int:
        stamps = {name: run.now if value is datetime else value for name, value in fixed.items()}
        row_id = getattr(command, key) if key else None
        return upsert_row(run.session, table, row_id, {**values_of(command), **stamps})

    return write


def row_command(
    name: str, record: type[msgspec.Struct], table: str, key: str = "", *, loose: bool = False, **fixed: Any
) -> Command:
    """Return a command that writes one row; see `writes_row`."""
    return Command(name, record, writes_row(table, key, **fixed), (table,), loose=loose)


@cache
def _columns(record: type[msgspec.Struct]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, hint in get_type_hints(record, include_extras=True).items():
        for note in getattr(hint, "__metadata__", ()):
            if isinstance(note, Column):
                found[name] = note.name
    return found
