"""Beamline files for the engine contract, and what is in the output files of their runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from glimt.app.beamline import Beamline
from glimt.app.beamline_file import load_beamline
from glimt.app.live.live_engine import LiveEngine
from glimt.app.live.scan_output import ACCOUNT_GROUP
from glimt.codecs.contrast import ContrastFinished, ContrastRunning, ContrastStarted
from glimt.codecs.stins import StinsEnd, StinsImage, StinsStart
from glimt.model.event import StreamData
from glimt.stores.capture import CaptureWriter

ANALYSIS = "glimt.testing.ordered_analysis"
LIMIT_S = 60.0
"""How long a run of the contract may take [s]: machines are shared."""

MakeEngine = Callable[[Beamline], LiveEngine]


def two_stream_capture(
    path: Path, n_events: int, *, lost: frozenset[int] = frozenset(), shape: tuple[int, int] = (10, 10)
) -> Path:
    """Write a capture of a detector (``det``, STINS) and a scan engine (``scan``, Contrast) that were in step.

    Parameters
    ----------
    path : Path
        The file.
    n_events : int
        Triggers.
    lost : frozenset of int
        Frames of the detector, from 0, that are not there.
    shape : (int, int)
        Of the frames (slow, fast) [px], uint16.
    """
    when = datetime(2026, 11, 21, tzinfo=UTC)
    scan: dict[str, Any] = {"path": "data", "scannr": 7, "description": f"ascan sx 0 1 {n_events} 0.01"}

    def both(det: Any, contrast: Any) -> dict[str, StreamData]:
        streams = {"scan": StreamData("contrast", contrast.to_frames())}
        return streams if det is None else {"det": det.to_stream_data()} | streams

    with CaptureWriter(path) as writer:
        writer.write(0, both(StinsStart(msg_number=0, filename="raw/det.h5"), ContrastStarted(**scan)), when)
        for frame in range(n_events):
            image = StinsImage(msg_number=frame + 1, frame=frame, shape=list(shape), type="uint16", compression="none")
            image.data = ((np.arange(shape[0] * shape[1]) * 7 + frame * 13) % 251).astype(np.uint16).reshape(shape)
            position: dict[str, Any] = {"sx": frame * 0.5}  # a key of the beamline
            point = ContrastRunning(dt=frame * 0.01, **position)
            writer.write(frame + 1, both(None if frame in lost else image, point), when)
        writer.write(n_events + 1, both(StinsEnd(msg_number=n_events + 1), ContrastFinished(**scan)), when)
    return path


def captured(path: Path, protocol: str, stream: str, **options: Any) -> dict[str, Any]:
    """Return the keys of a stream that plays a capture as fast as it is taken."""
    return {"transport": "capture", "address": str(path), "protocol": protocol, "stream": stream, "speed": 0} | options


def write_beamline(
    folder: Path,
    use: str,
    streams: Mapping[str, Mapping[str, Any]],
    *,
    analysis: tuple[str, str] = (f"{ANALYSIS}:OrderedWorker", f"{ANALYSIS}:OrderedReducer"),
    parameters: Mapping[str, int] | None = None,
    **sections: Mapping[str, Any],
) -> Beamline:
    """Write a beamline file with an output file a scan into a folder, and read it."""
    folder.mkdir(parents=True, exist_ok=True)
    whole: dict[str, Mapping[str, Any]] = {
        "pipeline": {"worker": analysis[0], "reducer": analysis[1]},
        "engine": {"use": use},
        "output": {"file": "out_{scan}.h5"},
        **{f"streams.{name}": options for name, options in streams.items()},
        "parameters": parameters or {},
    }
    for name, options in sections.items():
        whole[name] = {**whole.get(name, {}), **options}
    lines = [f"[{name}]\n" + "".join(map(_line, options.items())) for name, options in whole.items() if options]
    path = folder / "beamline.toml"
    path.write_text("\n".join(lines))
    return load_beamline(path)


def _line(item: tuple[str, Any]) -> str:
    key, value = item
    if isinstance(value, bool):
        return f"{key} = {str(value).lower()}\n"
    return f"{key} = {value!r}\n" if isinstance(value, int | float) else f'{key} = "{value}"\n'


def has_ended(n_scans: int = 1) -> Callable[[dict[str, Any]], bool]:
    """Return a condition for `LiveEngine.wait_for_report`: so many scans have begun and none runs."""
    return lambda report: report.get("n_scans", 0) >= n_scans and not report["is_running"]


def output_of(beamline: Beamline, scan_id: str) -> dict[str, Any]:
    """Return the content of a scan's output file by path, but for what differs from run to run."""
    found: dict[str, Any] = {}

    def visit(name: str, node: Any) -> None:
        if isinstance(node, h5py.Dataset) and name != f"{ACCOUNT_GROUP}/scan_id":
            value = node[()]
            found[name] = value.tolist() if isinstance(value, np.ndarray | np.generic) else value

    with h5py.File(beamline.path.parent / f"out_{scan_id}.h5", "r") as file:
        file.visititems(visit)
    return found


def run_once(make: MakeEngine, beamline: Beamline) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run until the first scan is over; return what is in its output file, and the last report."""
    with make(beamline) as run:
        if not run.wait_for_report(has_ended(), LIMIT_S):
            raise AssertionError(f"the scan did not end within {LIMIT_S:.0f} s: {run.report} {run.failures}")
        return output_of(beamline, run.report["scan_id"]), run.report
