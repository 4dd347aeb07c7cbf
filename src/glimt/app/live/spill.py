"""Events that find no room, in a capture that `glimt replay` reads."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from glimt.model.errors import GlimtError
from glimt.model.event import StreamData
from glimt.pipeline.built_event import BuiltEvent
from glimt.stores.capture import CaptureWriter

log = logging.getLogger("glimt")


class SpillFile:
    """One capture of spilled events.

    Parameters
    ----------
    folder : Path
        Where it goes.
    streams : list of (str, str)
        Name and type of each stream.
    """

    def __init__(self, folder: Path, streams: list[tuple[str, str]]) -> None:
        self._streams = streams
        self._problem = ""
        self._writer: CaptureWriter | None = None
        self.path = folder / f"spill-{datetime.now().astimezone():%Y%m%d-%H%M%S-%f}.cbors"

    def write(self, event: BuiltEvent) -> bool:
        """Write an event; False, and a line in the log, if that cannot be done."""
        try:
            if self._writer is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._writer = CaptureWriter(self.path)
                log.warning("the queue is full: events go to %s", self.path)
            data = {}
            for index, frames in event.parts:
                name, typ = self._streams[index]
                data[name] = StreamData(typ, frames)
            created_at = datetime.fromtimestamp(event.created_ns * 1e-9, UTC)
            self._writer.write(event.event_number, data, created_at)
        except (GlimtError, OSError) as error:
            if str(error) != self._problem:
                self._problem = str(error)
                log.error("events cannot be spilled, so the streams are held back: %s", error)
            return False
        return True

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


@dataclass(frozen=True, slots=True)
class OpenSpill:
    """Opens a spill file; pickled to the ingester's process.

    Attributes
    ----------
    folder : Path
        Where spill files go.
    streams : list of (str, str)
        Name and type of each stream.
    """

    folder: Path
    streams: list[tuple[str, str]]

    def __call__(self) -> Any:
        """Return a new spill file."""
        return SpillFile(self.folder, self.streams)
