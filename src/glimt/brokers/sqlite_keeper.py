"""The thread that keeps a receiver's messages its own, and looks after the file of a SQLite broker."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from typing import TYPE_CHECKING

from glimt.brokers import sqlite_messages
from glimt.brokers.sqlite_owner import LEASE_S, OwnerProcess, is_gone, lease_clock_ns
from glimt.brokers.sqlite_wake import Waker, socket_path
from glimt.model.errors import BrokerError

if TYPE_CHECKING:
    from glimt.brokers.sqlite_file import SqliteFile

_log = logging.getLogger(__name__)
_LOOK_S = 0.25
_RENEW_S = 1.0
_MAX_WAL_BYTES = 64 * 2**20
_MAX_FREE_BYTES, _MAX_USED_BYTES = 64 * 2**20, 16 * 2**20
_MAX_BROADCASTS = 10_000


def reap(file: SqliteFile, *, trusts_leases: bool = True) -> set[int]:
    """End all receivers that are gone, and return who should look for their messages."""
    rows = file.read("SELECT boot, namespace, pid, started, renewed_ns, id FROM owner")
    gone = [row[5] for row in rows if is_gone(OwnerProcess(*row[:4]), row[4], trusts_leases=trusts_leases)]
    if not gone:
        return set()
    with file.writing() as connection:
        still = {row[0]: row[1] for row in connection.execute("SELECT id, renewed_ns FROM owner")}
        renewed = {row[5]: row[4] for row in rows}
        queues: set[int] = set()
        for owner in gone:
            if still.get(owner) == renewed[owner]:  # else it came back, or another ended it
                queues |= sqlite_messages.give_back(connection, owner)
        others = sqlite_messages.receivers(connection, queues)
    for owner in gone:
        with contextlib.suppress(OSError):
            socket_path(file.path, owner).unlink(missing_ok=True)
    return others


class SqliteKeeper:
    """Renews the lease of a receiver, on a thread and a connection of its own.

    Parameters
    ----------
    file : SqliteFile
        Its own; closed at the end.
    owner : int
        The receiver.

    Attributes
    ----------
    is_lost : bool
        The receiver was ended by another: its messages are no longer its own.
    renewed_at : float
        When the lease was renewed the last time [s, monotonic].
    """

    def __init__(self, file: SqliteFile, owner: int) -> None:
        self._file, self._owner = file, owner
        self._waker = Waker(file.path)
        self._stop = threading.Event()
        self.is_lost = False
        self.renewed_at = time.monotonic()
        self._failed_at: float | None = None
        self._thread = threading.Thread(target=self._run, name=f"broker-keeper-{owner}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread; the receiver itself is left as it is."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_S) and not self.is_lost:
            try:
                self._look()
            except BrokerError as error:
                if self._failed_at is None:
                    _log.warning("the broker's file cannot be looked after now, and is tried again: %s", error)
                self._failed_at = time.monotonic()
        self._waker.close()
        self._file.close()

    def _look(self) -> None:
        now = time.monotonic()
        if now - self.renewed_at > _RENEW_S:
            self._renew()
            self._tidy()
        # While the disk was full nobody could renew: everybody gets the time to do so now.
        trusts_leases = self._failed_at is None or now - self._failed_at > 2 * LEASE_S
        if trusts_leases:
            self._failed_at = None
        self._waker.wake(reap(self._file, trusts_leases=trusts_leases))

    def _renew(self) -> None:
        now = time.monotonic()
        with self._file.writing() as connection:
            cursor = connection.execute("UPDATE owner SET renewed_ns = ? WHERE id = ?", (lease_clock_ns(), self._owner))
            self.is_lost = cursor.rowcount == 0
            connection.execute("UPDATE clock SET seen_ns = max(seen_ns, ?)", (self._file.now_ns(),))
            connection.execute(
                "DELETE FROM broadcast WHERE owner = ?1 AND id <= (SELECT id FROM broadcast WHERE owner = ?1"
                " ORDER BY id DESC LIMIT 1 OFFSET ?2)",
                (self._owner, _MAX_BROADCASTS),
            )
        self.renewed_at = now

    def _tidy(self) -> None:
        """Keep the write-ahead log and the file from growing for ever."""
        with contextlib.suppress(OSError, sqlite3.Error):
            wal = self._file.path.with_name(self._file.path.name + "-wal")
            if wal.stat().st_size > _MAX_WAL_BYTES:
                self._file.connection.execute("PRAGMA busy_timeout = 500")
                self._file.make_room()
                self._file.connection.execute("PRAGMA busy_timeout = 0")
            ((page_bytes,),) = self._file.read("PRAGMA page_size")
            ((n_pages,),) = self._file.read("PRAGMA page_count")
            ((n_free,),) = self._file.read("PRAGMA freelist_count")
            if n_free * page_bytes > _MAX_FREE_BYTES and (n_pages - n_free) * page_bytes < _MAX_USED_BYTES:
                self._file.connection.execute("VACUUM")
                self._file.make_room()
