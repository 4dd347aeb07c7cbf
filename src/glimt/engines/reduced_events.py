"""Which events of a scan are reduced, in one byte a delivery: what a reducer loses is taken back from the account."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

Layout = tuple[tuple[int, int], ...]
"""Streams of an event by index, and with how many frames each."""
Streams = tuple[int, ...]

_OPEN, _RARE, _OTHER, _LOST, _COPY = 0, 252, 253, 254, 255
_MAX_LAYOUTS = 4096


class ReducedEvents:
    """Remembers for each event which streams it had, if it went into a result.

    An event is known by the first of its serials; the other ones, of its copies, follow that one.
    """

    def __init__(self) -> None:
        self._codes = bytearray()
        self._streams: list[Streams] = [()]
        self._code_of: dict[Layout, int] = {}
        self._rare: dict[int, Streams] = {}
        self._void_copies: set[int] = set()

    def open(self, n_serials: int) -> None:
        """Note that the next event has so many deliveries."""
        self._codes.append(_OPEN)
        for _ in range(n_serials - 1):
            self._codes.append(_COPY)

    def reduce(self, first_serial: int, layout: Layout) -> bool:
        """Note that every delivery of an event was acknowledged; False if one of them is lost."""
        if self._codes[first_serial] == _LOST:
            self._codes[first_serial] = _OTHER
            return False
        code = self._code_of.get(layout)
        if code is None:
            code = self._code(layout)
        self._codes[first_serial] = code
        if code == _RARE:
            self._rare[first_serial] = tuple(stream for stream, _ in layout)
        return True

    def leave_out(self, first_serial: int) -> None:
        """Note that an event is finished in another way."""
        if first_serial >= 0:
            self._codes[first_serial] = _OTHER

    def void(self, serials: Iterable[int]) -> None:
        """Note deliveries that have no result: they cannot be lost."""
        codes = self._codes
        for serial in serials:
            if codes[serial] == _COPY or codes[serial + 1 : serial + 2] == b"\xff":
                self._void_copies.add(serial)

    def lose(self, runs: Iterable[tuple[int, int]]) -> Counter[Streams]:
        """Note deliveries that are lost after they were acknowledged.

        Parameters
        ----------
        runs : iterable of (int, int)
            Their serials: first, and behind the last. Those that had no result are passed over.

        Returns
        -------
        Counter
            How many events that were reduced are not any more, by their streams.
        """
        codes, lost = self._codes, Counter[Streams]()
        for first, end in runs:
            for serial in range(max(0, first), min(end, len(codes))):
                if serial in self._void_copies:
                    continue
                event = serial
                while codes[event] == _COPY:
                    event -= 1
                code = codes[event]
                if code == _OPEN:
                    codes[event] = _LOST  # others of its copies are not acknowledged yet
                elif code < _OTHER:
                    lost[self._rare.pop(event) if code == _RARE else self._streams[code]] += 1
                    codes[event] = _OTHER
        return lost

    def _code(self, layout: Layout) -> int:
        if len(self._code_of) >= _MAX_LAYOUTS:
            self._code_of.clear()
        streams = tuple(stream for stream, _ in layout)
        if streams in self._streams:
            code = self._streams.index(streams)
        elif len(self._streams) < _RARE:
            code = len(self._streams)
            self._streams.append(streams)
        else:
            code = _RARE
        self._code_of[layout] = code
        return code
