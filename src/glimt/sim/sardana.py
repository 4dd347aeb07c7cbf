"""Sardana's recorder as MAX IV has it: a JSON object a step of the scan, posted over HTTP."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, ClassVar

from glimt.codecs.sardana import SardanaDataDescription, SardanaRecordData, SardanaRecordEnd
from glimt.sim.beam import Beam
from glimt.sim.device import Message, Series
from glimt.sim.pandabox import COUNTS

PATHS = {"DataDescription": "/v1/data_desc", "RecordData": "/v1/record_data", "RecordEnd": "/v1/record_end"}
"""Where messages are posted to, by their type. Source: dranspose 0.2.0."""


def path_of(body: bytes) -> str:
    """Return where a message is posted to; what is damaged goes where the points of a scan go."""
    for name, path in PATHS.items():
        if body.find(b'"%s"' % name.encode(), 0, 64) >= 0:
            return path
    return PATHS["RecordData"]


@dataclass
class SardanaDevice:
    """Scans the motor ``sx``; each point has ``point_nb`` from 0 and the counter ``i0``.

    Parameters
    ----------
    filename : str
        Directory the scan is said to be written to; nothing is written.
    seed, beam_period : int
        Of the `glimt.sim.beam.Beam`.
    stamp : bool
        Points have ``sent_ns``, when they were made, UTC [ns].
    """

    filename: str = ""
    seed: int = 0
    beam_period: int = 0
    stamp: bool = False

    protocol: ClassVar[str] = "sardana"
    frames_per_message: ClassVar[int] = 1
    message_bytes: ClassVar[int] = 300

    def __post_init__(self) -> None:
        self._beam = Beam(self.seed, self.beam_period)

    def start(self, series: Series) -> list[Message]:
        """Return the description of the scan."""
        columns: list[dict[str, Any]] = [
            {"name": name, "label": name, "dtype": dtype, "shape": []}
            for name, dtype in (("point_nb", "int64"), ("sx", "float64"), ("i0", "float64"), ("timestamp", "float64"))
        ]
        keys: dict[str, Any] = {"column_desc": columns, "ref_moveables": ["sx"]}
        start = SardanaDataDescription(
            serialno=series.series_id,
            scandir=self.filename,
            title=f"ascan sx -1 1 {max(0, series.n_frames - 1)} {series.period_s:g}",
            **keys,
        )
        return [start.to_frames()]

    def frames(self, series: Series, first: int, count: int) -> list[Message]:
        """Return one point."""
        del count
        keys: dict[str, Any] = {
            "point_nb": first,
            "sx": series.position(first),
            "i0": COUNTS * self._beam.intensity(first),
        }
        if self.stamp:
            keys["sent_ns"] = time.time_ns()
        return [SardanaRecordData(timestamp=first * series.period_s, **keys).to_frames()]

    def end(self, series: Series, n_frames: int) -> list[Message]:
        """Return the end message."""
        del series, n_frames
        return [SardanaRecordEnd().to_frames()]
