"""Progress of a run: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

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
        What is counted.
    """

    def __init__(self, what: str, *, things: str = "events") -> None:
        self._what, self._things = what, things
        self._began = self._shown = time.monotonic()
        self._bar: Progress | None = None
        console = Console(stderr=True)
        if console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn(f"{{task.fields[events]}} {things}, {{task.fields[rate]}}/s"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=console,
                transient=True,
                redirect_stdout=False,
            )
            self._task = self._bar.add_task(what, total=None, events="0", rate="-")

    def __call__(self, n_events: int, fraction: float | None) -> None:
        """Show that ``n_events`` are done, ``fraction`` of all (``None`` if unknown)."""
        now = time.monotonic()
        rate = n_events / max(now - self._began, 1e-3)
        if self._bar is not None:
            total = None if fraction is None else 1.0
            self._bar.update(self._task, total=total, completed=fraction or 0, events=f"{n_events:,}", rate=_rate(rate))
        elif now - self._shown >= _LINE_EVERY_S:
            self._shown = now
            part = "" if not fraction else f", {fraction:.0%}, {(now - self._began) * (1 / fraction - 1):.0f} s left"
            print(f"{self._what}: {n_events:,} {self._things}, {_rate(rate)}/s{part}", file=sys.stderr, flush=True)

    def __enter__(self) -> ProgressDisplay:
        self._began = self._shown = time.monotonic()
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
