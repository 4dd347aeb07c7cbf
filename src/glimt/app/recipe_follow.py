"""Waits until a run of a recipe is over, and says in words where it stands and what it left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

from glimt.app.recipe_progress import RunProgress, is_exact, look_at_run
from glimt.app.site import Site
from glimt.model.errors import UsageError

_FIRST_LOOK_S, _LONGEST_LOOK_S = 0.1, 1.0
_TELL_EVERY_S = 10.0
_HINT_AFTER_S = 2.0
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
    began = told = time.monotonic()
    is_hinted, pause_s = False, _FIRST_LOOK_S
    while True:
        progress = look_at_run(site, run)
        now = time.monotonic()
        left_s = pause_s if timeout_s is None else began + timeout_s - now
        if progress.is_over or left_s <= 0 or stop.is_set():
            return progress
        unserved = [share.queue for share in progress.queues if share.n_receivers == 0 and not share.is_for_others]
        if unserved and not is_hinted and now - began > _HINT_AFTER_S:
            is_hinted = True
            tell(f"nobody takes messages of {', '.join(unserved)} now: is `glimt serve` running, and ready?")
        if now - told > _TELL_EVERY_S:
            told = now
            tell("; ".join(where_lines(progress)))
        stop.wait(min(pause_s, left_s))
        pause_s = min(1.3 * pause_s, _LONGEST_LOOK_S)


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
    """Yield the dead letters of a run, the oldest first: queue, message and why."""
    for letter in progress.dead_letters[:limit]:
        yield f"{letter.queue}: {letter.message_id}: {letter.reason or 'no reason given'}"
    if len(progress.dead_letters) > limit:
        yield f"and {len(progress.dead_letters) - limit:,} more; glimt broker dead-letters lists all"
