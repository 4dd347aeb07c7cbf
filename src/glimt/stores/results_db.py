"""The results database: ISPyB's tables in SQLite (the embedded default) or MariaDB, with the same statements."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glimt.model.errors import RejectedMessageError, ResultsDatabaseError, UsageError
from glimt.stores.results_address import results_address, shown
from glimt.stores.results_schema import ispyb_models, mariadb_metadata, sqlite_metadata

if TYPE_CHECKING:
    import sqlalchemy as sa
    from sqlalchemy.orm import Session

_BUSY_S = 30.0
_CONNECT_S = 5
_STATEMENT_S = 60
_ALONE_S = 50
_RECYCLE_S = 1800
_FILE_MODE = 0o660
_POOL = "glimt"
_READING = "glimt_reading"
# What MariaDB says when the row is wrong and would be wrong at any other time; everything else may pass.
_WRONG_ROW = frozenset({1048, 1062, 1216, 1217, 1264, 1265, 1292, 1364, 1366, 1406, 1451, 1452, 4025})
# What passes by itself: locks, no room, no connection left, shutting down, read-only for a while.
_BUSY = frozenset({1020, 1021, 1040, 1053, 1114, 1203, 1205, 1213, 1226, 1290, 1317, 1836, 1969})
_BUSY_SQLITE = frozenset({5, 6, 7, 8, 10, 13, 15})
"""SQLite's BUSY, LOCKED, NOMEM, READONLY, IOERR, FULL, PROTOCOL."""


class ResultsBusyError(ResultsDatabaseError):
    """The results database has no lock or no room for a statement now; that passes, without regard to what it says."""


class ResultsDatabase:
    """A results database; connects when it is first used, and again after the connection was lost.

    Several threads and processes may use one database; an object of this class may be shared by threads.

    Parameters
    ----------
    url : str
        See `glimt.stores.results_address.results_address`.

    Attributes
    ----------
    address : str
        Where it is, without password.
    is_sqlite : bool

    Raises
    ------
    UsageError
        The address is none, or an optional package is missing.
    """

    def __init__(self, url: str) -> None:
        target = results_address(url)
        ispyb_models()
        self.address = shown(target)
        self.is_sqlite = target.get_backend_name() == "sqlite"
        self._path = Path(target.database or "") if self.is_sqlite else None
        self._target = target
        self._engine = self._new_engine()

    def _new_engine(self, **options: Any) -> sa.Engine:
        make = _sqlite_engine if self.is_sqlite else _mariadb_engine
        return make(self._target, **options)

    def answers(self) -> bool:
        """Say whether the database answers on a new connection: then it is not away, whatever else is wrong."""
        import sqlalchemy as sa

        if self._path is not None and not self._path.exists():
            return False
        engine = self._new_engine(poolclass=sa.NullPool).execution_options(**{_READING: True})
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
        except sa.exc.SQLAlchemyError:
            return False
        finally:
            engine.dispose()
        return True

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Let what is done with the session happen as one: all of it when the block ends, nothing if it raises.

        Raises
        ------
        ResultsBusyError
            The database is busy for too long or out of space.
        ResultsDatabaseError
            It is away or not prepared, or broke off, which is also what it does with a statement that is too long; see
            `answers`. If this is raised at the very end, whether the work was kept is not known.
        RejectedMessageError
            A row is not right: a key that does not exist, a value that does not fit.
        """
        with self._session(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session for reading; on SQLite it neither waits for writers nor holds them up.

        Raises
        ------
        ResultsDatabaseError
            As `transaction`.
        """
        if self._path is not None and not self._path.exists():
            raise ResultsDatabaseError(f"{self.address}: there is no such file; make it with: glimt db init")
        with self._session(self._engine.execution_options(**{_READING: True})) as session:
            yield session

    def prepare(self, extra: sa.MetaData | None = None, *, ispyb: bool = True) -> int:
        """Make the tables that are not there yet, and return how many that were.

        Parameters
        ----------
        extra : MetaData or None
            Tables besides ISPyB's.
        ispyb : bool
            Make ISPyB's tables; where a facility keeps the database they are there, and nobody else's to make.

        Raises
        ------
        ResultsDatabaseError
            The database is away, or the user may not make tables.
        """
        if self._path is not None:
            _make_file(self._path)
        with _translated(self.address):
            return self._make_tables(extra, ispyb=ispyb)

    def _make_tables(self, extra: sa.MetaData | None, *, ispyb: bool) -> int:
        import sqlalchemy as sa

        wanted = [extra] if extra is not None else []
        if ispyb:
            wanted.insert(0, sqlite_metadata() if self.is_sqlite else mariadb_metadata())
        # In one transaction, which SQLite keeps for tables too: several processes may start at once.
        with self._engine.begin() as connection, contextlib.nullcontext() if self.is_sqlite else _alone(connection):
            before = len(sa.inspect(connection).get_table_names())
            for metadata in wanted:
                metadata.create_all(connection)
            return len(sa.inspect(connection).get_table_names()) - before

    @contextmanager
    def _session(self, engine: sa.Engine) -> Iterator[Session]:
        from sqlalchemy.orm import Session

        with _translated(self.address), Session(engine, expire_on_commit=False) as session:
            yield session

    def close(self) -> None:
        """Close all connections; another use opens new ones."""
        self._engine.dispose()


def prepare_results(url: str) -> int:
    """Make the tables of a results database that are not there yet, and return how many that were.

    Raises
    ------
    UsageError, ResultsDatabaseError
        See `ResultsDatabase`.
    """
    from glimt.stores.results_done import done_metadata

    database = ResultsDatabase(url)
    try:
        return database.prepare(done_metadata())
    finally:
        database.close()


def _sqlite_engine(target: sa.URL, **options: Any) -> sa.Engine:
    import sqlalchemy as sa

    engine = sa.create_engine(target, connect_args={"timeout": _BUSY_S}, **options)

    @sa.event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where `_begin` says, not where the driver guesses
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A transaction that reads, then writes, fails at once when another wrote in between: lock at the start.
        kind = "DEFERRED" if connection.get_execution_options().get(_READING) else "IMMEDIATE"
        connection.exec_driver_sql(f"BEGIN {kind}")

    return engine


def _mariadb_engine(target: sa.URL, **options: Any) -> sa.Engine:
    import sqlalchemy as sa

    try:
        import pymysql  # noqa: F401
    except ImportError:
        raise UsageError("MariaDB needs PyMySQL: install glimt[services]") from None
    # A connection that dies while it is given back is told with a traceback; who uses the database says it in a line.
    for kind in ("QueuePool", "NullPool"):
        logging.getLogger(f"sqlalchemy.pool.impl.{kind}.{_POOL}").setLevel(logging.CRITICAL)
    limits = {"connect_timeout": _CONNECT_S, "read_timeout": _STATEMENT_S, "write_timeout": _STATEMENT_S}
    return sa.create_engine(
        target.update_query_dict({"charset": "utf8mb4"}),
        connect_args=limits,
        isolation_level="READ COMMITTED",  # no locks on gaps between rows, for which upserts wait on each other
        pool_pre_ping=True,
        pool_recycle=_RECYCLE_S,
        pool_logging_name=_POOL,
        **options,
    )


@contextmanager
def _alone(connection: sa.Connection) -> Iterator[None]:
    """Let one process at a time make tables: MariaDB's statements for that are no part of a transaction."""
    import sqlalchemy as sa

    name = "CONCAT('glimt/', LEFT(DATABASE(), 50))"
    with suppress(sa.exc.DBAPIError):  # some clusters have no such locks
        connection.exec_driver_sql(f"SELECT GET_LOCK({name}, {_ALONE_S})")
    try:
        yield
    finally:
        with suppress(sa.exc.DBAPIError):
            connection.exec_driver_sql(f"SELECT RELEASE_LOCK({name})")


def _make_file(path: Path) -> None:
    """Make an empty file that others may not read, and its folder; harmless if they are there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _FILE_MODE))
    except OSError as error:
        raise ResultsDatabaseError(f"{path}: cannot be made: {error.strerror or error}") from None


@contextmanager
def _translated(address: str) -> Iterator[None]:
    """Turn the errors of the driver into ours."""
    import sqlalchemy as sa

    try:
        yield
    except (sa.exc.DataError, sa.exc.IntegrityError) as error:
        raise RejectedMessageError(f"{address} refuses the row: {_first_line(error.orig)}") from None
    except sa.exc.DBAPIError as error:
        if _code(error.orig) in _WRONG_ROW:
            raise RejectedMessageError(f"{address} refuses the row: {_first_line(error.orig)}") from None
        kind = ResultsBusyError if _is_busy(error.orig) else ResultsDatabaseError
        raise kind(f"{address}: {_first_line(error.orig)}{_advice(error.orig)}") from None
    except sa.exc.StatementError as error:
        raise RejectedMessageError(f"a value does not fit its column: {_first_line(error.orig or error)}") from None
    except sa.exc.TimeoutError as error:
        raise ResultsBusyError(f"{address}: {_first_line(error)}") from None


def _is_busy(error: BaseException | None) -> bool:
    extended = getattr(error, "sqlite_errorcode", None)
    return _code(error) in _BUSY if extended is None else extended & 0xFF in _BUSY_SQLITE


def _code(error: BaseException | None) -> int | None:
    code = error.args[0] if error is not None and error.args else None
    return code if isinstance(code, int) else None


def _first_line(error: BaseException | None) -> str:
    text = str(error.args[1]) if _code(error) is not None and error is not None and len(error.args) > 1 else str(error)
    return (text.splitlines() or [""])[0]


def _advice(error: BaseException | None) -> str:
    if _code(error) == 1146 or "no such table" in str(error):
        return "; make the tables with: glimt db init"
    if "unable to open database file" in str(error):
        return "; make it with: glimt db init"
    return ""
