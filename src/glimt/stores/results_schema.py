"""The tables of ISPyB, as the `ispyb` package describes them, and how SQLite is told to make them.

The package writes its tables for MariaDB. For SQLite a copy of the description is adapted, once a process; the
description itself, its classes and what MariaDB is sent stay as they are. Statements are the same for both.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from glimt.model.errors import UsageError

if TYPE_CHECKING:
    import sqlalchemy as sa

_MISSING = "the results database needs SQLAlchemy and the tables of ISPyB: install glimt[services,ispyb]"
_NOW = "current_timestamp"


def ispyb_models() -> Any:
    """Return the module with ISPyB's mapped classes (`ispyb.sqlalchemy`).

    Raises
    ------
    UsageError
        It is not installed; the text says what to install.
    """
    try:
        import ispyb.sqlalchemy as models
    except ImportError as error:
        raise UsageError(f"{_MISSING} ({error})") from None
    return models


def results_table(name: str) -> sa.Table:
    """Return a table by its name in the database; raises KeyError for one that ISPyB does not have."""
    table: sa.Table = ispyb_models().Base.metadata.tables[name]
    return table


def table_names() -> list[str]:
    """Return the names of ISPyB's tables."""
    return list(ispyb_models().Base.metadata.tables)


def mariadb_metadata() -> sa.MetaData:
    """Return the description of the tables as the package gives it."""
    metadata: sa.MetaData = ispyb_models().Base.metadata
    return metadata


@cache
def sqlite_metadata() -> sa.MetaData:
    """Return a copy of the description that SQLite can make tables from.

    What differs: MySQL's types become the plain ones (``INTEGER`` keys are then row numbers, and count up), texts have
    no collation, ``current_timestamp()`` loses its brackets and ``ON UPDATE``, defaults that SQLite does not know are
    left out, and the names of indexes begin with their table's, since SQLite wants them to differ within the file.
    """
    import sqlalchemy as sa

    adapted = sa.MetaData()
    for table in mariadb_metadata().sorted_tables:
        copied = table.to_metadata(adapted)
        for column in copied.columns:
            column.type = _plain_type(column.type)
            column.server_default = _plain_default(column)
        for index in copied.indexes:
            index.name = sa.sql.quoted_name(f"{copied.name}__{index.name}", None)
    return adapted


def _plain_type(kind: Any) -> Any:
    """Return the type that stands in SQLite for one of MySQL's."""
    import sqlalchemy as sa

    if isinstance(kind, sa.Integer):
        return sa.Integer()
    if isinstance(kind, sa.Enum):
        return sa.String(max((len(value) for value in kind.enums), default=1))
    if isinstance(kind, sa.Text):
        return sa.Text()
    if isinstance(kind, sa.String):
        return sa.String(kind.length)
    # ``_Binary`` is what MySQL's LONGBLOB and the standard's BINARY(16) have in common.
    if isinstance(kind, (sa.LargeBinary, sa.BINARY)) or kind.__visit_name__.endswith("BLOB"):
        return sa.LargeBinary()
    if isinstance(kind, sa.DateTime):
        return sa.DateTime()
    return kind


def _plain_default(column: sa.Column[Any]) -> Any:
    import sqlalchemy as sa

    default = column.server_default
    if not isinstance(default, sa.DefaultClause):
        return default  # computed columns are written alike
    text = str(default.arg).lower()
    if _NOW in text or "0000-00-00" in text:
        return sa.DefaultClause(sa.text("CURRENT_TIMESTAMP"))
    return None if "(" in text else default
