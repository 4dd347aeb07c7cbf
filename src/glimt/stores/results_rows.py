"""Rows of the results database, checked against their table first: the same on SQLite and MariaDB."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from glimt.model.errors import RejectedMessageError
from glimt.stores.results_schema import results_table

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.orm import Session

_LARGEST_FLOAT = 3.4028234e38
_BITS = {"TINYINT": 8, "SMALLINT": 16, "MEDIUMINT": 24, "INTEGER": 32, "BIGINT": 64}
_TEXT_BYTES = {"TINYTEXT": 2**8 - 1, "TEXT": 2**16 - 1, "MEDIUMTEXT": 2**24 - 1, "LONGTEXT": 2**32 - 1}
_FLAGS = {"true": 1, "false": 0}
# Prose may lose its end, as in ISPyB's own procedures; a path, a name or a code that was cut would be another one.
_PROSE = frozenset(
    {
        "bestComment",
        "comments",
        "description",
        "message",
        "phasingCommandLine",
        "phasingMessage",
        "processingCommandLine",
        "processingEnvironment",
        "processingMessage",
        "shortComments",
        "statusDescription",
    }
)


def insert_row(session: Session, table: str, values: Mapping[str, Any]) -> int:
    """Insert a row and return its key (the first column of it).

    Raises
    ------
    RejectedMessageError
        A value does not fit its column, one is missing, or a row that it points to does not exist.
    """
    import sqlalchemy as sa

    target = results_table(table)
    row = checked_row(target, values)
    _require(target, row)
    try:
        inserted: Any = session.execute(sa.insert(target).values(row))
    except sa.exc.IntegrityError as error:
        raise RejectedMessageError(_why_refused(session, target, row, error)) from None
    return int(inserted.inserted_primary_key[0])


def update_row(session: Session, table: str, key: int, values: Mapping[str, Any]) -> bool:
    """Set the columns of a row that have a value, leave the others, and say whether there is such a row.

    Raises
    ------
    RejectedMessageError
        As `insert_row`.
    """
    import sqlalchemy as sa

    target = results_table(table)
    column = _key_column(target)
    row = {name: value for name, value in checked_row(target, values).items() if value is not None}
    where = column == checked_value(column, key)
    if not row:
        return session.execute(sa.select(column).where(where)).first() is not None
    try:
        found: Any = session.execute(sa.update(target).where(where).values(row))
    except sa.exc.IntegrityError as error:
        raise RejectedMessageError(_why_refused(session, target, row, error)) from None
    return bool(found.rowcount)


def upsert_row(session: Session, table: str, key: int | None, values: Mapping[str, Any]) -> int:
    """Update the row with this key, or insert it (with this key, if one is given), and return its key.

    Raises
    ------
    RejectedMessageError
        As `insert_row`.
    """
    if key is None:
        return insert_row(session, table, values)
    if update_row(session, table, key, values):
        return key
    return insert_row(session, table, {**values, _key_column(results_table(table)).name: key})


def require_row(session: Session, table: str, key: int) -> None:
    """Do nothing if there is a row with this key.

    Raises
    ------
    RejectedMessageError
        There is none.
    """
    if not update_row(session, table, key, {}):
        raise RejectedMessageError(f"there is no {table} {key}")


def checked_row(table: sa.Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values as their columns take them; see `checked_value`."""
    return {name: checked_value(table.c[name], value) for name, value in values.items()}


def checked_value(column: sa.Column[Any], value: Any) -> Any:
    """Return a value as its column takes it.

    Not-a-number becomes NULL; prose that is too long is cut; times may be texts (ISO 8601) or seconds since 1970, and
    are stored without time zone, in local time, as ISPyB does; values of an ENUM are found without regard to case.

    Raises
    ------
    RejectedMessageError
        It does not fit: wrong type, out of range, too long, not one of the ENUM.
    """
    import sqlalchemy as sa

    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    kind = column.type
    try:
        if isinstance(kind, sa.Enum):
            return _enumerated(kind, value)
        if isinstance(kind, sa.Integer):
            return _integer(kind, value)
        if isinstance(kind, (sa.Float, sa.Numeric)):
            return _number(kind, value)
        if isinstance(kind, sa.DateTime):
            return moment(value)
        if isinstance(kind, sa.String):
            return _text(column, value)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise RejectedMessageError(f"{column.table.name}.{column.name}: {error}") from None
    return value


def moment(value: Any) -> datetime:
    """Return a time as ISPyB stores it, local and without time zone; raises ValueError for what is none."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                raise ValueError(
                    f"{value[:60]!r} is no time; write 2026-11-21 09:58:25 or seconds since 1970"
                ) from None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return datetime.fromtimestamp(value).replace(microsecond=0)
    if isinstance(value, datetime):
        return (value.astimezone().replace(tzinfo=None) if value.tzinfo else value).replace(microsecond=0)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    raise ValueError(f"{str(value)[:60]!r} is no time")


def json_value(value: Any) -> Any:
    """Return a value of a column as JSON has it: times as ISO 8601, decimals as numbers, bytes as hexadecimal."""
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return float(value)
    return value.hex() if isinstance(value, bytes) else value


def _enumerated(kind: sa.Enum, value: Any) -> str:
    for allowed in kind.enums:
        if str(value).lower() == allowed.lower():
            return str(allowed)
    raise ValueError(f"{str(value)[:60]!r} is none of {', '.join(kind.enums)}")


def _integer(kind: Any, value: Any) -> int:
    if isinstance(value, str):
        value = _FLAGS.get(value.strip().lower(), value)
    number = int(value)
    if isinstance(value, float) and number != value:
        raise ValueError(f"{value} is no whole number")
    bits = _BITS.get(kind.__visit_name__.upper(), 32)
    unsigned = bool(getattr(kind, "unsigned", False))
    low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    if not low <= number <= high:
        raise ValueError(f"{number} is outside {low} to {high}")
    return number


def _number(kind: Any, value: Any) -> float | None:
    import sqlalchemy as sa

    number = float(value)
    if math.isnan(number):
        return None
    if math.isinf(number) or (not isinstance(kind, sa.Double) and abs(number) > _LARGEST_FLOAT):
        raise ValueError(f"{number} is too large for the column")
    return number


def _text(column: sa.Column[Any], value: Any) -> str:
    if isinstance(value, bool):
        text = str(int(value))  # what MariaDB makes of it
    elif isinstance(value, (str, int, float, os.PathLike)):
        text = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    else:
        raise ValueError(f"{type(value).__name__} is no text")
    written = text.encode()  # lone surrogates raise here, not in the driver
    n_bytes = _TEXT_BYTES.get(column.type.__visit_name__.upper(), len(written))
    if len(written) > n_bytes:
        if column.name in _PROSE:
            return written[:n_bytes].decode(errors="ignore")  # a character that was cut in two
        raise ValueError(f"{text[:40]!r}… has {len(written)} bytes, and the column takes {n_bytes}")
    length = getattr(column.type, "length", None)
    if length is None or len(text) <= length:
        return text
    if column.name in _PROSE:
        return text[:length]
    raise ValueError(f"{text[:40]!r}… has {len(text)} characters, and the column takes {length}")


def _require(table: sa.Table, row: dict[str, Any]) -> None:
    for column in table.columns:
        if column.nullable or row.get(column.name) is not None or column is table.autoincrement_column:
            continue
        if column.server_default is None:
            raise RejectedMessageError(f"{table.name}.{column.name} must be given")
        row.pop(column.name, None)  # NULL would be refused; left out, the default is taken


def _key_column(table: sa.Table) -> sa.Column[Any]:
    return next(iter(table.primary_key.columns))


def _why_refused(session: Session, table: sa.Table, row: Mapping[str, Any], error: Exception) -> str:
    """Say which row is missing: SQLite does not, and MariaDB says it in terms of constraints."""
    import sqlalchemy as sa

    for column in table.columns:
        value = row.get(column.name)
        if value is None:
            continue
        for link in column.foreign_keys:
            if session.execute(sa.select(link.column).where(link.column == value)).first() is None:
                parent = link.column.table.name
                return f"{table.name}.{column.name} = {value}: there is no such row in {parent}"
    cause = str(getattr(error, "orig", error)).splitlines()[0]
    return f"{table.name}: the database refuses the row: {cause}"
