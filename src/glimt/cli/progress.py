"""Progress of a run: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from glimt.cli.amounts import count_text

_LINE_EVERY_S = 5.0


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


class ProgressDisplay:
    """Shows how far a run is; a context manager.

    Parameters
    ----------
    what : str
        The word in front, such as ``"replay"``.
    things : str
        What is counted, in the plural.
    """

    def __init__(self, what: str, *, things: str = "events") -> None:
        self._what, self._things = what, things
        self._shown = time.monotonic()
        self._first: tuple[float, int, float] | None = None
        self._bar: Progress | None = None
        console = Console(stderr=True)
        if console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[done]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=console,
                transient=True,
                redirect_stdout=False,
            )
            self._task = self._bar.add_task(what, total=None, done=count_text(0, things))

    def __call__(self, n_events: int, fraction: float | None) -> None:
        """Show that ``n_events`` are done, ``fraction`` of all (``None`` if unknown).

        Rate and time left count from the first call with events on, and are left out until there are more of them.
        """
        now = time.monotonic()
        if self._first is None and n_events:
            # What comes before the first events, such as starting processes, says nothing about the others.
            self._first = now, n_events, fraction or 0.0
        done, left = count_text(n_events, self._things), ""
        if self._first is not None and n_events > self._first[1]:
            first_at, n_first, part_first = self._first
            elapsed_s = max(now - first_at, 1e-3)
            done += f", {_rate((n_events - n_first) / elapsed_s)}/s"
            if fraction is not None and fraction > part_first:
                left = f", {elapsed_s * (1 - fraction) / (fraction - part_first):.0f} s left"
        if self._bar is not None:
            total = None if fraction is None else 1.0
            self._bar.update(self._task, total=total, completed=fraction or 0, done=done)
        elif now - self._shown >= _LINE_EVERY_S:
            self._shown = now
            part = f", {fraction:.0%}" if fraction else ""
            print(f"{self._what}: {done}{part}{left}", file=sys.stderr, flush=True)

    def __enter__(self) -> ProgressDisplay:
        self._shown, self._first = time.monotonic(), None
        if self._bar is not None:
            self._bar.start()
            sys.breakpointhook = self._break
        return self

    def _break(self, *arguments: Any, **keywords: Any) -> Any:
        """Clear the terminal for the debugger that ``breakpoint()`` in the user's code opens."""
        self.__exit__()
        self._bar = None
        return sys.__breakpointhook__(*arguments, **keywords)

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.stop()
            sys.breakpointhook = sys.__breakpointhook__
