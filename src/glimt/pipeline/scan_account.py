"""The account of one scan, in the ledgers of a whole run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from glimt.pipeline.ledger import StreamLedger

_COUNTED = ("reduced", "failed", "received_bytes", "n_missing", "n_series", "n_ended", "n_broken_off")


class ScanAccount:
    """Tells what has become of the packets since the last scan ended.

    Parameters
    ----------
    ledgers : sequence of StreamLedger
        Of the run, which go on counting.
    """

    def __init__(self, ledgers: Sequence[StreamLedger]) -> None:
        self._ledgers = ledgers
        self._before = [ledger.as_dict() for ledger in ledgers]

    def end_scan(self) -> None:
        """Begin anew: the scan is over."""
        self._before = [ledger.as_dict() for ledger in self._ledgers]

    def of_scan(self) -> dict[str, dict[str, Any]]:
        """Return the account of each stream, as `StreamLedger.as_dict`.

        Packets that are pending belong to the next scan and are left out: received = reduced + failed + dropped.
        """
        accounts = zip(self._before, (ledger.as_dict() for ledger in self._ledgers), self._ledgers, strict=True)
        return {ledger.name: _settled(before, after) for before, after, ledger in accounts}


def _settled(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    counts = {name: after[name] - before[name] for name in _COUNTED}
    grown = {reason: n - before["dropped"].get(reason, 0) for reason, n in after["dropped"].items()}
    dropped = {reason: n for reason, n in grown.items() if n}
    received = counts["reduced"] + counts["failed"] + sum(dropped.values())
    return after | counts | {"dropped": dropped, "received": received, "pending": 0}
