"""One round of a watch: what is there now, and what the recipe is told."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import islice
from typing import Any

from glimt.services.file_watcher_items import Items, ListItems
from glimt.services.file_watcher_pace import next_look_s
from glimt.services.file_watcher_presence import Presence
from glimt.services.file_watcher_request import WatchRequest
from glimt.services.file_watcher_status import STATUS, WatchStatus
from glimt.services.file_watcher_streams import Streams
from glimt.services.recipe_step import RecipeStep

log = logging.getLogger(__name__)


class WatchRound:
    """A message to the file watcher, while it is handled.

    Parameters
    ----------
    step : RecipeStep
        The message.
    request : WatchRequest
        How to tell.
    items : Items
        What is watched for.
    presence : Presence
        Tells what is there.
    status : WatchStatus
        What was seen until now.
    in_order : bool
        An item is told only after all before it.
    """

    def __init__(
        self,
        step: RecipeStep,
        request: WatchRequest,
        items: Items,
        presence: Presence,
        status: WatchStatus,
        *,
        in_order: bool,
    ) -> None:
        self._step, self._request, self.items, self._presence = step, request, items, presence
        self.status, self._in_order = status, in_order
        self._found: list[tuple[int, float]] = []
        self.generations: dict[str, int | None] = {}
        self.is_over = False
        if not _is_begun(step.payload):
            log.info("watching for %s", items.name)
            if step.node.get("output") is not None and not isinstance(step.node["output"], Mapping):
                log.warning("step has one unnamed output, to which the file watcher sends nothing; name it every")

    @property
    def key(self) -> str:
        """What is the same in all rounds of a watch."""
        pointer = self._step.recipe.recipe_pointer if self._step.recipe is not None else 0
        return f"{self._step.recipe_id}/{pointer}/{self.items.name}"

    @property
    def recipe_id(self) -> str:
        """The run that the watch belongs to."""
        return self._step.recipe_id

    @property
    def has_notice(self) -> bool:
        """Whether the system says when something happens, so that it is worth while to wait for that."""
        return self._request.burst_wait_s is None and bool(self.generations) and None not in self.generations.values()

    def look(self) -> None:
        """Look what is there."""
        self.generations = self._presence.follow(self.status)
        self._find()
        after = self._presence.follow(self.status)
        if not self._found and after.keys() != self.generations.keys():  # the file led to further folders
            self.generations = after
            self._find()

    def _find(self) -> None:
        present = self._presence.present(self.status, in_order=self._in_order)
        self._found = list(islice(present, self._request.burst_limit))
        self.status.n_items = self._presence.n_items() or self.status.n_items

    def has_news(self, now: float) -> bool:
        """Return whether there is something to tell."""
        return bool(self._found) or self._is_complete() or self._is_hopeless() or self.time_left_s(now) < 0

    def time_left_s(self, now: float) -> float:
        """Return after how long without anything new the watch ends [s]; negative if that is over."""
        request, status = self._request, self.status
        if not status.n_seen:
            return status.started + request.timeout_first_s - now
        since = status.started if status.last_seen is None else status.last_seen
        return since + request.timeout_s - now

    def next_look_s(self, now: float) -> float:
        """Return when to look again if there is nothing new [s]."""
        wait_s = next_look_s(self.status, now, has_notice=self.has_notice)
        return max(wait_s, self._request.burst_wait_s or 0.0)

    def _is_complete(self) -> bool:
        n_items = self.status.n_items
        return n_items is not None and self.status.n_seen >= n_items

    def _is_hopeless(self) -> bool:
        """Return whether the next item is none: a place in a list without a name."""
        n_items, next_number = self.status.n_items, self.status.n_in_order
        return n_items is not None and next_number < n_items and self.items.path(next_number) is None

    def answer(self, now: float, delay_s: float) -> None:
        """Send what is to be told, and the message of the next round unless this was the last.

        Parameters
        ----------
        now : float
            UTC [s].
        delay_s : float
            Until the next round, if nothing was found [s].
        """
        if isinstance(self.items, ListItems) and self.items.is_nothing:
            self._step.send({"files-expected": 0, "files-seen": 0, "success": True}, "finally")
            self.is_over = True
            return
        n_found = len(self._found)
        self._tell_found(now)
        if self._is_complete():
            self._end(success=True, now=now)
        elif self._is_hopeless():
            log.warning("there is no name for item %d of %s", self.status.n_in_order + 1, self.items.name)
            self._step.send(self.items.missing(self.status.n_in_order), "error")
            self._end(success=False, now=now)
        elif not n_found and self.time_left_s(now) < 0:
            self._log_timeout(now)
            self._step.send(self.items.missing(self.status.n_in_order), "timeout")
            self._end(success=False, now=now)
        else:
            wait_s = (self._request.burst_wait_s or 0.0) if n_found else delay_s
            self._step.checkpoint(self.status.to_payload(self.items.word), delay_s=wait_s)

    def _tell_found(self, now: float) -> None:
        output = self._step.node.get("output")
        streams = Streams(output if isinstance(output, Mapping) else ())
        for number, seen_at in self._found:
            names = streams.of(number + 1, self.status.n_items or 0)
            payload = self.items.found(number, seen_at) if names else None
            for name in names:
                self._step.send(payload, name)
            self.status.note(number, now)
        self._found = []

    def _counts(self) -> dict[str, Any]:
        word = self.items.word
        return {f"{word}-expected": self.status.n_items, f"{word}-seen": self.status.n_seen}

    def _end(self, *, success: bool, now: float) -> None:
        counts = self._counts()
        if self.status.n_seen:
            self._step.send(counts, "any")
        self._step.send(counts | {"success": success}, "finally")
        self.is_over = True
        if success:
            log.info("all %d of %s were seen", self.status.n_seen, self.items.name, extra=self._delays(now))

    def _log_timeout(self, now: float) -> None:
        reason = f"; {self._presence.reason}" if self._presence.reason else ""
        log.log(
            logging.INFO if self._request.logs_timeout_as_info else logging.WARNING,
            "%s: timeout after %.1f s; %d seen, nothing new for %.1f s%s",
            self.items.name,
            now - self.status.started,
            self.status.n_seen,
            now - (self.status.started if self.status.last_seen is None else self.status.last_seen),
            reason,
            extra=self._delays(now),
        )

    def _delays(self, now: float) -> dict[str, float]:
        delay_s = now - self.status.started
        expected_s = self._request.expected_delay_s
        if expected_s is None:
            return {"delay": delay_s}
        return {"delay": delay_s, "unexpected_delay": max(0.0, delay_s - expected_s * self.status.n_seen)}


def _is_begun(payload: object) -> bool:
    return isinstance(payload, Mapping) and STATUS in payload
