"""Where the messages of one run of a recipe are: what waits, what is held, what died, and whether the run is over.

A message is settled and what it caused is sent in one transaction. So a run of which the file of the SQLite broker has
no message is over: nothing can come any more, but from X-ray centering, which keeps the images of a scan in a file of
its own until all are there. RabbitMQ shows the messages that wait only by taking them out, and those with receivers to
nobody; there only the dead letters of a run are known.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from glimt.app.broker_dead_letters import DeadLetter, as_dead_letter, list_dead_letters
from glimt.app.broker_message import read_envelope, recipe_id
from glimt.app.open_broker import open_broker
from glimt.app.site import Site
from glimt.brokers.broker import DEAD_LETTER_PREFIX, Delivery, QueueStatus
from glimt.brokers.sqlite_file import SqliteFile, explained
from glimt.brokers.sqlite_keeper import reap
from glimt.brokers.sqlite_messages import decode_headers
from glimt.model.errors import BrokerError
from glimt.services.service_outputs import CONTRACTS

READY, DELAYED, UNSETTLED = 0, 1, 2
_MESSAGES = (
    "WITH place AS (SELECT queue, id, 0 AS state FROM ready UNION ALL SELECT queue, id, 1 FROM delayed"
    " UNION ALL SELECT queue, id, 2 FROM claimed)"
    " SELECT q.name, q.expiration_s, place.state, b.message_id, b.headers, b.body,"
    " (SELECT count(*) FROM subscription s WHERE s.queue = q.id)"
    " FROM place JOIN queue q ON q.id = place.queue JOIN body b ON b.id = place.id WHERE instr(b.body, ?) > 0"
)
_SCANS = (
    "SELECT g.dcid, g.n_seen, g.n_images FROM grids g WHERE g.run = ?1 AND (g.state = 'open'"
    " OR EXISTS (SELECT 1 FROM answers a WHERE a.grid_id = g.grid_id AND a.due))"
)


@dataclass(frozen=True, slots=True)
class QueueShare:
    """The messages of a run in one queue.

    Attributes
    ----------
    queue : str
    n_ready, n_delayed, n_unsettled : int
        That can be delivered, wait for their time, and are with a receiver.
    n_receivers : int or None
        Who takes messages of this queue; ``None`` if the broker does not tell.
    is_for_others : bool
        Results that another program may fetch, or that are thrown away: the run does not wait for that.
    is_end : bool
        Nobody takes them now, no service of glimt's own would, and none sends anything on in the recipe.
    """

    queue: str
    n_ready: int
    n_delayed: int
    n_unsettled: int
    n_receivers: int | None
    is_for_others: bool = False
    is_end: bool = False

    @property
    def n_messages(self) -> int:
        """All of them."""
        return self.n_ready + self.n_delayed + self.n_unsettled


@dataclass(frozen=True, slots=True)
class OpenScan:
    """A grid scan of which X-ray centering still waits for images."""

    dcid: int
    n_seen: int
    n_images: int


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Where the messages of a run are.

    Attributes
    ----------
    recipe_id : str
    is_exact : bool
        ``queues`` are the messages of this run; else those of all runs, because the broker does not tell them apart.
    queues : tuple of QueueShare
        Without dead letters.
    dead_letters : tuple of DeadLetter
    scans : tuple of OpenScan
    """

    recipe_id: str
    is_exact: bool
    queues: tuple[QueueShare, ...]
    dead_letters: tuple[DeadLetter, ...]
    scans: tuple[OpenScan, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether nothing of the run waits or is held anywhere; never, where the broker does not tell."""
        return self.is_exact and not self.scans and all(share.is_for_others for share in self.queues)


def is_exact(site: Site) -> bool:
    """Say whether the site's broker tells which run a message belongs to."""
    return site.broker_url.startswith("sqlite:")


def is_missing(path: Path) -> bool:
    """Say whether there is no such file; false where one must not look, as who opens it is told why not."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def look_at_run(site: Site, run: str) -> RunProgress:
    """Return where the messages of a run are.

    Parameters
    ----------
    site : Site
    run : str
        Its identity, as `glimt go` prints it.

    Raises
    ------
    BrokerError
        The broker, or the file of X-ray centering, cannot be reached.
    """
    if not is_exact(site):
        return _look_at_broker(site, run)
    path = Path(site.broker_url.partition(":")[2].partition("?")[0]).expanduser()
    if is_missing(path):
        return RunProgress(run, True, (), ())
    # Before and after, because scans are in another file: one that begins or ends between the looks is in one of them.
    before = _open_scans(site, run)
    file = SqliteFile(path)
    try:
        with suppress(BrokerError):  # who may only read sees those, too, that died with messages
            reap(file)
        shares, letters = _messages(file, run)
    finally:
        file.close()
    return RunProgress(run, True, shares, letters, tuple(dict.fromkeys([*before, *_open_scans(site, run)])))


def _messages(file: SqliteFile, run: str) -> tuple[tuple[QueueShare, ...], tuple[DeadLetter, ...]]:
    counts: Counter[tuple[str, int]] = Counter()
    about: dict[str, tuple[int, bool]] = {}
    awaited = set(CONTRACTS)
    letters = []
    with explained(file.path):
        for queue, expiration_s, state, identity, headers, body, n_receivers in file.connection.execute(
            _MESSAGES, (run.encode(),)
        ):
            if recipe_id(body) != run:
                continue
            if queue.startswith(DEAD_LETTER_PREFIX):
                letters.append(as_dead_letter(Delivery(body, queue, "", decode_headers(headers), identity, 1, 0, None)))
                continue
            counts[queue, state] += 1
            about[queue] = n_receivers, expiration_s is not None and not n_receivers
            if n_receivers or (queue not in awaited and not _is_end(body)):
                awaited.add(queue)
    shares = []
    for queue, (n_receivers, is_for_others) in sorted(about.items()):
        n_ready, n_delayed, n_unsettled = (counts[queue, state] for state in (READY, DELAYED, UNSETTLED))
        of_queue = n_ready, n_delayed, n_unsettled, n_receivers, is_for_others
        shares.append(QueueShare(queue, *of_queue, is_end=queue not in awaited))
    return tuple(shares), tuple(sorted(letters, key=lambda letter: letter.died_ns))


def _is_end(body: bytes) -> bool:
    """Say whether the recipe ends with the step that a message is for."""
    envelope = read_envelope(body)
    return envelope is not None and not envelope.node.get("output")


def _open_scans(site: Site, run: str) -> list[OpenScan]:
    """Return the scans of a run that X-ray centering keeps on this machine."""
    path = site.state_folder / "x_ray_centering" / "x_ray_centering.sqlite"
    if is_missing(path):
        return []
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0)) as connection:
            return [OpenScan(*row) for row in connection.execute(_SCANS, (run,))]
    except sqlite3.Error as error:
        if "no such table" in str(error):  # it is being made
            return []
        raise BrokerError(
            f"{path}: the scans that X-ray centering waits for cannot be read ({error}), so nobody can say whether the"
            " run is over; may you read the file?"
        ) from None


def _look_at_broker(site: Site, run: str) -> RunProgress:
    broker = open_broker(str(site.broker_url))
    try:
        letters = [letter for letter in list_dead_letters(broker) if letter.recipe_id == run]
        queues = [_share(status) for status in broker.status() if not status.name.startswith(DEAD_LETTER_PREFIX)]
    finally:
        broker.close()
    return RunProgress(run, False, tuple(share for share in queues if share.n_messages), tuple(letters))


def _share(status: QueueStatus) -> QueueShare:
    return QueueShare(status.name, status.n_ready, status.n_delayed, status.n_unsettled, status.n_receivers)
