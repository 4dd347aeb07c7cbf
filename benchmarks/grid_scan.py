"""A grid scan through the whole recipe: how soon an image has its row in the database, and how many images a second.

    ./x python benchmarks/grid_scan.py [--images 1000] [--rates 50 100] [--real FOLDER] [--broker URL] [--results URL]

`glimt serve` runs all services; another process writes CBF files as a detector does, by renaming. The time is from the
moment a file is whole until a reader of the database sees its row, asked every 2 ms; up to 100 rows are one
transaction. ``all at once`` is how fast the recipe is when the images are there already. With ``--real``, also the
images in a folder (``.cbf``, ``.cbf.bz2``), in turn, at 10 a second. Everything shares the machine's cores.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from grid_scan_rig import GridScanSite, grid_scan_site

LOOK_S = 0.002
PATIENCE_S = 600.0

_RUNS = itertools.count(1)


def measure(site: GridScanSite, title: str, n_images: int, rate_hz: float, *options: str) -> str:
    """Run a scan; return a line of the table."""
    folder = site.images / f"scan-{next(_RUNS)}"
    report = site.folder / f"{folder.name}.json"
    words = ["--name", "scan_1", "--images", str(n_images), "--rate", str(rate_hz), *options, "--report", str(report)]
    template = str(folder / "scan_1_#####.cbf")
    if not rate_hz:
        site.simulate(folder, *words).wait()
    began = time.time()
    run, dcid = site.go(
        "per-image-analysis-gridscan", "--images", template, "--last", str(n_images), "--grid", f"{n_images}x1"
    )
    if rate_hz:
        began = time.time()
        site.simulate(folder, *words)
    seen_at = rows_as_they_come(site, dcid, n_images)
    in_rows = max(seen_at.values())
    site.wait_for_scan(dcid, run, n_images)
    images = json.loads(report.read_text())["images"]
    written_at = {image["number"]: image["written_ns"] / 1e9 for image in images}
    late = sorted(1e3 * (seen_at[number] - written_at[number]) for number in seen_at)
    times = f"{statistics.median(late):.0f} | {late[int(0.99 * (len(late) - 1))]:.0f} | {late[-1]:.0f}"
    first = min(written_at.values()) if rate_hz else began
    throughput = n_images / (in_rows - first)
    load = os.getloadavg()[0]
    return f"| {title} | {times if rate_hz else '- | - | -'} | {throughput:.0f} | {load:.1f} |"


def rows_as_they_come(site: GridScanSite, dcid: int, n_images: int) -> dict[int, float]:
    """Return when each image had a row [s, UTC]."""
    seen: dict[int, float] = {}
    deadline = time.monotonic() + PATIENCE_S
    with site.reading() as ask:
        while len(seen) < n_images:
            rows = ask("SELECT imageNumber FROM ImageQualityIndicators WHERE dataCollectionId = :dcid", dcid=dcid)
            now = time.time()
            for (number,) in rows:
                seen.setdefault(number, now)
            if time.monotonic() > deadline:
                raise SystemExit(f"{len(seen)} of {n_images} images have rows\n{site.log[-3000:]}")
            time.sleep(LOOK_S)
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--rates", type=float, nargs="*", default=[50.0, 100.0])
    parser.add_argument("--shape", default="256x256")
    parser.add_argument("--real", type=Path, help="a folder with CBF files")
    parser.add_argument("--broker", default="", help="else SQLite")
    parser.add_argument("--results", default="", help="else SQLite")
    arguments = parser.parse_args()
    print(
        "| images | median [ms] | p99 [ms] | longest [ms] | images/s | load average |\n|---|---|---|---|---|---|",
        flush=True,
    )
    small = ("--shape", arguments.shape)
    with (
        tempfile.TemporaryDirectory() as folder,
        grid_scan_site(Path(folder) / "site", broker_url=arguments.broker, results_url=arguments.results) as site,
    ):
        site.serve()
        measure(site, "to warm up", 50, 0, *small)
        for rate_hz in arguments.rates:
            print(measure(site, f"{arguments.shape}, {rate_hz:g} Hz", arguments.images, rate_hz, *small), flush=True)
        print(measure(site, f"{arguments.shape}, all at once", arguments.images, 0, *small), flush=True)
        if arguments.real is not None:
            real = ("--from", str(arguments.real))
            print(measure(site, "real, 10 Hz", 100, 10, *real), flush=True)
            print(measure(site, "real, all at once", 100, 0, *real), flush=True)


if __name__ == "__main__":
    main()
