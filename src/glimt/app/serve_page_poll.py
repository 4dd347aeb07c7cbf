"""Asks for something again and again on a thread of its own, and shows what comes of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from glimt.model.errors import GlimtError

_STEP_S = 0.2
_LARGEST_SHARE = 0.1
_END_S = 2.0
log = logging.getLogger("glimt")

Values = Mapping[str, Any]


class Poller(threading.Thread):
    """Asks at a pace of its own; whatever goes wrong is told in the log, once, and asked for again.

    Parameters
    ----------
    what : str
        Who is asked, for the log.
    ask : callable
        Returns what is to be shown.
    show : callable
        Takes it.
    away : callable
        Returns what is to be shown instead when ``ask`` raises; takes the reason.
    is_watched : callable
        Whether somebody looks.
    every_s, idle_s : float
        Time between two questions [s] while somebody looks, and else. One that takes long is asked less often: at
        most a tenth of the time is spent on it.
    """

    def __init__(
        self,
        what: str,
        ask: Callable[[], Values],
        show: Callable[[Values], None],
        *,
        away: Callable[[str], Values],
        is_watched: Callable[[], bool],
        every_s: float = 1.0,
        idle_s: float = 5.0,
    ) -> None:
        super().__init__(name=f"page of services: {what}", daemon=True)
        self._what, self._ask, self._show, self._away = what, ask, show, away
        self._is_watched, self._every_s, self._idle_s = is_watched, every_s, idle_s
        self._ended = threading.Event()
        self._problem = ""

    def run(self) -> None:
        """Ask until `end` is called."""
        due_at = 0.0
        asked_at = -self._idle_s
        while not self._ended.is_set():
            began = time.monotonic()
            pause_s = self._every_s if self._is_watched() else self._idle_s
            if began >= due_at and began - asked_at >= pause_s:
                self.ask_once()
                asked_at, took_s = began, time.monotonic() - began
                due_at = began + took_s / _LARGEST_SHARE
            self._ended.wait(min(_STEP_S, self._every_s))

    def ask_once(self) -> None:
        """Ask now, and show what comes of it."""
        try:
            self._show(self._ask())
        except GlimtError as error:
            self._lose(str(error), error)
        except Exception as error:  # noqa: BLE001  a page must never end the services that it shows
            self._lose(f"{type(error).__name__}: {error}", error, is_ours=True)
        else:
            if self._problem:
                log.info("the page: %s answers again", self._what)
            self._problem = ""

    def end(self) -> None:
        """Ask no more; one that hangs is left behind."""
        self._ended.set()
        if self.ident is not None:
            self.join(_END_S)

    def _lose(self, problem: str, error: Exception, *, is_ours: bool = False) -> None:
        if not self._problem:  # the reason may be worded in another way each time
            log.warning("the page: %s does not answer: %s", self._what, problem, exc_info=error if is_ours else None)
        self._problem = problem
        self._show(self._away(problem))
