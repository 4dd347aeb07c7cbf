"""What X-ray centering knows so far, in a file that survives it: every image's value, each once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from glimt.model.errors import RetryMessageError

OPEN, ABORTED, SENT = "open", "aborted", "sent"


class StateAwayError(RetryMessageError):
    """The file of the scans cannot be read or written now: no message can be handled until it can."""


_SCHEMA = """
CREATE TABLE IF NOT EXISTS grids (
  grid_id INTEGER PRIMARY KEY, dcid INTEGER NOT NULL, run TEXT NOT NULL, partner INTEGER, n_images INTEGER NOT NULL,
  n_seen INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'open', provisional INTEGER NOT NULL DEFAULT 0,
  last_seen REAL NOT NULL, envelope BLOB NOT NULL, origin TEXT NOT NULL, UNIQUE (dcid, run));
CREATE TABLE IF NOT EXISTS cells (
  grid_id INTEGER NOT NULL, image INTEGER NOT NULL, value REAL NOT NULL, PRIMARY KEY (grid_id, image)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS answers (
  message_id TEXT PRIMARY KEY, grid_id INTEGER NOT NULL, stream TEXT NOT NULL, payload BLOB NOT NULL,
  due INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS unnamed (message_id TEXT PRIMARY KEY, grid_id INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS grids_by_state ON grids (state, last_seen);
CREATE INDEX IF NOT EXISTS grids_by_partner ON grids (partner);
"""
_GRID = "grid_id, dcid, run, partner, n_images, n_seen, state, provisional, last_seen, envelope, origin"


@dataclass(frozen=True, slots=True)
class GridState:
    """What is known of one grid scan.

    Parameters
    ----------
    grid_id : int
        Here, rising with time.
    dcid : int
    run : str
        Identity of the run of the recipe: the same collection may be analyzed again.
    partner : int or None
        The other data collection of a pair.
    n_images, n_seen : int
    state : str
        `OPEN`; `ABORTED`, which opens again if images come after all; or `SENT`, final.
    is_provisional_sent : int
        0 or 1.
    last_seen : float
        When its last image came [s, UTC].
    envelope : bytes
        Of its first message, to send by when no message is at hand.
    origin : str
        Identity of that message.
    """

    grid_id: int
    dcid: int
    run: str
    partner: int | None
    n_images: int
    n_seen: int
    state: str
    is_provisional_sent: int
    last_seen: float
    envelope: bytes
    origin: str

    @property
    def is_complete(self) -> bool:
        """Whether all images are there."""
        return self.n_seen >= self.n_images

    @property
    def fraction(self) -> float:
        """Of the images that are there."""
        return self.n_seen / self.n_images


@dataclass(frozen=True, slots=True)
class Answer:
    """What was sent because of a message, to be sent again if the message is delivered again.

    Parameters
    ----------
    message_id : str
        Of that message, or made up where time is what caused it.
    grid_id : int
    stream : str
    payload : bytes
        JSON.
    """

    message_id: str
    grid_id: int
    stream: str
    payload: bytes


class CenteringState:
    """Grids, their cells, and the answers given.

    Every write is inside `transaction`; one that ended is on the disk, whatever happens to the process or the machine.

    Parameters
    ----------
    path : Path
        An SQLite file on a local disk; made if it is not there.

    Raises
    ------
    StateAwayError
        From every method: the file cannot be read or written now.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._explained():
            self._rows = sqlite3.connect(path, isolation_level=None, timeout=20.0)
            try:
                self._rows.execute("PRAGMA journal_mode=WAL")
                # The broker forgets a message once it is acknowledged: then its value has to be on the disk.
                self._rows.execute("PRAGMA synchronous=FULL")
                self._rows.executescript(_SCHEMA)
            except BaseException:
                self._rows.close()
                raise

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all that is written inside, or nothing of it if an error comes out."""
        with self._explained():
            self._rows.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._rows.execute("COMMIT")
            except BaseException:
                if self._rows.in_transaction:
                    self._rows.execute("ROLLBACK")
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StateAwayError(f"{self._path}: {error}; the grid scans so far are kept there") from None

    def _grids(self, condition: str, values: Sequence[object]) -> list[GridState]:
        with self._explained():
            rows = self._rows.execute(f"SELECT {_GRID} FROM grids WHERE {condition}", tuple(values)).fetchall()
        return [GridState(*row) for row in rows]

    def grid(self, dcid: int, run: str) -> GridState | None:
        """Return a grid scan, if anything is known of it."""
        found = self._grids("dcid = ? AND run = ?", (dcid, run))
        return found[0] if found else None

    def by_id(self, grid_id: int) -> GridState:
        """Return a grid scan that is known."""
        return self._grids("grid_id = ?", (grid_id,))[0]

    def partner_of(self, grid: GridState) -> GridState | None:
        """Return the newest unfinished scan that makes a pair with this one, whichever of the two names the other."""
        found = self._grids(
            "state != 'sent' AND grid_id != ? AND dcid != ? AND (dcid = ? OR partner = ?) "
            "ORDER BY grid_id DESC LIMIT 1",
            (grid.grid_id, grid.dcid, grid.partner, grid.dcid),
        )
        return found[0] if found else None

    def overdue(self, before: float) -> list[GridState]:
        """Return the open scans of which no image has come since, the oldest first."""
        return self._grids("state = 'open' AND last_seen <= ? ORDER BY last_seen", (before,))

    def open_grid(
        self, *, dcid: int, run: str, partner: int | None, n_images: int, now: float, envelope: bytes, origin: str
    ) -> GridState:
        """Begin a grid scan."""
        self._rows.execute(
            "INSERT INTO grids (dcid, run, partner, n_images, last_seen, envelope, origin) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (dcid, run, partner, n_images, now, envelope, origin),
        )
        found = self.grid(dcid, run)
        assert found is not None
        return found

    def unnamed(self, message_id: str) -> GridState | None:
        """Return the scan that a message of a run without identity was for, if it came before."""
        found = self._grids("grid_id = (SELECT grid_id FROM unnamed WHERE message_id = ?)", (message_id,))
        return found[0] if found else None

    def note_unnamed(self, message_id: str, grid: GridState) -> None:
        """Note which scan a message of a run without identity is for."""
        self._rows.execute("INSERT OR REPLACE INTO unnamed VALUES (?, ?)", (message_id, grid.grid_id))

    def has_image(self, grid: GridState, image: int) -> bool:
        """Say whether an image of a scan is there."""
        row = (grid.grid_id, image)
        return self._rows.execute("SELECT 1 FROM cells WHERE grid_id = ? AND image = ?", row).fetchone() is not None

    def set_aside(self, grid: GridState) -> None:
        """Make room for another scan of a run without identity."""
        self._rows.execute("UPDATE grids SET run = ? WHERE grid_id = ?", (f"/{grid.grid_id}", grid.grid_id))

    def shift_times(self, shift_s: float) -> None:
        """Move all times, because the clock was set."""
        self._rows.execute("UPDATE grids SET last_seen = last_seen + ?", (shift_s,))

    def add(self, grid: GridState, cells: Sequence[tuple[int, float]], now: float) -> list[int]:
        """Add images of an unfinished scan, and return which of ``cells`` were new; else the first value stays."""
        new = []
        for index, (image, value) in enumerate(cells):
            row = (grid.grid_id, image, value)
            if self._rows.execute("INSERT OR IGNORE INTO cells VALUES (?, ?, ?)", row).rowcount:
                new.append(index)
        if new:
            self._rows.execute(
                "UPDATE grids SET n_seen = n_seen + ?, last_seen = ?, state = 'open' WHERE grid_id = ?",
                (len(new), now, grid.grid_id),
            )
        return new

    def values(self, grid: GridState) -> npt.NDArray[np.float64]:
        """Return (image,) values in the order of the images, NaN where one is missing."""
        values = np.full(grid.n_images, np.nan)
        with self._explained():
            rows = self._rows.execute("SELECT image, value FROM cells WHERE grid_id = ?", (grid.grid_id,)).fetchall()
        for image, value in rows:
            values[image - 1] = value
        return values

    def close_grids(self, grids: Sequence[GridState], state: str) -> None:
        """Note how scans ended."""
        self._rows.executemany("UPDATE grids SET state = ? WHERE grid_id = ?", [(state, g.grid_id) for g in grids])

    def note_provisional(self, grids: Sequence[GridState]) -> None:
        """Note that a provisional result of scans is out."""
        self._rows.executemany("UPDATE grids SET provisional = 1 WHERE grid_id = ?", [(g.grid_id,) for g in grids])

    def note_answer(self, answer: Answer, *, is_due: bool) -> None:
        """Keep an answer; one that is due has no message to go out with and is sent in idle time."""
        self._rows.execute(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
            (answer.message_id, answer.grid_id, answer.stream, answer.payload, int(is_due)),
        )

    def answers_to(self, message_ids: Sequence[str]) -> dict[str, Answer]:
        """Return the answers that were given to messages before, by message."""
        found = {}
        with self._explained():
            for message_id in message_ids:
                row = self._rows.execute(
                    "SELECT message_id, grid_id, stream, payload FROM answers WHERE message_id = ?", (message_id,)
                ).fetchone()
                if row:
                    found[message_id] = Answer(*row)
        return found

    def due_answers(self) -> list[Answer]:
        """Return the answers that have not been sent yet."""
        with self._explained():
            rows = self._rows.execute("SELECT message_id, grid_id, stream, payload FROM answers WHERE due").fetchall()
        return [Answer(*row) for row in rows]

    def note_sent(self, message_ids: Sequence[str]) -> None:
        """Note that due answers were sent."""
        with self.transaction():
            self._rows.executemany("UPDATE answers SET due = 0 WHERE message_id = ?", [(one,) for one in message_ids])

    def forget(self, before: float) -> int:
        """Delete what has ended and been quiet since; return how many grid scans."""
        rows = self._rows.execute(
            "SELECT grid_id FROM grids g WHERE state != 'open' AND last_seen <= ? "
            "AND NOT EXISTS (SELECT 1 FROM answers a WHERE a.grid_id = g.grid_id AND a.due)",
            (before,),
        ).fetchall()
        for table in ("cells", "answers", "unnamed", "grids"):
            self._rows.executemany(f"DELETE FROM {table} WHERE grid_id = ?", rows)
        return len(rows)

    def close(self) -> None:
        """Close the file."""
        self._rows.close()
