"""What the control process shows of intake and scan, as plain values."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from glimt.engines.intake import Intake
    from glimt.engines.scan_dispatch import ScanDispatch


class IntakeState:
    """Describes one intake.

    Parameters
    ----------
    intake : Intake
        What is described.
    """

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._told_bad = [0] * len(intake.streams)
        self._connected_ns = [0] * len(intake.streams)

    def streams(self, polled: Collection[int]) -> list[dict[str, Any]]:
        """Return the state of each stream; ``polled`` are the indices of those that are read now.

        ``connected_ns`` is when this first found the sender there [ns since 1970 UTC]; 0 if it is not there, or if that
        is not known.
        """
        return [self._stream(index, index in polled) for index in range(len(self._intake.streams))]

    def _stream(self, index: int, is_read: bool) -> dict[str, Any]:
        stream, builder = self._intake.streams[index], self._intake.builder
        # Examples of bad messages may be large: they are told once.
        told, self._told_bad[index] = self._told_bad[index], len(stream.bad_messages)
        bad = [list(map(bytes, parts)) for parts in stream.bad_messages] if len(stream.bad_messages) > told else []
        source = stream.source.state()
        if not source.connected:
            self._connected_ns[index] = 0
        elif not self._connected_ns[index]:
            self._connected_ns[index] = time.time_ns()
        return {
            "name": stream.live.name,
            "ledger": stream.live.ledger.as_dict(),
            "is_open": stream.live.is_open,
            "held_bytes": 0 if builder is None else builder.held_bytes(index),
            "is_read": is_read,
            "n_held": 0 if builder is None else builder.n_held(index),
            "described": stream.described,
            "bad_messages": bad,
            "address": stream.source.address,
            "connected_ns": self._connected_ns[index],
            "source": msgspec.to_builtins(source),
        }

    def figures(self, dispatch: ScanDispatch) -> dict[str, Any]:
        """Return how far the scan is."""
        builder, trigger_map = self._intake.builder, self._intake.trigger_map
        return {
            "scan": dispatch.scan,
            "began_ns": dispatch.began_ns,
            "ended_ns": None,
            "total_events": None if trigger_map is None else trigger_map.n_events,
            "n_closed": 0 if builder is None else builder.n_events_closed,
            "last_offered": dispatch.last_offered,
            "n_offered": dispatch.n_offered,
            "n_finished": dispatch.n_finished,
            "n_failed": dispatch.n_failed,
            "n_outstanding": dispatch.n_outstanding,
            "n_waiting": dispatch.n_waiting,
            "latency_s": dispatch.latency_s(),
        }
