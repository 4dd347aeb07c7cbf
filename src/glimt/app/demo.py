"""The demonstration: a detector in a process of its own, a recording of it, and an analysis of the recording."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from glimt.app.record import Recording, RecordOptions
from glimt.app.replay import ReplayOptions, replay
from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from glimt.codecs.protocol import WireProtocol
    from glimt.pipeline.report import RunReport

_SILENCE_S = 30.0
_EXIT_S = 5.0


@dataclass(frozen=True, slots=True)
class DemoPaths:
    """The files of a demonstration, all in one folder that is its own."""

    folder: Path

    @property
    def raw(self) -> Path:
        """What the detector says where it writes; nothing does."""
        return self.folder / "powder.h5"

    @property
    def capture(self) -> Path:
        """The recording."""
        return self.folder / "powder.cbors"

    @property
    def parameters(self) -> Path:
        """Values of the analysis's parameters."""
        return self.folder / "powder_parameters.json"

    @property
    def processed(self) -> Path:
        """What the analysis found."""
        return self.folder / "powder_processed.h5"

    @property
    def picture(self) -> Path:
        """The picture of it."""
        return self.folder / "powder.png"


@dataclass(frozen=True, slots=True)
class Simulation:
    """What the detector of the demonstration does.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns [px].
    n_frames : int
        Frames of the one series.
    rate_hz : float
        Frames a second; 0 is as fast as they are received.
    """

    shape: tuple[int, int]
    n_frames: int
    rate_hz: float


def write_parameters(path: Path, values: Mapping[str, int]) -> None:
    """Write a parameter file as ``glimt replay -p`` reads it.

    Raises
    ------
    UsageError
        It cannot be written.
    """
    entries = [{"name": name, "data": str(value)} for name, value in values.items()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(entries, indent=1) + "\n")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}; choose another --folder") from None


def record_simulation(
    simulation: Simulation,
    protocol: WireProtocol,
    paths: DemoPaths,
    *,
    stream: str,
    should_stop: Callable[[], bool] = lambda: False,
    progress: Callable[[int, float | None], None] | None = None,
) -> Recording:
    """Start the simulator as a process, record what it sends over ZeroMQ, and return the recording.

    Raises
    ------
    UsageError, StoreError
        The simulator does not run, or the capture cannot be written.
    KeyboardInterrupt
        ``should_stop`` said so.
    """
    # The recording binds and the simulator connects: so a free port is found without a race.
    options = RecordOptions(
        protocol=protocol,
        address="tcp://127.0.0.1:*",
        output=paths.capture,
        stream=stream,
        bind=True,
        timeout_s=_SILENCE_S,
        mode="overwrite",
    )
    with (
        Recording(options, progress=progress) as recording,
        _simulator(simulation, recording.address, paths) as simulator,
    ):
        recording.run(lambda: should_stop() or simulator.has_failed())
        if should_stop():
            raise KeyboardInterrupt
        if not recording.account.n_ended:
            raise UsageError(f"the simulator sent no whole series; its last words: {simulator.last_words()}")
    return recording


@dataclass(frozen=True, slots=True)
class _SimulatorProcess:
    process: subprocess.Popen[bytes]
    complaints: IO[bytes]

    def has_failed(self) -> bool:
        return self.process.poll() not in {None, 0}

    def last_words(self) -> str:
        self.complaints.seek(0)
        lines = self.complaints.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with code {self.process.poll()}"


@contextmanager
def _simulator(simulation: Simulation, address: str, paths: DemoPaths) -> Iterator[_SimulatorProcess]:
    command = [
        sys.executable, "-m", "glimt", "simulate", "stins", "--connect",
        "--address", address,
        "--shape", "x".join(map(str, simulation.shape)),
        "--frames", str(simulation.n_frames),
        "--rate", str(simulation.rate_hz),
        "--filename", str(paths.raw),
        "--timeout", str(_SILENCE_S),
    ]  # fmt: skip
    with tempfile.TemporaryFile() as complaints:
        # A process group of its own: Ctrl-C is for the demonstration, which then ends the simulator.
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=complaints, process_group=0
        )
        try:
            yield _SimulatorProcess(process, complaints)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_EXIT_S)
        finally:
            process.kill()
            process.wait()


def analyze(paths: DemoPaths, *, worker: str, reducer: str, n_workers: int = 1) -> RunReport:
    """Replay the recording through the example and return the account of it."""
    options = ReplayOptions(
        worker=worker,
        reducer=reducer,
        files=[paths.capture],
        parameter_file=paths.parameters,
        n_workers=n_workers,
    )
    return replay(options)
