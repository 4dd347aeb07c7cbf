"""``glimt replay`` beside ``dranspose replay``: the same captures, the same analysis, in pairs, in one run.

    python benchmarks/replay.py [--peer /path/to/dranspose] [--pairs 5]

Without ``--peer`` a private environment with dranspose 0.2.0 is made in ``build/peer`` (its dependencies are pinned:
with newer ones it does not run). Both programs run the classes below unmodified, at their default log level and, for
comparison, silent. The rate is the reducer's own: from its first to its last result, start-up excluded; the time of the
whole program is given too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import numpy as np

from glimt.codecs.capture.item import encode_parts
from glimt.codecs.stins import StinsEnd, StinsImage, StinsStart

PEER = ["dranspose==0.2.0", "cbor2<6", "psutil<7.1", "h5pyd==0.20.0"]

ANALYSIS = """
import json
import os
import time
from dranspose.middlewares.stream1 import parse
from dranspose.data.stream1 import Stream1Data


class Worker:
    def __init__(self, *args, **kwargs):
        pass

    def process_event(self, event, parameters=None, *args, **kwargs):
        packet = parse(event.streams["xrd"])
        if isinstance(packet, Stream1Data):
            return self.reduce(packet)

    def reduce(self, packet):
        return packet.frame, float(packet.data[0, 0])


class Mean(Worker):
    def reduce(self, packet):
        return float(packet.data.mean())


class Reducer:
    def __init__(self, *args, **kwargs):
        self.n = 0
        self.first = 0.0

    def process_result(self, result, parameters=None):
        if not self.n:
            self.first = time.perf_counter()
        self.n += 1

    def finish(self, parameters=None):
        with open(os.environ["BENCHMARK_OUT"], "w") as file:
            json.dump({"n": self.n, "seconds": time.perf_counter() - self.first}, file)
"""

# name, frames, shape, worker class, log level, number of workers
CASES = [
    ("10×10, parse, small tuple, default log level, 1 worker", 200_000, (10, 10), "Worker", "INFO", 1),
    ("10×10, parse, small tuple, default log level, 2 workers", 200_000, (10, 10), "Worker", "INFO", 2),
    ("10×10, parse, mean, default log level, 1 worker", 200_000, (10, 10), "Mean", "INFO", 1),
    ("10×10, parse, small tuple, silent, 1 worker", 200_000, (10, 10), "Worker", "ERROR", 1),
    ("10×10, parse, small tuple, silent, 2 workers", 200_000, (10, 10), "Worker", "ERROR", 2),
    ("512×512, parse, mean, default log level, 1 worker", 1000, (512, 512), "Mean", "INFO", 1),
    ("2048×2048, parse, small tuple, default log level, 1 worker", 120, (2048, 2048), "Worker", "INFO", 1),
    ("2048×2048, parse, mean, default log level, 1 worker", 120, (2048, 2048), "Mean", "INFO", 1),
    ("2048×2048, parse, mean, default log level, 2 workers", 120, (2048, 2048), "Mean", "INFO", 2),
]


def write_capture(path: Path, n_frames: int, shape: tuple[int, int]) -> None:
    """Write a capture of uint16 Poisson frames: sixteen different ones in turn."""
    rng = np.random.default_rng(1)
    pool = [rng.poisson(3, shape).astype(np.uint16) for _ in range(16)]
    with path.open("wb") as file:
        packets = [StinsStart(msg_number=0, filename="").to_stream_data()]
        file.writelines(encode_parts(0, {"xrd": packets[0]}))
        for frame in range(n_frames):
            image = StinsImage(msg_number=frame + 1, frame=frame, shape=list(shape), type="uint16", compression="none")
            image.data = pool[frame % len(pool)]
            file.writelines(encode_parts(frame + 1, {"xrd": image.to_stream_data()}))
        end = StinsEnd(msg_number=n_frames + 1).to_stream_data()
        file.writelines(encode_parts(n_frames + 1, {"xrd": end}))


def make_peer() -> str:
    """Return the peer's command, from an environment made for it."""
    folder = Path("build/peer")
    command = folder / "bin" / "dranspose"
    if not command.exists():
        print(f"installing {PEER[0]} into {folder}", flush=True)
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *PEER], check=True)
    return str(command)


def run(program: str, folder: Path, capture: Path, worker: str, level: str, n_workers: int) -> tuple[float, float]:
    """Run one program once; return results a second and the seconds of the whole program."""
    out = folder / "out.json"
    command = [program, "replay", "-w", f"analysis:{worker}", "-r", "analysis:Reducer", "-f", str(capture)]
    command += ["--nworkers", str(n_workers)]
    environment = os.environ | {"LOG_LEVEL": level, "BENCHMARK_OUT": str(out)}
    began = os.times().elapsed
    with (folder / "log").open("w") as log:
        subprocess.run(command, cwd=folder, env=environment, stdout=log, stderr=log, check=True)
    elapsed = os.times().elapsed - began
    found = json.loads(out.read_text())
    out.unlink()
    return (found["n"] - 1) / found["seconds"], elapsed


def main() -> None:
    """Run all cases and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="the dranspose command")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    options = parser.parse_args()
    peer = options.peer or make_peer()
    glimt = str(Path(sys.executable).parent / "glimt")
    print(
        f"{'events/s, median of ' + str(options.pairs) + ' pairs':62}   glimt  dranspose   ratio (min to max)   whole s"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "analysis.py").write_text(ANALYSIS)
        captures: dict[tuple[int, tuple[int, int]], Path] = {}
        for title, n_frames, shape, worker, level, n_workers in CASES:
            if options.only not in title:
                continue
            capture = captures.get((n_frames, shape))
            if capture is None:
                for old in captures.values():
                    old.unlink()
                captures.clear()
                capture = captures[n_frames, shape] = folder / f"{shape[0]}.cbors"
                write_capture(capture, n_frames, shape)
            pairs = []
            for _ in range(options.pairs + 1):  # the first pair warms the file cache and the compiled kernels
                ours = run(glimt, folder, capture, worker, level, n_workers)
                theirs = run(peer, folder, capture, worker, level, n_workers)
                pairs.append((ours, theirs))
            pairs = pairs[1:]
            ratios = sorted(ours[0] / theirs[0] for ours, theirs in pairs)
            rates = [statistics.median(pair[side][0] for pair in pairs) for side in (0, 1)]
            whole = [statistics.median(pair[side][1] for pair in pairs) for side in (0, 1)]
            print(
                f"{title:62} {rates[0]:8,.0f} {rates[1]:9,.0f} {statistics.median(ratios):8.1f} "
                f"({ratios[0]:.1f} to {ratios[-1]:.1f})   {whole[0]:.1f} / {whole[1]:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
