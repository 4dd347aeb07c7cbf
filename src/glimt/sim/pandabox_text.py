"""A PandABox itself, as its TCP data port speaks: a header of text, a line of numbers a trigger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from glimt.codecs.pandabox_text import PositionCapEnd, PositionCapField, PositionCapStart, PositionCapValues
from glimt.sim.beam import Beam
from glimt.sim.device import Message, Series
from glimt.sim.pandabox import COUNTS

POSITION = "INENC1.VAL.Mean"
I0 = "COUNTER1.OUT.Diff"
TRIGGER_TIME = "PCAP.TS_TRIG.Value"


@dataclass
class PandaboxTextDevice:
    """Captures at each trigger a motor (`POSITION`), an I0 counter (`I0`) and the time (`TRIGGER_TIME`) [s].

    Parameters
    ----------
    seed, beam_period : int
        Of the `glimt.sim.beam.Beam` that it sees.
    """

    seed: int = 0
    beam_period: int = 0

    protocol: ClassVar[str] = "pandabox-text"
    frames_per_message: ClassVar[int] = 1
    message_bytes: ClassVar[int] = 100

    def __post_init__(self) -> None:
        self._beam = Beam(self.seed, self.beam_period)

    def start(self, series: Series) -> list[Message]:
        """Return the header."""
        del series
        fields = [PositionCapField(name=name, type="double") for name in (TRIGGER_TIME, POSITION, I0)]
        arm_time = datetime.now(UTC).replace(tzinfo=None)  # the codec's are UTC without saying so
        return [PositionCapStart(arm_time=arm_time, _fields=fields).to_frames()]

    def frames(self, series: Series, first: int, count: int) -> list[Message]:
        """Return one line."""
        del count
        values = (first * series.period_s, series.position(first), COUNTS * self._beam.intensity(first))
        names = (TRIGGER_TIME, POSITION, I0)
        fields = {
            name: PositionCapField(name=name, type="double", value=value)
            for name, value in zip(names, values, strict=True)
        }
        return [PositionCapValues(fields=fields).to_frames()]

    def end(self, series: Series, n_frames: int) -> list[Message]:
        """Return the line that ends the capture."""
        del series
        return [PositionCapEnd(_text=b"END %d Disarmed\n" % n_frames).to_frames()]
