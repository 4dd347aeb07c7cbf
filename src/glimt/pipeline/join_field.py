"""Reads the field of a decoded record that joins a stream with others: a trigger number or a clock."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from glimt.model.errors import DecodeError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from glimt.codecs.protocol import Packet, WireProtocol

_MAX_DEPTH = 8
_MAX_TEXT = 64
_MAX_CLOCK = 1 << 64


class JoinField:
    """One field of the records of a protocol.

    Parameters
    ----------
    protocol : WireProtocol
        What decodes the packets. They are decoded once more for this: it costs what ``decode`` costs.
    path : str
        Where the field is, such as ``"frame"``, ``"extra.trigger_id"`` or ``"timestamps.start"``: keys the protocol
        does not define are under ``extra``.

    Raises
    ------
    UsageError
        The path is empty, has an empty part or one with a leading underscore.
    """

    def __init__(self, protocol: WireProtocol, path: str) -> None:
        names = path.split(".")
        if len(names) > _MAX_DEPTH or any(not name or name.startswith("_") for name in names):
            raise UsageError(f"number_field {path!r} is no path to a field, such as 'frame' or 'extra.trigger_id'")
        self.path = path
        self._names = names
        self._decode: Callable[[Any], Any] = protocol.decode
        self._where = f"{protocol.name} data packet"

    def integer(self, packet: Packet) -> int:
        """Return the field as a whole number; a float without a fraction is one.

        Raises
        ------
        DecodeError
            The packet has no such field, or it is no whole number.
        """
        value = self._value(packet)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise DecodeError(f"field {self.path} is {_shown(value)}, not a whole number", where=self._where)
        return value

    def clock(self, packet: Packet) -> float:
        """Return the field as a time: a number in its own unit, an ISO time in seconds since 1970 UTC.

        Raises
        ------
        DecodeError
            The packet has no such field, or it is neither a finite number nor an ISO time.
        """
        value = self._value(packet)
        if isinstance(value, str) and len(value) <= _MAX_TEXT:
            value = _iso_time(value)
        if isinstance(value, datetime):
            value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        if type(value) is int and abs(value) < _MAX_CLOCK:
            return value
        if not isinstance(value, float) or not math.isfinite(value):
            raise DecodeError(f"field {self.path} is {_shown(value)}, not a time", where=self._where)
        return value

    def _value(self, packet: Packet) -> Any:
        value = self._decode(packet.frames)
        for name in self._names:
            value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
            if value is None:
                raise DecodeError(f"there is no field {self.path} (nothing under {name!r})", where=self._where)
        return getattr(value, "item", lambda: value)() if getattr(value, "shape", None) == () else value


def _iso_time(text: str) -> datetime | str:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return text


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]}…"
