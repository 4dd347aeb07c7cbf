"""One peer for ``benchmarks/kernels.py``: a program for the Python that has it, which knows nothing of glimt.

``kernels_peers.py WHAT FOLDER``: gets ready, prints a line about itself, and then for every line on its standard input
does the work once and prints the processor time and the wall time it took [s].
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

Work = Callable[[], Any]


def dectris(folder: Path) -> tuple[str, Work]:
    from dectris.compression import decompress

    payload, itemsize = (folder / "frame.bslz4").read_bytes(), np.load(folder / "frame.npy").itemsize
    return "dectris-compression", lambda: decompress(payload, "bslz4", elem_size=itemsize)


def pyfai(folder: Path) -> tuple[str, Work]:
    import pyFAI
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    frame, mask, wanted = (
        np.load(folder / "frame.npy"),
        np.load(folder / "mask.npy"),
        json.loads((folder / "geometry.json").read_text()),
    )
    integrator = AzimuthalIntegrator(**wanted)
    best: tuple[float, str, Work] | None = None
    for algorithm in ("csc", "csr", "lut", "histogram"):
        method = ("no", algorithm, "cython")

        def work(method: tuple[str, str, str] = method) -> Any:
            return integrator.integrate1d_ng(
                frame, 1000, unit="q_A^-1", mask=mask, method=method, error_model="poisson", correctSolidAngle=True
            )

        work()
        took = min(_timed(work)[0] for _ in range(3))
        if best is None or took < best[0]:
            best = took, algorithm, work
    assert best is not None
    return f"pyFAI {pyFAI.version}, no split, {best[1]} cython", best[2]


def _dials_threshold(folder: Path, algorithm: str) -> tuple[Any, Any, Work]:
    from dials.algorithms.image import threshold
    from dials.array_family import flex

    frame = flex.double(np.load(folder / "frame.npy").astype(np.float64))
    good = flex.bool(~np.load(folder / "mask.npy"))
    strong = flex.bool(frame.accessor(), False)
    finder = getattr(threshold, algorithm)(frame.all(), (3, 3), 6, 3, 0, 2)
    return frame, strong, lambda: finder(frame, good, strong)


def dials_dispersion(folder: Path) -> tuple[str, Work]:
    return "DIALS DispersionThreshold", _dials_threshold(folder, "DispersionThreshold")[2]


def dials_extended(folder: Path) -> tuple[str, Work]:
    return "DIALS DispersionExtendedThreshold", _dials_threshold(folder, "DispersionExtendedThreshold")[2]


def dials_components(folder: Path) -> tuple[str, Work]:
    from dials.model.data import PixelList, PixelListLabeller

    frame, strong, work = _dials_threshold(folder, "DispersionThreshold")
    work()

    def label() -> Any:
        labeller = PixelListLabeller()
        labeller.add(PixelList(0, frame, strong))
        return labeller.labels_2d()

    return "DIALS PixelList, labels_2d", label


def dials_work(folder: Path, algorithm: str) -> tuple[str, Work]:
    from dials.command_line import find_spots_server

    path = str(folder / "frame_0001.cbf")

    def work() -> Any:
        with contextlib.redirect_stdout(io.StringIO()):
            return find_spots_server.work(path, [f"threshold.algorithm={algorithm}"])

    return "DIALS find_spots_server.work", work


def om(folder: Path) -> tuple[str, Work]:
    from om.algorithms.crystallography import Peakfinder8PeakDetection

    options = json.loads((folder / "peaks.json").read_text())
    finder = Peakfinder8PeakDetection(
        radius_pixel_map=np.load(folder / "radius.npy"),
        layout_info=options["layout"],
        crystallography_parameters={**options["parameters"], "min_res": 0, "max_res": 10**6, "fast_mode": False},
    )
    finder.set_bad_pixel_map(bad_pixel_map=(~np.load(folder / "mask.npy")).astype(np.int64))
    frame = np.load(folder / "frame.npy")
    return "OM peakfinder8", lambda: finder.find_peaks(data=frame)


def _timed(work: Work) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


PEERS: dict[str, Callable[[Path], tuple[str, Work]]] = {
    "dectris": dectris, "pyfai": pyfai, "dials_dispersion": dials_dispersion, "dials_extended": dials_extended,
    "dials_components": dials_components, "dials_work_dispersion": partial(dials_work, algorithm="dispersion"),
    "dials_work_dispersion_extended": partial(dials_work, algorithm="dispersion_extended"), "om": om,
}  # fmt: skip


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not an answer
    title, work = PEERS[sys.argv[1]](Path(sys.argv[2]))
    work()
    print(title, file=answers, flush=True)
    for _ in sys.stdin:
        cpu, wall = _timed(work)
        print(cpu, wall, file=answers, flush=True)


if __name__ == "__main__":
    main()
