"""The names of streams in captures: other ones for a replay, and what to do where a worker asks for another one."""

from __future__ import annotations

import ast
import itertools
import logging
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from glimt.model.errors import DecodeError, UsageError
from glimt.model.event import EventData
from glimt.sources.capture import CaptureReader

if TYPE_CHECKING:
    from glimt.pipeline.failure import Failure

log = logging.getLogger("glimt")

_LOOKED_AT = 5
_MOST_TOLD = 10
_MAX_NAME = 100
_KEY_ERROR = "KeyError: "


@dataclass(frozen=True, slots=True)
class StreamNames:
    """Gives streams other names than they were recorded with.

    Attributes
    ----------
    new : dict of str to str
        Name in the capture to name in the event.
    """

    new: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_options(cls, given: Iterable[str]) -> StreamNames:
        """Return what the options ``OLD=NEW`` say.

        Raises
        ------
        UsageError
            One says something else, or two say the same of a stream.
        """
        new: dict[str, str] = {}
        for text in given:
            old, _, name = text.partition("=")
            if not old or not name:
                raise UsageError(f"--rename-stream {text[:_MAX_NAME]!r}: write OLD=NEW, such as stins=detector")
            if old in new or name in new.values():
                raise UsageError(f"--rename-stream {text[:_MAX_NAME]!r}: one of the two names was given before")
            new[old] = name
        return cls(new)

    def renamed(self, events: Iterable[EventData]) -> Iterator[EventData]:
        """Yield events with the new names.

        Raises
        ------
        UsageError
            An event has a stream with the new name already.
        """
        return map(self._one, events) if self.new else iter(events)

    def _one(self, event: EventData) -> EventData:
        streams = {self.new.get(name, name): data for name, data in event.streams.items()}
        if len(streams) != len(event.streams):
            raise UsageError(f"--rename-stream: event {event.event_number} has a stream of the new name already")
        event.streams = streams
        return event

    def check(self, present: Iterable[str]) -> None:
        """Warn of names that are not among those present."""
        names = list(present)
        for old in self.new:
            if names and old not in names:
                log.warning("--rename-stream: there is no stream %r at the beginning; there is %s", old, _listed(names))


def recorded_names(paths: Iterable[Path]) -> list[str]:
    """Return the names of the streams at the beginning of captures; of one that cannot be read, those before that."""
    names: dict[str, None] = {}
    for path in paths:
        try:
            reader = CaptureReader(path)
        except UsageError:
            continue
        try:
            for message in itertools.islice(reader.messages(), _LOOKED_AT):
                names.update(dict.fromkeys(message.streams))
        except DecodeError:
            pass
        finally:
            reader.close()
    return list(names)


def advice_on_missing_stream(failures: Iterable[Failure], recorded: Iterable[str], names: StreamNames) -> str:
    """Return what to do where a worker asked for a stream that the captures have under another name; empty if none did.

    Parameters
    ----------
    failures : iterable of Failure
        Of the replay.
    recorded : iterable of str
        Names in the captures.
    names : StreamNames
        What the replay called them.
    """
    present = {names.new.get(name, name): name for name in recorded}
    asked = next((key for failure in failures if (key := _asked(failure)) and key not in present), "")
    if not present or not asked:
        return ""
    free = [old for new, old in present.items() if new == old]
    return (
        f"the capture has the stream{'s' if len(present) > 1 else ''} {_listed(present)}, and the worker asked for "
        f"{asked[:_MAX_NAME]!r}: {_cure(free, asked)}"
    )


def _cure(free: list[str], asked: str) -> str:
    old = free[0] if len(free) == 1 else "NAME"
    record = f"record with --stream {shlex.quote(asked)}"
    if not free or not (old + asked).isprintable() or "=" in old:
        return record
    which = "" if len(free) == 1 else ", where NAME is the one it means"
    return f"replay with --rename-stream {shlex.quote(f'{old}={asked}')}{which}, or {record}"


def _asked(failure: Failure) -> str:
    """Return the key that user code did not find among the streams; empty if it failed of something else."""
    if not failure.error.startswith(_KEY_ERROR) or "streams" not in failure.trace:
        return ""
    try:
        key = ast.literal_eval(failure.error.removeprefix(_KEY_ERROR))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return ""
    return key if isinstance(key, str) else ""


def _listed(names: Iterable[str]) -> str:
    texts = [repr(name[:_MAX_NAME]) for name in names]
    return ", ".join(texts[:_MOST_TOLD]) + (", …" if len(texts) > _MOST_TOLD else "")
