"""The two sides of ``benchmarks/kernels.py``: work of glimt, timed here, and a peer's process, which times itself."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Work = Callable[[], Any]

PEERS = Path(__file__).with_name("kernels_peers.py")
ROOT = Path(__file__).resolve().parents[1]
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), "1")
HOW = {
    "dectris": "python -m venv build/peer-dectris; build/peer-dectris/bin/pip install dectris-compression==0.4.0 numpy "
    "(needs a C++20 compiler: apt install g++ python3-venv)",
    "pyfai": "pip install pyFAI (it is in the development environment that ./x makes)",
    "dials": "apt install python3-dials, or --dials PYTHON",
    "om": "python tests/peers/make_om.py (needs a C++ compiler), or --om PYTHON or OM_PYTHON",
}
"""How to get each peer."""


class Peer:
    """A peer's process; asked to do its work once, it tells how long that took."""

    def __init__(self, python: str | None, what: str, folder: Path) -> None:
        self.title, self.why_not, self.how = what, "", HOW[what.split("_")[0]]
        if python is None:
            self.why_not = "no Python has it"
            return
        try:
            self._process = subprocess.Popen(
                [python, "-W", "ignore", str(PEERS), what, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, env=os.environ | ONE_THREAD,
            )  # fmt: skip
        except OSError as error:
            self.why_not = str(error)[:100]
            return
        line = self._process.stdout.readline() if self._process.stdout else ""
        if line:
            self.title = line.strip()
        else:
            self._say_why()

    def _say_why(self) -> None:
        told = self._process.communicate()[1].strip().splitlines()
        self.why_not = told[-1][:100] if told else "it ended"

    def time(self) -> tuple[float, float] | None:
        """Return the processor time and the wall time of the work done once [s]; ``None`` if it is not there."""
        if self.why_not:
            return None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("once\n")
            self._process.stdin.flush()
            cpu, wall = self._process.stdout.readline().split()
        except (OSError, ValueError):
            self._say_why()
            return None
        return float(cpu), float(wall)

    def end(self) -> None:
        """End the process."""
        if not self.why_not:
            self._process.communicate()


@contextmanager
def peer(python: str | None, what: str, folder: Path) -> Iterator[Peer]:
    """Have a peer for a while."""
    one = Peer(python, what, folder)
    try:
        yield one
    finally:
        one.end()


@dataclass(frozen=True, slots=True)
class Bar:
    """What is wanted: at least so many times as fast as the peer, or at most so many ms of processor time."""

    ratio: float = 0.0
    most_ms: float = 0.0

    def told(self, cpu_ms: float, ratio: float | None) -> str:
        """Return the text of the table's column."""
        if self.most_ms:
            return f"≤ {self.most_ms:g} ms{'' if cpu_ms <= self.most_ms else ', **missed**'}"
        if not self.ratio:
            return ""
        return f"≥ {self.ratio:g}{', **missed**' if ratio is not None and round(ratio, 1) < self.ratio else ''}"


HEADING = (
    "| work | glimt CPU ms | wall | peer CPU ms | wall | ratio | wanted | peer |\n|---|---|---|---|---|---|---|---|"
)


def timed(work: Work) -> tuple[float, float]:
    """Do it; return processor time and wall time [s]."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def _medians(times: list[tuple[float, float]]) -> tuple[float, float]:
    cpu, wall = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
    return cpu, wall


def compare(name: str, ours: Work, beside: Peer | None, n_rounds: int, bar: Bar, *, before: Work | None = None) -> None:
    """Print a line of the table: medians of rounds in which both sides work in turns; ``before`` is not timed."""
    ours()
    own, theirs = [], []
    for _ in range(n_rounds):
        if before is not None:
            before()
        own.append(timed(ours))
        took = beside.time() if beside is not None else None
        if took is not None:
            theirs.append(took)
    cpu, wall = _medians(own)
    line, ratio = f"| {name} | {cpu:.3g} | {wall:.3g} |", None
    if theirs and beside is not None:
        peer_cpu, peer_wall = _medians(theirs)
        ratio = peer_cpu / cpu
        line += f" {peer_cpu:.3g} | {peer_wall:.3g} | {ratio:.1f} |"
    else:
        line += " | | |"
    line += f" {bar.told(cpu, ratio)} |"
    if beside is not None:
        line += f" {beside.title}" if theirs else f" left out, {beside.why_not}; to have it: {beside.how}"
    print(line + " |", flush=True)


def dectris_python(given: str | None) -> str | None:
    """Return a Python with DECTRIS' library, installed if need be; ``None`` if it cannot be built here."""
    folder = ROOT / "build" / "peer-dectris"
    python = folder / "bin" / "python"
    if given:
        return given
    if not _imports(python, "dectris.compression"):
        try:
            venv.create(folder, with_pip=True)
        except (OSError, subprocess.SubprocessError):  # Debian's Python without python3-venv
            return None
        wanted = [str(python), "-m", "pip", "install", "-q", "dectris-compression==0.4.0", "numpy"]
        if subprocess.run(wanted, capture_output=True).returncode:
            return None
    return str(python)


def om_python(given: str | None) -> str | None:
    """Return a Python with OM if one was named or made; nothing is installed."""
    made = ROOT / "build" / "peer-om" / "bin" / "python"
    return given or (str(made) if _imports(made, "om") else None)


def dials_python(given: str | None) -> str | None:
    """Return a Python with DIALS: the one named, or Debian's."""
    system = Path("/usr/bin/python3")
    return given or (str(system) if _imports(system, "dials") else None)


def pyfai_python() -> str | None:
    """Return this Python if it has pyFAI."""
    return sys.executable if _imports(Path(sys.executable), "pyFAI") else None


def _imports(python: Path, module: str) -> bool:
    wanted = [str(python), "-W", "ignore", "-c", f"import {module}"]
    return python.exists() and subprocess.run(wanted, capture_output=True).returncode == 0
