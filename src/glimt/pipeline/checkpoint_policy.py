"""When the next checkpoint is due."""

from __future__ import annotations

import math

from glimt.model.errors import UsageError


class CheckpointPolicy:
    """Says when a checkpoint is due: after a time or an amount of results, and never so often that it slows the scan.

    After a checkpoint that took d seconds there is none for d · (1 / ``max_share`` - 1): all but the last one together
    took at most ``max_share`` of the time, however their durations grow. Pure: the time is an argument.

    Parameters
    ----------
    every_s : float
        A checkpoint is due this long after the last one [s] …
    every_bytes : int
        … or after so many bytes of results, whichever comes first.
    max_share : float
        Largest part of the time that checkpoints may take, in 0..1.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    __slots__ = ("_earliest_s", "_every_bytes", "_every_s", "_last_s", "_pause_factor")

    def __init__(self, *, every_s: float = 5.0, every_bytes: int = 64 << 20, max_share: float = 0.05) -> None:
        if not (math.isfinite(every_s) and every_s > 0 and every_bytes > 0):
            raise UsageError(f"a checkpoint every {every_s} s or {every_bytes} bytes: both must be positive numbers")
        if not 0 < max_share < 1:
            raise UsageError(f"checkpoints cannot take a share of {max_share} of the time; choose one such as 0.05")
        self._every_s = every_s
        self._every_bytes = every_bytes
        self._pause_factor = 1 / max_share - 1
        self._last_s: float | None = None
        self._earliest_s = -math.inf

    def is_due(self, now_s: float, n_bytes: int) -> bool:
        """Return whether to make a checkpoint now.

        Parameters
        ----------
        now_s : float
            Monotonic time [s]; the first call starts the clock.
        n_bytes : int
            Bytes of results that came since the last checkpoint, journaled or not; without any none is due.
        """
        if self._last_s is None:
            self._last_s = now_s
        if n_bytes <= 0 or now_s < self._earliest_s:
            return False
        return n_bytes >= self._every_bytes or now_s - self._last_s >= self._every_s

    def done(self, started_s: float, ended_s: float) -> None:
        """Tell that a checkpoint was made, or tried in vain, and how long it took."""
        self._last_s = ended_s
        self._earliest_s = ended_s + max(0.0, ended_s - started_s) * self._pause_factor
