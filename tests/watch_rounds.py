"""Watches of recipes, round by round, with a clock that only the test moves, and the files they wait for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from glimt.services.file_watcher import FileWatcherService
from glimt.services.service import ServiceSetup
from service_steps import sent, step_for
from set_clock import Clock

STREAMS = ("first", "every", "last", "2", "select-2", "every-2", "timeout", "error", "any", "finally")
OUTPUT = {name: number for number, name in enumerate(STREAMS, 10)}
NAMES = {number: name for name, number in OUTPUT.items()}


class Watch:
    """A recipe's watch, round by round: each round may be done by another instance of the service."""

    def __init__(self, folder: Path, clock: Clock, parameters: dict[str, Any], output: Any = None) -> None:
        self.parameters, self.clock, self.folder = parameters, clock, folder
        self.output = OUTPUT if output is None else output
        self.payload: Any = []
        self.delay_s = 0.0
        self.is_over = False

    def round(self, service: FileWatcherService | None = None) -> list[tuple[str, Any]]:
        """Return what goes to which stream."""
        own = service or make_service(self.folder, self.clock)
        step = step_for(self.parameters, self.payload, self.output)
        own.handle(step)
        if service is None:
            own.close()
        told = sent(step)
        again = [(message, payload) for message, (to, payload) in zip(step.outgoing, told, strict=True) if to == 1]
        assert len(again) <= 1
        self.is_over = not again
        for message, payload in again:
            self.payload, self.delay_s = payload, message.delay_s
        return [(NAMES.get(to or 0, str(to)), payload) for to, payload in told if to != 1]


Make = Callable[..., Watch]


def make_service(folder: Path, clock: Clock, **configuration: Any) -> FileWatcherService:
    """Return a service that looks by itself."""
    return FileWatcherService(
        ServiceSetup({"notice": "never", **configuration}, (folder,), folder), clock=clock, monotonic=clock.monotonic
    )


def watches(folder: Path, clock: Clock) -> Make:
    """Return what makes a watch in a folder; its parameters are written with ``_`` for ``-``."""

    def make(output: Any = None, /, **parameters: Any) -> Watch:
        return Watch(folder, clock, {name.replace("_", "-"): value for name, value in parameters.items()}, output)

    return make


def touch(folder: Path, *numbers: int) -> None:
    """Make the files of the pattern with these numbers; they are empty."""
    for number in numbers:
        (folder / f"x_{number:03d}.cbf").touch()


def pattern(folder: Path, start: Any = 5, end: Any = 7, **more: Any) -> dict[str, Any]:
    """Return the parameters of a watch for files of this pattern, as `watches` takes them."""
    return {"pattern": str(folder / "x_%03d.cbf"), "pattern_start": start, "pattern_end": end, **more}
