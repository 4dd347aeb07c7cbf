"""Run OM's peakfinder8 on frames, in an environment of its own that has the wheel ``ondamonitor``.

Called with a file of arrays (frames, good, radius), a file to write, and the parameters in JSON; writes one table per
frame with fs, ss, intensity, pixels, maximum and what OM calls snr, and prints the median time of a frame [s].
"""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np
from om.algorithms.crystallography import Peakfinder8PeakDetection  # type: ignore[import-not-found]  # not ours

COLUMNS = ("fs", "ss", "intensity", "num_pixels", "max_pixel_intensity", "snr")


def main() -> None:
    given, wanted, text = sys.argv[1:]
    arrays, options = np.load(given), json.loads(text)
    finder = Peakfinder8PeakDetection(
        radius_pixel_map=arrays["radius"].astype(np.float32),
        layout_info=options["layout"],
        crystallography_parameters={**options["parameters"], "min_res": 0, "max_res": 10**6, "fast_mode": False},
    )
    finder.set_bad_pixel_map(bad_pixel_map=arrays["good"].astype(np.int64))
    tables, times = [], []
    for frame in arrays["frames"]:
        start = time.perf_counter()
        found = finder.find_peaks(data=frame)
        times.append(time.perf_counter() - start)
        tables.append(np.array([found[name] for name in COLUMNS], np.float64).T.reshape(-1, len(COLUMNS)))
    np.savez(wanted, *tables)
    sys.stdout.write(f"{statistics.median(times)}\n")


if __name__ == "__main__":
    main()
