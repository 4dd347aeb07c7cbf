"""The file of the SQLite broker: its tables, its connections and what may go wrong with them."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from glimt.brokers.sqlite_clock import known_clock, set_clock
from glimt.brokers.sqlite_owner import boot_id
from glimt.model.errors import BrokerError

_R = TypeVar("_R")

APPLICATION_ID = 0x676C6D74
SCHEMA_VERSION = 2
BUSY_S = 30.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 20e-6, 2e-3
_WAL_PAGES = 4000

# A message is in exactly one of ready, claimed and delayed, which hold nothing but where it stands; what it says is in
# body and written once. rank is 9 - priority, so that the key of ready is the order of delivery. Times are ns, by the
# file's clock (`glimt.brokers.sqlite_clock`); but the lease's. waits: a message may be claimed for this receiver by its
# sender, who then tells it so.
_TABLES = """
CREATE TABLE queue (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, single_consumer INT NOT NULL, expiration_s REAL,
    has_dead_letters INT NOT NULL);
CREATE TABLE body (
    id INTEGER PRIMARY KEY, expires_ns INT, message_id TEXT NOT NULL, headers BLOB NOT NULL, body BLOB NOT NULL);
CREATE TABLE ready (
    queue INT, rank INT, id INT, n_deliveries INT NOT NULL, PRIMARY KEY (queue, rank, id)) WITHOUT ROWID;
CREATE TABLE claimed (
    owner INT, id INT, queue INT NOT NULL, rank INT NOT NULL, n_deliveries INT NOT NULL,
    PRIMARY KEY (owner, id)) WITHOUT ROWID;
CREATE TABLE delayed (
    due_ns INT, id INT, queue INT NOT NULL, rank INT NOT NULL, n_deliveries INT NOT NULL,
    PRIMARY KEY (due_ns, id)) WITHOUT ROWID;
CREATE TABLE expiring (
    expires_ns INT, id INT, queue INT NOT NULL, rank INT NOT NULL, PRIMARY KEY (expires_ns, id)) WITHOUT ROWID;
CREATE TABLE owner (
    id INTEGER PRIMARY KEY AUTOINCREMENT, boot TEXT NOT NULL, namespace INT NOT NULL, pid INT NOT NULL,
    started INT NOT NULL, renewed_ns INT NOT NULL);
CREATE TABLE subscription (
    id INTEGER PRIMARY KEY AUTOINCREMENT, owner INT NOT NULL, queue INT NOT NULL, prefetch INT NOT NULL,
    exclusive INT NOT NULL, waits INT NOT NULL DEFAULT 0, UNIQUE (owner, queue));
CREATE TABLE listener (topic TEXT, owner INT, PRIMARY KEY (topic, owner)) WITHOUT ROWID;
CREATE TABLE broadcast (
    id INTEGER PRIMARY KEY, owner INT NOT NULL, topic TEXT NOT NULL, priority INT NOT NULL, due_ns INT NOT NULL,
    expires_ns INT, message_id TEXT NOT NULL, headers BLOB NOT NULL, body BLOB NOT NULL);
CREATE INDEX broadcast_of_owner ON broadcast (owner, id);
CREATE TABLE clock (boot TEXT NOT NULL, offset_ns INT NOT NULL, seen_ns INT NOT NULL);
"""
_SINCE_VERSION_1 = """
ALTER TABLE subscription ADD COLUMN waits INT NOT NULL DEFAULT 0;
CREATE TABLE clock (boot TEXT NOT NULL, offset_ns INT NOT NULL, seen_ns INT NOT NULL);
"""


def make_private_file(path: Path) -> None:
    """Make an empty file that only its owner can read, if there is none: SQLite gives its side files the same mode.

    A file that is there is not even opened. To close it again would take away all locks that other connections of this
    process hold (POSIX); the next process to leave would then believe to be the last one, and delete the write-ahead
    log that the others go on writing to.
    """
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


class SqliteFile:
    """A connection to the file of a broker; the file is made when it is missing.

    Parameters
    ----------
    path : Path
    is_full : bool
        Whether each transaction is on the disk before it returns, so that not even a power loss takes it back.
    busy_s : float
        How long to wait for others that write.

    Attributes
    ----------
    now_ns : callable
        The file's clock [ns]: UTC as long as nobody sets the time of day.

    Raises
    ------
    BrokerError
        The file cannot be opened, is none of ours, or a newer glimt made it.
    """

    def __init__(self, path: Path, *, is_full: bool = False, busy_s: float = BUSY_S) -> None:
        self.path = path
        self.busy_s = busy_s
        with explained(path):
            try:
                make_private_file(path)
            except FileNotFoundError:
                what = f"the broker's file cannot be made: there is no folder {path.parent}; `glimt serve` makes it"
                raise BrokerError(f"{path}: {what}") from None
            except OSError as error:
                raise BrokerError(f"{path}: the broker's file cannot be made: {error.strerror}") from None
            self.connection = sqlite3.connect(path, isolation_level=None, timeout=0.0, check_same_thread=False)
            try:
                self.patiently(lambda: self._prepare(is_full))
            except BaseException:
                self.connection.close()
                raise

    def read(self, statement: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a SELECT."""
        with explained(self.path):
            return self.patiently(lambda: self.connection.execute(statement, values).fetchall())

    def writing(self) -> WritingTransaction:
        """Open a transaction that writes: all of it happens, or nothing if there is an exception.

        Raises
        ------
        BrokerError
            Others have been writing for too long, the disk is full, and whatever else keeps SQLite from it.
        """
        return WritingTransaction(self)

    def make_room(self) -> None:
        """Bring what is in the write-ahead log into the file, and cut the log; as far as that is possible now."""
        with contextlib.suppress(sqlite3.Error):
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(sqlite3.Error):
            self.connection.close()

    def patiently(self, use: Callable[[], _R]) -> _R:
        """Do what others may hinder for a while."""
        pause_s, end = _FIRST_PAUSE_S, time.monotonic() + self.busy_s
        while True:
            try:
                return use()
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > end:
                    raise
            # SQLite's own waiting starts at a millisecond, which is as long as ten transactions take.
            time.sleep(pause_s)
            pause_s = min(1.5 * pause_s, _LONGEST_PAUSE_S)

    def roll_back(self) -> None:
        """Undo what was done in a transaction that is open, if one is."""
        if self.connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")

    def _prepare(self, is_full: bool) -> None:
        run = self.connection.execute
        if run("PRAGMA user_version").fetchone()[0] == 0:
            self._make_tables()
        application_id, version = run("PRAGMA application_id").fetchone()[0], run("PRAGMA user_version").fetchone()[0]
        if application_id != APPLICATION_ID:
            raise BrokerError(f"{self.path}: this SQLite file is no broker's; give the path of a new file")
        if version > SCHEMA_VERSION:
            raise BrokerError(
                f"{self.path}: a newer glimt made this file (version {version}, this one knows {SCHEMA_VERSION}); "
                "update glimt, or use another file"
            )
        if version < SCHEMA_VERSION:
            self._change(_SINCE_VERSION_1, if_version=version)
        run(f"PRAGMA synchronous = {'FULL' if is_full else 'NORMAL'}")
        run("PRAGMA secure_delete = OFF")  # Debian's default: each deleted message would be overwritten with zeros
        run("PRAGMA temp_store = MEMORY")
        run(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        run("PRAGMA journal_size_limit = 33554432")
        self.now_ns = known_clock(self.connection, boot_id()) or self._set_clock()

    def _make_tables(self) -> None:
        run = self.connection.execute
        if run("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            return
        run("PRAGMA journal_mode = WAL")
        self._change(f"{_TABLES}; PRAGMA application_id = {APPLICATION_ID}", if_version=0)

    def _change(self, statements: str, *, if_version: int) -> None:
        """Bring the tables to the present version, unless another process was faster."""
        run = self.connection.execute
        run("BEGIN IMMEDIATE")
        try:
            if run("PRAGMA user_version").fetchone()[0] == if_version:
                for statement in statements.split(";"):
                    run(statement)
                run(f"PRAGMA user_version = {SCHEMA_VERSION}")
            run("COMMIT")
        except BaseException:
            self.roll_back()
            raise

    def _set_clock(self) -> Callable[[], int]:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            clock = set_clock(self.connection, boot_id())
            self.connection.execute("COMMIT")
        except BaseException:
            self.roll_back()
            raise
        return clock


class WritingTransaction:
    """See `SqliteFile.writing`; every message passes through here, so that it is short."""

    __slots__ = ("_file",)

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def __enter__(self) -> sqlite3.Connection:
        connection = self._file.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error:
            with explained(self._file.path):
                self._file.patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
        return connection

    def __exit__(self, kind: object, error: BaseException | None, where: object) -> None:
        problem = error
        try:
            if error is None:
                self._file.connection.execute("COMMIT")
        except sqlite3.Error as failure:
            problem = failure
        finally:
            self._file.roll_back()
        if isinstance(problem, sqlite3.Error):
            raise as_broker_error(problem, self._file.path) from problem


def _is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def is_out_of_space(error: BaseException | None) -> bool:
    """Say whether a write failed for want of room."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite into `BrokerError` that say what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise as_broker_error(error, path) from error


def as_broker_error(error: sqlite3.Error, path: Path) -> BrokerError:
    """Return what to tell of an error of SQLite."""
    return BrokerError(f"{path}: {_explanation(error, path)}; nothing was changed")


def _explanation(error: sqlite3.Error, path: Path) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if _is_busy(error):
        return "another process has been writing for too long; is one stopped, or in a debugger? Look with fuser"
    return {
        sqlite3.SQLITE_FULL: f"the disk is full; make room in {path.parent}, then it goes on",
        sqlite3.SQLITE_IOERR: f"the disk does not take or give data ({error}); is {path.parent} full or damaged?",
        sqlite3.SQLITE_READONLY: "the file must not be written; give it and its folder write permission",
        sqlite3.SQLITE_CANTOPEN: "the file or one beside it cannot be opened; check that the folder may be written",
        sqlite3.SQLITE_NOTADB: "this is no SQLite file; give the path of a new file",
        sqlite3.SQLITE_CORRUPT: f"the file is damaged ({error}); move it away and start with a new one",
        sqlite3.SQLITE_PROTOCOL: "the file's locks do not work; it must be on a local disk",
    }.get(code, str(error))
