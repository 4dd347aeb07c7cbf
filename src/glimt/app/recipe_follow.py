"""Waits until a run of a recipe is over, and says in words where it stands and what it left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice

from glimt.app.heard_statuses import StartingServices
from glimt.app.recipe_check import site_queues
from glimt.app.recipe_progress import RunProgress, is_exact, look_at_run
from glimt.app.site import Site
from glimt.model.errors import UsageError

_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.1, 1.0
_TELL_EVERY_S = 10.0
_HINT_AFTER_S = 2.0
LEFT_AFTER_S = 10.0
_SHOWN = 10


def check_can_follow(site: Site) -> None:
    """Refuse to wait where nobody could say when a run is over.

    Raises
    ------
    UsageError
        The broker does not tell which run a message belongs to.
    """
    if not is_exact(site):
        raise UsageError(
            "--wait: RabbitMQ does not tell which run a message belongs to, nor what receivers hold, so glimt cannot"
            " say when a run is over; leave --wait out, and look with `glimt recipe status ID` and `glimt db show`"
        )


def follow_run(
    site: Site,
    run: str,
    *,
    stop: threading.Event,
    tell: Callable[[str], None],
    timeout_s: float | None = None,
) -> RunProgress:
    """Wait until a run is over, and return how it ended; or how it stands after ``timeout_s``, or when ``stop`` is set.

    Parameters
    ----------
    site : Site
    run : str
    stop : threading.Event
    tell : callable
        Takes a line now and then, while the run goes on.
    timeout_s : float or None
        [s]

    Raises
    ------
    UsageError
        See `check_can_follow`.
    BrokerError
        The broker cannot be reached.
    """
    check_can_follow(site)
    began, pause_s = time.monotonic(), _FIRST_LOOK_S
    with closing(StartingServices(str(site.broker_url))) as starting:
        told, ends = _Told(tell, starting, began), _Ends(site, tell)
        while True:
            progress = ends.left_out(look_at_run(site, run))
            left_s = pause_s if timeout_s is None else began + timeout_s - time.monotonic()
            if progress.is_over or left_s <= 0 or stop.is_set():
                return progress
            told.tell(progress)
            stop.wait(min(pause_s, left_s))
            pause_s = min(1.3 * pause_s, _LONGEST_LOOK_S)


class _Told:
    """Says now and then where a run is, and once what it may wait for in vain."""

    def __init__(self, tell: Callable[[str], None], starting: StartingServices, began: float) -> None:
        self._tell, self._starting, self._began, self._told_at = tell, starting, began, began
        self._is_hinted = False

    def tell(self, progress: RunProgress) -> None:
        now = time.monotonic()
        queues = [each.queue for each in progress.queues if each.n_receivers == 0 and not each.is_for_others]
        starting = self._starting.names() if queues else []
        if queues and not self._is_hinted and now - self._began > _HINT_AFTER_S:
            self._is_hinted = True
            if starting:
                self._tell(f"nobody takes messages of {', '.join(queues)} yet; starting: {', '.join(starting)}")
            else:
                self._tell(f"nobody takes messages of {', '.join(queues)} now: is `glimt serve` running, and ready?")
        if now - self._told_at > _TELL_EVERY_S:
            self._told_at = now
            more = [f"starting: {', '.join(starting)}"] if starting else []
            self._tell("; ".join([*where_lines(progress), *more]))


class _Ends:
    """Tells messages that a recipe ends with, and that another program is to take, from those to wait for.

    Nobody can know what a queue that glimt does not serve is for. A service of one's own that is started again after
    it died takes its messages within seconds, so that those left there for longer are left to another program.
    """

    def __init__(self, site: Site, tell: Callable[[str], None]) -> None:
        self._site, self._tell = site, tell
        self._own: set[str] | None = None
        self._since: dict[str, float] = {}
        self._told: set[str] = set()

    def left_out(self, progress: RunProgress) -> RunProgress:
        """Return the progress with what is not waited for any more marked as for others."""
        found = [share for share in progress.queues if share.is_end and not share.is_for_others]
        if found and self._own is None:
            self._own = site_queues(self._site)
        now = time.monotonic()
        self._since = {
            each.queue: self._since.get(each.queue, now) for each in found if each.queue not in (self._own or ())
        }
        left = {queue for queue, since in self._since.items() if now - since > LEFT_AFTER_S}
        for share in found:
            if share.queue in left - self._told:
                self._told.add(share.queue)
                self._tell(
                    f"{share.queue}: {share.n_messages:,} waiting, the end of the recipe, in a queue that no service of"
                    " glimt or of the site file takes: left to another program, and not waited for"
                )
        shares = tuple(replace(each, is_for_others=True) if each.queue in left else each for each in progress.queues)
        return replace(progress, queues=shares)


def where_lines(progress: RunProgress) -> list[str]:
    """Return where messages are, a line for each queue, and what X-ray centering waits for."""
    lines = []
    for share in progress.queues:
        parts = [
            f"{number:,} {word}"
            for number, word in (
                (share.n_ready, "waiting"),
                (share.n_delayed, "delayed"),
                (share.n_unsettled, "being handled"),
            )
            if number
        ]
        line = f"{share.queue}: {', '.join(parts)}"
        if share.is_for_others:
            line += " (a result for another program, which keeps no run from being over)"
        elif share.n_receivers == 0:
            line += " (no service takes them now)"
        lines.append(line)
    lines += [
        f"X-ray centering: {scan.n_seen:,} of {scan.n_images:,} images of data collection {scan.dcid}"
        for scan in progress.scans
    ]
    return lines


def dead_letter_lines(progress: RunProgress, limit: int = _SHOWN) -> Iterator[str]:
    """Yield the dead letters of a run, the oldest first: queue, message and why; those of one queue and reason once."""
    alike: dict[tuple[str, str], list[str]] = {}
    for letter in progress.dead_letters:
        alike.setdefault((letter.queue, letter.reason or "no reason given"), []).append(letter.message_id)
    for (queue, reason), messages in islice(alike.items(), limit):
        more = f" and {len(messages) - 1:,} more" if len(messages) > 1 else ""
        yield f"{queue}: {messages[0]}{more}: {reason}"
    n_left = sum(len(messages) for messages in islice(alike.values(), limit, None))
    if n_left:
        yield f"and {n_left:,} more; glimt broker dead-letters lists all"
