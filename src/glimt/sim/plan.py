"""How much a simulated device sends, and when."""

from __future__ import annotations

from dataclasses import dataclass

from glimt.model.errors import UsageError


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """How much to send, and when.

    Parameters
    ----------
    n_frames : int
        Frames of a series; 0 goes on until it is stopped.
    n_series : int
        0 repeats until it is stopped.
    rate_hz : float
        Frames a second; 0 sends as fast as the receiver takes them.
    start_at : float or None
        Time of the first trigger, UTC [s]: devices that are given the same one are in step.
    trigger_delay_s : float
        The device sends so long after its trigger [s].
    series_gap_s : float
        Between the last trigger of a series and the first of the next [s].
    first_series : int
        Number of the first series, where the protocol has one.
    timeout_s : float or None
        Give up if nobody receives for so long; without it, wait.

    Raises
    ------
    UsageError
        A number is out of its range.
    """

    n_frames: int = 100
    n_series: int = 1
    rate_hz: float = 10.0
    start_at: float | None = None
    trigger_delay_s: float = 0.0
    series_gap_s: float = 0.0
    first_series: int = 1
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        infinite = float("inf")
        if not 0 <= self.rate_hz < infinite:
            raise UsageError(f"rate {self.rate_hz} Hz: 0 (as fast as possible) or more is needed")
        if self.n_frames < 0 or self.n_series < 0 or self.first_series < 0:
            raise UsageError("numbers of frames and series cannot be negative; 0 means without end")
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise UsageError(f"timeout {self.timeout_s} s: a positive number of seconds is needed")
        if not (0 <= self.trigger_delay_s < infinite and 0 <= self.series_gap_s < infinite):
            raise UsageError("trigger delay and gap between series are times, 0 or more")
        if self.start_at is not None and not 0 < self.start_at < 1e11:
            raise UsageError(f"start at {self.start_at}: seconds since 1970 are needed, such as 1767225600.0")
