"""The kernels beside the field's reference programs: the same frames, in turns, one thread each, in one run.

    python benchmarks/kernels.py [--all] [--rounds 15] [--om PYTHON] [--dials PYTHON] [--dectris PYTHON]

``--all`` prints every line that is wanted: frames of 2162×2068 uint16 with 0.9, 0.15 and 3 counts a pixel, the same
detector in uint32, 4371×4150 in uint16 and uint32, a real image from its file, and the start-up of a process.

Peers: DECTRIS' own compression library (installed into ``build/peer-dectris``; may need a C++ compiler), pyFAI (of this
environment), DIALS (Debian's python3-dials), OM (a Python with ``ondamonitor``: ``--om``, OM_PYTHON, or what
``tests/peers/make_om.py`` made). None has to be there: one that is not is left out, and the table says how to get it.
Times are processor times, because those hardly depend on what else the machine does, medians of the rounds; wall times
stand beside them. What is wanted was agreed for 2162×2068 uint16 with 0.9 counts; other tables show it to compare.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from kernels_frames import PEAKS, Case, make_frame, write_inputs, write_picture
from kernels_sides import (
    HEADING,
    ONE_THREAD,
    Bar,
    Work,
    compare,
    dectris_python,
    dials_python,
    om_python,
    peer,
    pyfai_python,
)

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

CASES = [
    Case((2162, 2068), "uint16", 0.9), Case((2162, 2068), "uint16", 0.15), Case((2162, 2068), "uint16", 3.0),
    Case((2162, 2068), "uint32", 0.9), Case((4371, 4150), "uint16", 0.9), Case((4371, 4150), "uint32", 0.9),
]  # fmt: skip

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
START_INTEGRATION = """
import time
began = time.perf_counter()
import numpy as np
from glimt.kernels.azimuthal import AzimuthalIntegrator
from glimt.model.geometry import Detector, Poni
integrator = AzimuthalIntegrator(Poni(Detector(75e-6, 75e-6, (2162, 2068)), 0.15, 0.08, 0.08, wavelength=1e-10), 1000)
assert integrator.integrate(np.ones((2162, 2068), np.uint16)).intensity.size == 1000
print(time.perf_counter() - began, time.process_time())
"""


def _most(case: Case, ms: float) -> Bar:
    """Return a limit of time, which is wanted of detectors of the usual size alone."""
    return Bar(most_ms=ms) if case.shape == CASES[0].shape else Bar()


def run_case(case: Case, arguments: argparse.Namespace) -> None:
    """Print the table of one kind of frame."""
    print(f"\n{case.title}; load average {os.getloadavg()[0]:.1f}\n")
    print(HEADING)
    frame, mask = make_frame(case)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        payload, out = write_inputs(folder, case, frame, mask), np.empty_like(frame)

        def beside(what: str, python: str | None, named: str, ours: Work, bar: Bar, before: Work | None = None) -> None:
            with peer(python, what, folder) as other:
                compare(named, ours, other, arguments.rounds, bar, before=before)

        def decode() -> Any:
            return decode_pixels(
                payload, compression="bslz4", framing="hdf5", shape=case.shape, dtype=case.dtype, where="benchmark",
                out=out,
            )  # fmt: skip

        beside("dectris", arguments.dectris, "decode bslz4", decode, Bar(1))
        integrator = AzimuthalIntegrator(case.poni, 1000, mask=mask)
        integrate = partial(integrator.integrate, frame)
        beside("pyfai", arguments.pyfai, "azimuthal, 1000 bins, sigma", integrate, Bar(12))
        finder = StrongPixelFinder(case.shape, mask=mask)
        beside("dials_dispersion", arguments.dials, "dispersion", partial(finder.find, frame), Bar(10))
        extended = StrongPixelFinder(case.shape, mask=mask, threshold="dispersion_extended")
        beside("dials_extended", arguments.dials, "dispersion extended", partial(extended.find, frame), Bar(5))
        pixels = finder.find(frame)

        def components() -> Any:
            labels, n_spots = label_components(pixels, case.shape)
            rows = np.zeros(n_spots, SPOT)
            measure_components(frame, pixels, labels, rows)

        # Always comes right after the search, which leaves its pixels in the cache; a peer's turn would take them away.
        named, search = f"components, centroids of {pixels.size} strong pixels", partial(finder.find, frame)
        beside("dials_components", arguments.dials, named, components, _most(case, 0.1), search)
        radius = flat_radius_map(case.shape, (case.shape[0] / 2, case.shape[1] / 2), truncated=True)
        peaks = Peakfinder8(radius, Peakfinder8Parameters(**PEAKS), mask=mask)
        beside("om", arguments.om, "peakfinder8", partial(peaks.find, frame), Bar(12))
        for algorithm in ("dispersion", "dispersion_extended"):
            options = SpotOptions(algorithm=algorithm)
            geometry = geometry_of(case.poni, sensor_thickness_m=0.45e-3, sensor_material="Si")
            analyzer = ImageAnalyzer(geometry, options=options, mask=mask, saturation_value=60000)

            def analyze(analyzer: ImageAnalyzer = analyzer) -> Any:
                decode()
                return analyzer.analyze(out)

            named = f"compressed frame to nine statistics, {algorithm}"
            compare(named, analyze, None, arguments.rounds, _most(case, 12.5))


def run_picture(arguments: argparse.Namespace) -> None:
    """Print the table of a real image."""
    with tempfile.TemporaryDirectory() as name:
        path = write_picture(Path(name))
        if path is None:
            print("\nA real image beside DIALS and its start-up are left out: the recordings are not here.")
        else:
            print(f"\nA PILATUS 6M image (2527×2463 int32, CBF); load average {os.getloadavg()[0]:.1f}\n")
            print(HEADING)
            for algorithm in ("dispersion", "dispersion_extended"):
                options = AnalysisOptions(SpotOptions(algorithm=algorithm))
                analysis = GroupAnalysis(ImageGroup((str(path),), (1,)), options)
                analysis.analyse(0)  # opens the file, makes what is made once
                with peer(arguments.dials, f"dials_work_{algorithm}", Path(name)) as other:
                    work, rounds = partial(analysis.analyse, 0), max(3, arguments.rounds // 3)
                    compare(f"file to nine statistics, {algorithm}", work, other, rounds, Bar())
            start_up("First analysis of a CBF image in a new process", [START, str(path)])
        start_up("First azimuthal integration in a new process, 2162×2068", [START_INTEGRATION])


def start_up(what: str, script: list[str]) -> None:
    """Print how long a new process takes until its first result, imports included; the later runs have warm caches."""
    runs = []
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for _ in range(4):
        told = subprocess.run([sys.executable, "-c", *script], capture_output=True, text=True, check=True, env=kept)
        runs.append([float(part) for part in told.stdout.split()])
    wall, cpu = min(runs[1:])
    late = ", **missed**" if wall > 1.5 else ""
    load = os.getloadavg()[0]
    print(f"\n{what}: {wall:.2f} s wall, {cpu:.2f} s of processor time; wanted ≤ 1.5 s{late}; load average {load:.1f}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="other backgrounds, uint32 and the large detector as well")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--dials")
    parser.add_argument("--om", default=os.environ.get("OM_PYTHON"))
    parser.add_argument("--dectris")
    arguments = parser.parse_args()
    os.environ.update(ONE_THREAD)
    arguments.dectris, arguments.pyfai = dectris_python(arguments.dectris), pyfai_python()
    arguments.dials, arguments.om = dials_python(arguments.dials), om_python(arguments.om)
    processor = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                      if line.startswith("model name")), "?")  # fmt: skip
    print(f"{processor}, {os.cpu_count()} cores; one thread; medians of {arguments.rounds} rounds, in turns.")
    for case in CASES if arguments.all else CASES[:1]:
        run_case(case, arguments)
    run_picture(arguments)


if __name__ == "__main__":
    main()
