"""What was done already: so that a message that is delivered twice writes its rows once.

One table of glimt's own beside ISPyB's, ``glimt_done``. A row of it is written in the transaction of the rows that the
message asked for: either both are there or neither.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from glimt.model.errors import ResultsDatabaseError

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.orm import Session

TABLE = "glimt_done"
_LONGEST_ID = 64
_LONGEST_STEP = 64


class _Kept(msgspec.Struct):
    result: int
    run: str = ""


@cache
def done_metadata() -> sa.MetaData:
    """Return the description of the table."""
    import sqlalchemy as sa
    from sqlalchemy.dialects import mysql

    # Identities differ by the case of letters, and MariaDB would not see that in its usual collation.
    identity = sa.String(_LONGEST_ID).with_variant(
        mysql.VARCHAR(_LONGEST_ID, charset="ascii", collation="ascii_bin"), "mysql", "mariadb"
    )
    metadata = sa.MetaData()
    sa.Table(
        TABLE,
        metadata,
        sa.Column("message_id", identity, primary_key=True),
        sa.Column("step", sa.String(_LONGEST_STEP), nullable=False),
        sa.Column("result", sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")),
        sa.Column("at", sa.DateTime(), nullable=False, index=True),
    )
    return metadata


def recorded_result(session: Session, message_id: str) -> Any | None:
    """Return what `record_result` kept for a message, ``None`` if it was never finished."""
    import sqlalchemy as sa

    done = _table()
    text = session.execute(sa.select(done.c.result).where(done.c.message_id == _key(message_id))).scalar_one_or_none()
    return None if text is None else msgspec.json.decode(text)


def record_result(session: Session, message_id: str, step: str, result: Any) -> None:
    """Keep that a message was done, with what came of it (JSON values, not null).

    Raises
    ------
    ResultsDatabaseError
        Another process has done the same message meanwhile: undo all, and `recorded_result` has what came of it.
    """
    import sqlalchemy as sa

    row = {
        "message_id": _key(message_id),
        "step": step[:_LONGEST_STEP],
        "result": msgspec.json.encode(result).decode(),
        "at": datetime.now(UTC).replace(tzinfo=None),
    }
    try:
        session.execute(sa.insert(_table()).values(row))
    except sa.exc.IntegrityError:
        raise ResultsDatabaseError(f"message {message_id} was done by another process meanwhile") from None


def done_rows(session: Session, step: str, keys: Collection[int]) -> dict[int, tuple[datetime, str]]:
    """Return when rows were written (in local time, as ISPyB has it) and by which run, as far as that is still kept.

    Parameters
    ----------
    session : Session
    step : str
        The command that writes them, of which the key of its row is the result.
    keys : collection of int
        Of rows; what else was written is not looked at.
    """
    import sqlalchemy as sa

    done = _table()
    if not keys or not sa.inspect(session.connection()).has_table(TABLE):
        return {}
    found: dict[int, tuple[datetime, str]] = {}
    for text, at in session.execute(sa.select(done.c.result, done.c.at).where(done.c.step == step)):
        try:
            kept = msgspec.json.decode(text or "{}", type=_Kept)
        except msgspec.DecodeError:
            continue  # the result of this one is no key
        if kept.result in keys:
            local = at.replace(tzinfo=UTC).astimezone()
            found[kept.result] = local.replace(tzinfo=None, microsecond=0), kept.run
    return found


def forget_results(session: Session, *, older_than: timedelta) -> int:
    """Drop the entries of messages that no broker delivers any more, and return how many."""
    import sqlalchemy as sa

    done = _table()
    limit = datetime.now(UTC).replace(tzinfo=None) - older_than
    found: Any = session.execute(sa.delete(done).where(done.c.at < limit))
    return int(found.rowcount)


def _table() -> sa.Table:
    return done_metadata().tables[TABLE]


def _key(message_id: str) -> str:
    if len(message_id) <= _LONGEST_ID and message_id.isascii() and message_id.isprintable():
        return message_id
    return hashlib.blake2b(message_id.encode(errors="surrogatepass"), digest_size=32).hexdigest()
