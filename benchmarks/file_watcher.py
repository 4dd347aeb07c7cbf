"""How soon the file watcher tells of an image: from the moment it is whole on disk until its message is received.

    ./x python benchmarks/file_watcher.py [--images 500] [--rate 100] [--waiting 10] [--broker URL]

A simulated collection, the service, and the receiver are processes of their own that share the machine's cores; the
broker is SQLite unless told otherwise. Zocalo's watcher looks once a second: its messages are 0.5 s late on average.
``CPU`` is that of the service, of one core: while recipes wait for files that do not come, and while images come.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from subprocess import Popen
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from file_watching import WatchingRig, watching_rig

CASES: dict[str, tuple[str, dict[str, Any], str]] = {
    "CBF files": ("cbf", {}, "auto"),
    "CBF files, no notice": ("cbf", {}, "never"),
    "virtual dataset, 4 data files": ("nxmx-vds", {"parallel_files": 4}, "auto"),
    "linked data files": ("nxmx-links", {"images_per_file": 100}, "auto"),
    "linked data files, no notice": ("nxmx-links", {"images_per_file": 100}, "never"),
}


def cpu_s(process: Popen[str]) -> float:
    """Return how long a process has computed."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def share(process: Popen[str], seconds: float) -> float:
    """Return which part of a core a process takes meanwhile."""
    before = cpu_s(process)
    time.sleep(seconds)
    return (cpu_s(process) - before) / seconds


def measure(rig: WatchingRig, form: str, options: dict[str, Any], notice: str, arguments: argparse.Namespace) -> str:
    service = rig.start_service(notice)
    for k in range(arguments.waiting):
        rig.watch({"list": [str(rig.folder / f"never-{k}")], "timeout": 1000})
    time.sleep(3)
    idle = share(service, 10)
    path = {"pattern": str(rig.folder / "c" / "sim_%05d.cbf"), "pattern-start": 1, "pattern-end": arguments.images}
    rig.watch(path if form == "cbf" else {"hdf5": str(rig.folder / "c" / "sim_master.h5")})
    time.sleep(1)
    writer = rig.start_collection(images=arguments.images, rate=arguments.rate, form=form, **options)
    before, began = cpu_s(service), time.monotonic()
    rig.receive_until_final()
    busy = (cpu_s(service) - before) / (time.monotonic() - began)
    writer.wait()
    written = {image["number"]: image["written_ns"] / 1e9 for image in rig.report()["images"]}
    late = sorted(1e3 * (t - written[each["file-number"]]) for name, each, t in rig.told if name == "every")
    if len(late) != arguments.images:
        raise SystemExit(f"{len(late)} of {arguments.images} images were told")
    p99 = late[int(0.99 * len(late))]
    return f"{statistics.median(late):.2f} | {p99:.1f} | {late[-1]:.1f} | {100 * idle:.1f} | {100 * busy:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--waiting", type=int, default=10, help="recipes that wait in vain meanwhile")
    parser.add_argument("--broker", default="", help="an empty one; queues are made in it")
    arguments = parser.parse_args()
    print(
        "| images | median [ms] | p99 [ms] | longest [ms] | CPU waiting [%] | CPU busy [%] |\n|---|---|---|---|---|---|"
    )
    for title, (form, options, notice) in CASES.items():
        with tempfile.TemporaryDirectory() as folder, watching_rig(Path(folder), arguments.broker) as rig:
            print(f"| {title} | {measure(rig, form, options, notice, arguments)} |", flush=True)


if __name__ == "__main__":
    main()
