"""The kernels beside the field's reference programs: the same frames, in turns, one thread each, in one run.

    python benchmarks/kernels.py [--all] [--rounds 15] [--om PYTHON] [--dials PYTHON] [--dectris PYTHON]

Peers: DECTRIS' own compression library (installed into ``build/peer-dectris``; may need a C++ compiler),
pyFAI (of this environment), DIALS (Debian's python3-dials), OM (a Python with the wheel ``ondamonitor``, also named by
OM_PYTHON). One that is not there is left out, and that is said. Times are processor times, because those hardly depend
on what else the machine does, medians of the rounds; wall times stand beside them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from kernels_frames import PEAKS, Case, make_frame, write_inputs, write_picture

from glimt.app.analyse_files import ImageGroup
from glimt.app.analyse_group import AnalysisOptions, GroupAnalysis
from glimt.codecs.pixels import decode_pixels
from glimt.kernels.azimuthal import AzimuthalIntegrator
from glimt.kernels.components import label_components, measure_components
from glimt.kernels.peakfinder8 import Peakfinder8, Peakfinder8Parameters
from glimt.kernels.radius_map import flat_radius_map
from glimt.kernels.spots import SPOT
from glimt.kernels.strong_pixels import StrongPixelFinder
from glimt.pipeline.workers.image_analysis import ImageAnalyzer, geometry_of
from glimt.pipeline.workers.spot_options import SpotOptions

PEERS = Path(__file__).with_name("kernels_peers.py")
BUILD = Path(__file__).resolve().parents[1] / "build" / "peer-dectris"
CASES = [
    Case((2162, 2068), "uint16", 0.9), Case((2162, 2068), "uint32", 0.9), Case((2162, 2068), "uint16", 0.15),
    Case((2162, 2068), "uint16", 3.0), Case((4371, 4150), "uint16", 0.9), Case((4371, 4150), "uint32", 0.9),
]  # fmt: skip
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), "1")

HEADING = "| work | glimt CPU ms | wall | peer CPU ms | wall | ratio | peer |\n|---|---|---|---|---|---|---|"

Work = Callable[[], Any]
START = """
import time, sys
began = time.perf_counter()
from pathlib import Path
from glimt.app.analyse_files import ImageGroup
from glimt.app.analyse_group import AnalysisOptions, GroupAnalysis
image = GroupAnalysis(ImageGroup((sys.argv[1],), (1,)), AnalysisOptions()).analyse(0)
assert image.quality, image.error
print(time.perf_counter() - began, time.process_time())
"""


class Peer:
    """A peer's process; asked to do its work once, it tells how long that took."""

    def __init__(self, python: str | None, what: str, folder: Path) -> None:
        self.title, self.why_not = what, ""
        if python is None:
            self.why_not = "no Python that has it was named"
            return
        self._process = subprocess.Popen(
            [python, "-W", "ignore", str(PEERS), what, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=os.environ | ONE_THREAD,
        )  # fmt: skip
        line = self._process.stdout.readline() if self._process.stdout else ""
        if line:
            self.title = line.strip()
            return
        told = self._process.communicate()[1].strip().splitlines()
        self.why_not = told[-1][:100] if told else "it ended at once"

    def time(self) -> tuple[float, float]:
        """Return the processor time and the wall time of the work done once [s]."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("once\n")
        self._process.stdin.flush()
        cpu, wall = self._process.stdout.readline().split()
        return float(cpu), float(wall)

    def end(self) -> None:
        """End the process."""
        if not self.why_not:
            self._process.communicate()


def timed(work: Work) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def compare(name: str, ours: Work, peer: Peer | None, n_rounds: int) -> None:
    """Print a line of the table."""
    ours()
    own, theirs = [], []
    for _ in range(n_rounds):
        own.append(timed(ours))
        if peer is not None and not peer.why_not:
            theirs.append(peer.time())
    cpu, wall = (1e3 * statistics.median(column) for column in zip(*own, strict=True))
    line = f"| {name} | {cpu:.3g} | {wall:.3g} |"
    if theirs and peer is not None:
        peer_cpu, peer_wall = (1e3 * statistics.median(column) for column in zip(*theirs, strict=True))
        line += f" {peer_cpu:.3g} | {peer_wall:.3g} | {peer_cpu / cpu:.1f} | {peer.title} |"
        peer.end()
    else:
        line += f" | | | {'' if peer is None else f'left out, {peer.title}: {peer.why_not}'} |"
    print(line, flush=True)


def dectris_python(given: str | None) -> str | None:
    """Return a Python with DECTRIS' library, installed if need be; ``None`` if it cannot be built here."""
    python = BUILD / "bin" / "python"
    if given or python.exists():
        return given or str(python)
    venv.create(BUILD, with_pip=True)
    wanted = [str(python), "-m", "pip", "install", "-q", "dectris-compression==0.4.0", "numpy"]
    done = subprocess.run(wanted, capture_output=True, text=True)
    return str(python) if done.returncode == 0 else None


def run_case(case: Case, arguments: argparse.Namespace) -> None:
    """Print the table of one kind of frame."""
    print(f"\n{case.title}; load average {os.getloadavg()[0]:.1f}\n")
    print(HEADING)
    frame, mask = make_frame(case)
    rounds = arguments.rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        payload, out = write_inputs(folder, case, frame, mask), np.empty_like(frame)

        def decode() -> Any:
            return decode_pixels(
                payload,
                compression="bslz4",
                framing="hdf5",
                shape=case.shape,
                dtype=case.dtype,
                where="benchmark",
                out=out,
            )

        compare("decode bslz4", decode, Peer(arguments.dectris, "dectris", folder), rounds)
        integrator = AzimuthalIntegrator(case.poni, 1000, mask=mask)
        compare(
            "azimuthal, 1000 bins, sigma",
            lambda: integrator.integrate(frame),
            Peer(sys.executable, "pyfai", folder),
            rounds,
        )
        finder = StrongPixelFinder(case.shape, mask=mask)
        compare("dispersion", lambda: finder.find(frame), Peer(arguments.dials, "dials_dispersion", folder), rounds)
        extended = StrongPixelFinder(case.shape, mask=mask, threshold="dispersion_extended")
        compare(
            "dispersion extended", lambda: extended.find(frame), Peer(arguments.dials, "dials_extended", folder), rounds
        )
        pixels = finder.find(frame)

        def components() -> Any:
            labels, n_spots = label_components(pixels, case.shape)
            rows = np.zeros(n_spots, SPOT)
            measure_components(frame, pixels, labels, rows)

        named = f"components, centroids of {pixels.size} strong pixels"
        compare(named, components, Peer(arguments.dials, "dials_components", folder), rounds)
        radius = flat_radius_map(case.shape, (case.shape[0] / 2, case.shape[1] / 2), truncated=True)
        peaks = Peakfinder8(radius, Peakfinder8Parameters(**PEAKS), mask=mask)
        compare("peakfinder8", lambda: peaks.find(frame), Peer(arguments.om, "om", folder), rounds)
        for algorithm in ("dispersion", "dispersion_extended"):
            options = SpotOptions(algorithm=algorithm)
            geometry = geometry_of(case.poni, sensor_thickness_m=0.45e-3, sensor_material="Si")
            analyzer = ImageAnalyzer(geometry, options=options, mask=mask, saturation_value=60000)

            def analyze(analyzer: ImageAnalyzer = analyzer) -> Any:
                decode()
                return analyzer.analyze(out)

            compare(f"compressed frame to nine statistics, {algorithm}", analyze, None, rounds)


def run_picture(arguments: argparse.Namespace) -> None:
    """Print the table of a real image."""
    with tempfile.TemporaryDirectory() as name:
        path = write_picture(Path(name))
        if path is None:
            print("\nA real image beside DIALS and the start-up are left out: the recordings are not here.")
            return
        print(f"\nA PILATUS 6M image (2527×2463 int32, CBF); load average {os.getloadavg()[0]:.1f}\n")
        print(HEADING)
        for algorithm in ("dispersion", "dispersion_extended"):
            options = AnalysisOptions(SpotOptions(algorithm=algorithm))
            analysis = GroupAnalysis(ImageGroup((str(path),), (1,)), options)
            analysis.analyse(0)  # opens the file, makes what is made once
            peer = Peer(arguments.dials, f"dials_work_{algorithm}", Path(name))
            compare(
                f"file to nine statistics, {algorithm}",
                partial(analysis.analyse, 0),
                peer,
                max(3, arguments.rounds // 3),
            )
        start_up(str(path))


def start_up(path: str) -> None:
    """Print how long the first analysis of a new process takes; the second of three runs has warm caches."""
    runs = []
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(3):
        told = subprocess.run([sys.executable, "-c", START, path], capture_output=True, text=True, check=True, env=kept)
        runs.append([float(part) for part in told.stdout.split()])
    wall, cpu = min(runs)
    print(f"\nFirst analysis of a new process, imports included: {wall:.2f} s wall, {cpu:.2f} s of processor time.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="other backgrounds, uint32 and the large detector as well")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--dials", default="/usr/bin/python3" if Path("/usr/bin/python3").exists() else None)
    parser.add_argument("--om", default=os.environ.get("OM_PYTHON"))
    parser.add_argument("--dectris")
    arguments = parser.parse_args()
    os.environ.update(ONE_THREAD)
    arguments.dectris = dectris_python(arguments.dectris)
    processor = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                      if line.startswith("model name")), "?")  # fmt: skip
    print(f"{processor}, {os.cpu_count()} cores; one thread; medians of {arguments.rounds} rounds, in turns.")
    for case in CASES if arguments.all else CASES[:1]:
        run_case(case, arguments)
    run_picture(arguments)


if __name__ == "__main__":
    main()
