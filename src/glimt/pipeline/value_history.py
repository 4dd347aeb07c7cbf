"""Which parameter values held from which event of a scan on."""

from __future__ import annotations

from collections.abc import Mapping

Changes = list[tuple[int, dict[str, bytes]]]
"""Event numbers, and the values in wire form that are new from that event on."""

MAX_CHANGES = 10_000
"""Changes that are remembered; of more, the last ones are not."""
MAX_VALUE_BYTES = 1 << 16
"""Longer values are not remembered: what was uploaded as a file is a file somewhere."""


class ValueHistory:
    """Remembers the values a scan began with, and each change.

    Parameters
    ----------
    values : mapping of str to bytes
        All values at the start, in wire form.

    Attributes
    ----------
    changes : list of (int, dict of str to bytes)
        Event number and the values that are new from that event on; the first entry is the start, with all values.
    """

    def __init__(self, values: Mapping[str, bytes]) -> None:
        self._newest = dict(values)
        self.changes: Changes = [(0, _short(values))]

    def change(self, event_number: int, values: Mapping[str, bytes]) -> None:
        """Take note that these values, all there are, hold from an event on; two changes at one event are one."""
        new = _short({name: value for name, value in values.items() if self._newest.get(name) != value})
        self._newest = dict(values)
        if not new:
            return
        if self.changes[-1][0] == event_number:
            self.changes[-1] = event_number, self.changes[-1][1] | new
        elif len(self.changes) < MAX_CHANGES:
            self.changes.append((event_number, new))


def _short(values: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: value for name, value in values.items() if len(value) < MAX_VALUE_BYTES}
