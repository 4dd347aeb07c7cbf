"""A live run of glimt beside dranspose 0.2.0: the same sender, the same two classes, in pairs, in one run.

    ./x python benchmarks/live.py [--quick] [--pairs 5] [--only TEXT] [--peer /path/to/dranspose]

Without ``--peer`` a private environment with dranspose 0.2.0 is made in ``build/peer``. It needs Redis: the command
``redis-server``. Where the system allows it, everything runs in a network of its own, because dranspose listens on all
networks. Rates are told twice: *whole*, from the first image sent until the program says that the scan is over, and
*steady*, from the first to the last result in the reducer. Sender, program and reducer share the machine's cores.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import live_loopback
import numpy as np
from live_processes import cpu_s, memory
from live_sides import Dranspose, Glimt, NotEndedError, Program, Scan, Series, Side, free_port
from replay import make_peer

from glimt.codecs.pixels import encode_pixels

SMALL, LARGE = (10, 10), (2048, 2048)
MOST_TRIES = 3


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table.

    Attributes
    ----------
    title
        What is sent and done.
    frames : int
        For glimt.
    peer_frames : dict of int to int
        For dranspose: how many frames, by how many events of the map share a constraint. Empty leaves it out.
    """

    title: str
    shape: tuple[int, int]
    n_workers: int
    frames: int
    peer_frames: dict[int, int]
    worker: str = "Worker"
    compression: str = "none"
    rate_hz: float = 0.0


RATES = [
    Case("10×10 uint16, small tuple, 1 worker", SMALL, 1, 300_000, {1: 2000, 10: 4000, 100: 5000}),
    Case("10×10 uint16, small tuple, 2 workers", SMALL, 2, 300_000, {1: 2000, 10: 4000, 100: 5000}),
    Case("2048×2048 uint16, small tuple, 1 worker", LARGE, 1, 800, {1: 150, 10: 200}),
    Case("2048×2048 uint16, small tuple, 2 workers", LARGE, 2, 800, {1: 150, 10: 200}),
    Case("2048×2048 uint16, mean, 1 worker", LARGE, 1, 500, {1: 150, 10: 200}, "Mean"),
    Case("2048×2048 uint16, mean, 2 workers", LARGE, 2, 500, {1: 150, 10: 200}, "Mean"),
    Case("2048×2048 bslz4, decode, mean, 1 worker", LARGE, 1, 500, {}, "Mean", "bslz4"),
    Case("2048×2048 bslz4, decode, mean, 2 workers", LARGE, 2, 500, {}, "Mean", "bslz4"),
]
AGES = [
    Case("10×10 uint16, 50/s", SMALL, 1, 300, {1: 300}, rate_hz=50),
    Case("2048×2048 uint16, 50/s", LARGE, 1, 200, {1: 150}, rate_hz=50),
]
QUICK_RATES = [Case("10×10 uint16, small tuple, 1 worker", SMALL, 1, 60_000, {1: 800, 100: 1500})]
QUICK_AGES = [Case("10×10 uint16, 50/s", SMALL, 1, 100, {1: 100}, rate_hz=50)]


class Bench:
    """Starts sides in fresh folders.

    Parameters
    ----------
    folder : Path
        Everything is below it.
    peer : str
        The dranspose command.
    """

    def __init__(self, folder: Path, peer: str) -> None:
        self._folder = folder
        self._peer = peer
        self._n_sides = 0
        self._payloads: dict[tuple[tuple[int, int], str], tuple[Path, list[int]]] = {}

    def payload(self, shape: tuple[int, int], compression: str) -> tuple[Path, list[int]]:
        """Return a file of eight different images of Poisson noise, and their sizes."""
        made = self._payloads.get((shape, compression))
        if made is not None:
            return made
        rng = np.random.default_rng(1)
        images = [rng.poisson(1, shape).astype(np.uint16) for _ in range(8)]
        contents = [bytes(encode_pixels(image, compression=compression)) for image in images]
        path = self._folder / f"{shape[0]}-{compression}"
        path.write_bytes(b"".join(contents))
        made = self._payloads[shape, compression] = path, [len(content) for content in contents]
        return made

    def glimt(self, case: Case, *, use_map: bool = False) -> Glimt:
        """Start glimt."""
        folder, payload = self._fresh(case)
        return Glimt(folder, *payload, worker=case.worker, n_workers=case.n_workers, use_map=use_map)

    def dranspose(self, case: Case) -> Dranspose:
        """Start dranspose."""
        folder, payload = self._fresh(case)
        return Dranspose(folder, *payload, command=self._peer, worker=case.worker, n_workers=case.n_workers)

    def _fresh(self, case: Case) -> tuple[Path, tuple[Path, list[int]]]:
        self._n_sides += 1
        folder = self._folder / f"side-{self._n_sides}"
        folder.mkdir()
        return folder, self.payload(case.shape, case.compression)


def measure(side: Side, series: Series, cpu_us: dict[str, list[float]]) -> Scan:
    """Run a scan; note what each process used of a core for one event [µs]: other work on the machine hardly shows."""
    pids = side.pids | {"sender": side.sender.process.pid}
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    scan = side.scan(series)
    if scan.n_lost:
        print(f"  {side.name} lost {scan.n_lost} frames", flush=True)
    for name, pid in pids.items():
        cpu_us.setdefault(name, []).append((cpu_s(pid) - before[name]) / series.frames * 1e6)
    return scan


def pairs_of(
    bench: Bench, case: Case, n_pairs: int, cpu_us: dict[str, dict[str, list[float]]]
) -> Iterator[tuple[Scan, dict[int, Scan]]]:
    """Run both programs in turn; yield a scan of glimt and those of dranspose by batch.

    ``cpu_us`` is filled with the CPU time of each process an event, by program (dranspose without batches).
    """
    for _ in range(n_pairs):
        with bench.glimt(case) as side:
            side.scan(Series(50, case.shape, 0.0, case.compression))  # both begin warm
            series = Series(case.frames, case.shape, case.rate_hz, case.compression)
            ours = measure(side, series, cpu_us.setdefault(side.name, {}))
        theirs: dict[int, Scan] = {}
        n_tries = 0
        while case.peer_frames and not theirs:
            n_tries += 1
            with bench.dranspose(case) as peer:
                try:
                    peer.scan(Series(50, case.shape))
                    for batch, frames in case.peer_frames.items():
                        told = cpu_us.setdefault(peer.name, {}) if batch == 1 else {}
                        theirs[batch] = measure(peer, Series(frames, case.shape, case.rate_hz, batch=batch), told)
                except NotEndedError as error:
                    if n_tries == MOST_TRIES:
                        raise
                    print(f"  {error}; once more", flush=True)
                    theirs.clear()
        yield ours, theirs


def spread(values: Sequence[float], form: str = ",.0f") -> str:
    """Return the median, with the smallest and the largest."""
    ordered = sorted(values)
    return f"{statistics.median(ordered):{form}} ({ordered[0]:{form}} to {ordered[-1]:{form}})"


def print_rates(bench: Bench, cases: Sequence[Case], n_pairs: int) -> None:
    """Print a block for each case."""
    if not cases:
        return
    print(f"\nEvents a second, median of {n_pairs} (smallest to largest): steady; whole")
    for case in cases:
        cpu_us: dict[str, dict[str, list[float]]] = {}
        runs = list(pairs_of(bench, case, n_pairs, cpu_us))
        steady, whole = [ours.steady_hz for ours, _ in runs], [ours.whole_hz for ours, _ in runs]
        gigabytes = statistics.median(steady) * case.shape[0] * case.shape[1] * 2e-9
        print(f"{case.title}   [load {os.getloadavg()[0]:.1f}]")
        print(f"    glimt                      {spread(steady)}; {spread(whole)}; {gigabytes:.2f} GB/s of pixels")
        for batch in case.peer_frames:
            theirs = [found[batch] for _, found in runs]
            ratios = [ours.steady_hz / found[batch].steady_hz for ours, found in runs]
            whole_ratios = [ours.whole_hz / found[batch].whole_hz for ours, found in runs]
            rates = f"{spread([scan.steady_hz for scan in theirs])}; {spread([scan.whole_hz for scan in theirs])}"
            print(f"    dranspose, batches of {batch:3}  {rates}")
            print(f"        ratio                  {spread(ratios, '.1f')}; {spread(whole_ratios, '.1f')}", flush=True)
        for name, found in cpu_us.items():
            medians = {role: statistics.median(values) for role, values in found.items()}
            each = ", ".join(f"{role} {value:,.1f}" for role, value in medians.items())
            print(f"    CPU an event [µs], {name:9}   {each}; all {sum(medians.values()):,.1f}", flush=True)


def print_ages(bench: Bench, cases: Sequence[Case], n_pairs: int) -> None:
    """Print how old frames are when the reducer has their results."""
    if not cases:
        return
    print(
        f"\nAge of a frame at process_result [ms]: median of {n_pairs} medians (smallest to largest); of 95 percentiles"
    )
    for case in cases:
        runs = list(pairs_of(bench, case, n_pairs, {}))
        sides: dict[str, list[Scan]] = {
            "glimt": [ours for ours, _ in runs],
            "dranspose": [found[1] for _, found in runs if found],
        }
        print(f"{case.title}   [load {os.getloadavg()[0]:.1f}]")
        for name, scans in sides.items():
            ages = [sorted(scan.ages_ms) for scan in scans]
            middle, late = ([one[int(len(one) * q)] for one in ages] for q in (0.5, 0.95))
            print(f"    {name:10} {spread(middle, '.2f')}; {spread(late, '.2f')}", flush=True)


def print_starts(bench: Bench, n_scans: int) -> None:
    """Print how long a scan with a trigger map takes to begin and, if it is short, as a whole."""
    case = Case("", SMALL, 2, 1000, {})
    print("\nStart of a scan of 1,000 events with a trigger map, 2 workers [ms]")
    sides: list[Callable[[], Side]] = [lambda: bench.glimt(case, use_map=True), lambda: bench.dranspose(case)]
    for make in sides:
        with make() as side:
            scans = [side.scan(Series(case.frames, case.shape)) for _ in range(n_scans + 1)][1:]
        print(f"    {side.name:10} {spread([scan.start_s * 1000 for scan in scans], '.0f')}", flush=True)


def print_processes(bench: Bench, seconds: float) -> None:
    """Print what processes use while they wait for a detector, and how much memory they have after large frames."""
    case = Case("", LARGE, 2, 200, {})
    print("\nProcesses: CPU while waiting for frames [% of a core]; memory after 200 frames of 8.4 MB, own + shared")
    for make in (bench.glimt, bench.dranspose):
        with make(case) as side:
            side.scan(Series(case.frames, case.shape))
            sizes = {name: memory(pid) for name, pid in side.pids.items()}
            if isinstance(side, Dranspose):
                side.wait_for_frames(Series(case.frames, case.shape))
            time.sleep(2)
            before = {name: cpu_s(pid) for name, pid in side.pids.items()}
            time.sleep(seconds)
            used = {name: (cpu_s(pid) - before[name]) / seconds * 100 for name, pid in side.pids.items()}
        for name, size in sizes.items():
            print(f"    {side.name:10} {name:12} {used[name]:5.2f} %   {size.own_mb:6.0f} + {size.shared_mb:.0f} MB")
        sys.stdout.flush()


def print_sender(bench: Bench, folder: Path) -> None:
    """Print how fast the sender is alone, into a process that receives and forgets."""
    print("\nThe sender alone, into a process that receives and forgets [messages/s]")
    for title, shape, frames in (("10×10", SMALL, 300_000), ("2048×2048", LARGE, 1200)):
        payload, sizes = bench.payload(shape, "none")
        address = f"tcp://127.0.0.1:{free_port()}"
        sender = Program(
            [sys.executable, Path(__file__).parent / "live_sender.py", address, payload, str(sizes)], folder, "log"
        )
        sender.answer()
        drain = Program([sys.executable, "-c", DRAIN, address, str(frames)], folder, "log")
        sender.tell({"frames": frames, "rate_hz": 0, "shape": shape, "compression": "none"})
        first_ns = sender.answer()["first_ns"]
        took_s = (drain.answer()["last_ns"] - first_ns) * 1e-9
        print(f"    {title:10} {frames / took_s:,.0f}", flush=True)
        sender.close()
        drain.close()


DRAIN = """
import json, sys, time, zmq
socket = zmq.Context().socket(zmq.PULL)
socket.connect(sys.argv[1])
for _ in range(int(sys.argv[2]) + 2):
    socket.recv_multipart(copy=False)
print(json.dumps({"last_ns": time.monotonic_ns()}), flush=True)
"""


def machine() -> str:
    """Return the machine in a line."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else "unknown processor"
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return f"{len(os.sched_getaffinity(0))} cores, {model}; Python {sys.version.split()[0]}; load {load}"


def main() -> None:
    """Run all cases and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="the dranspose command")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    parser.add_argument("--quick", action="store_true", help="half a minute: does it run?")
    options = parser.parse_args()
    peer = str(Path(options.peer).resolve()) if options.peer else str(Path(make_peer()).resolve())
    if shutil.which("redis-server") is None:
        raise SystemExit("dranspose needs Redis: install redis-server (Debian: apt install redis-server)")
    if not live_loopback.enter():
        print("no network of one's own here (unshare): dranspose listens on all networks while this runs")
    print(machine(), flush=True)
    n_pairs = 1 if options.quick else options.pairs
    rates, ages = (QUICK_RATES, QUICK_AGES) if options.quick else (RATES, AGES)
    with tempfile.TemporaryDirectory(prefix="glimt-live-") as name:
        bench = Bench(Path(name), peer)
        if not options.only:
            print_sender(bench, Path(name))
        print_rates(bench, [case for case in rates if options.only in case.title], n_pairs)
        print_ages(bench, [case for case in ages if options.only in case.title], n_pairs)
        if not options.only:
            print_starts(bench, 2 if options.quick else 5)
            print_processes(bench, 2 if options.quick else 10)
    print(f"\n{machine()}")


if __name__ == "__main__":
    main()
