"""The two programs that ``live.py`` compares, each started whole, fed by the same sender, ended."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

HERE = Path(__file__).parent
LIMIT_S = 180.0
SCAN_LIMIT_S = 60.0
"""So long a scan of dranspose may take; some never end, above all on a busy machine."""


class NotEndedError(Exception):
    """A scan did not end."""


@dataclass(frozen=True, slots=True)
class Series:
    """What the sender sends.

    Attributes
    ----------
    frames : int
        How many.
    rate_hz : float
        How fast, 0 as fast as it can.
    shape, compression
        As in the messages.
    batch : int
        So many events of the trigger map share a constraint, where there is a map.
    """

    frames: int
    shape: tuple[int, int]
    rate_hz: float = 0.0
    compression: str = "none"
    batch: int = 1

    def trigger_map(self) -> dict[str, Any]:
        """Return the map of one stream ``det`` in dranspose's form."""
        entries = [[{"constraint": index // self.batch}] for index in range(self.frames)]
        return {"parts": {"main": {"det": entries}}, "sequence": ["main"]}


@dataclass(frozen=True, slots=True)
class Scan:
    """What came of a series.

    Attributes
    ----------
    whole_hz : float
        Events a second from the first image sent until the program says that the scan is over.
    steady_hz : float
        The same from the first to the last result in the reducer.
    ages_ms : list of float
        From sending to ``process_result``, of the last 2000 results; only of use where the sender keeps a rate.
    start_s : float
        From giving the trigger map until the program says that it is ready for it; 0 without a map.
    ready_s : float
        From giving the map until the first image could be sent. The sender sends as soon as it is connected to.
    """

    whole_hz: float
    steady_hz: float
    ages_ms: list[float]
    start_s: float
    n_lost: int


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Program:
    """A process that answers a line of JSON with a line of JSON."""

    def __init__(self, command: Sequence[str | Path], folder: Path, log: str, **environment: str) -> None:
        self._log = (folder / log).open("a")
        self.process = subprocess.Popen(
            [str(word) for word in command],
            cwd=folder,
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def tell(self, order: dict[str, Any]) -> None:
        """Send an order."""
        pipe: IO[str] | None = self.process.stdin
        assert pipe is not None
        pipe.write(json.dumps(order) + "\n")
        pipe.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the answer."""
        pipe: IO[str] | None = self.process.stdout
        assert pipe is not None
        line = pipe.readline()
        if not line:
            raise SystemExit(f"{self.process.args!r} ended; see {self._log.name}:\n{Path(self._log.name).read_text()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """End it."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()


class Side:
    """One of the two programs with its sender; a context manager.

    Parameters
    ----------
    folder : Path
        Where it runs; the payloads are there.
    payload : Path
        The payloads of the images, one after the other.
    sizes : list of int
        Their sizes [bytes].
    """

    name = ""

    def __init__(self, folder: Path, payload: Path, sizes: list[int]) -> None:
        folder.mkdir(exist_ok=True)
        shutil.copy(HERE / "live_analysis.py", folder)
        self.folder = folder
        self.out = folder / "reduced.json"
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.sender = Program(
            [sys.executable, HERE / "live_sender.py", self.address, payload, json.dumps(sizes)], folder, "sender.log"
        )
        self.sender.answer()
        self.pids: dict[str, int] = {}

    def scan(self, series: Series) -> Scan:
        """Send a series, wait until all of it is reduced."""
        raise NotImplementedError

    def _result(self, series: Series, sent: dict[str, int], finished_ns: int, start_s: float) -> Scan:
        found = json.loads(
            wait_for(lambda: self.out.read_text() if self.out.exists() else None, "the reducer's result")
        )
        self.out.unlink()
        took_s = max(1, found["last_ns"] - found["first_ns"]) * 1e-9
        return Scan(
            whole_hz=series.frames / ((finished_ns - sent["first_ns"]) * 1e-9),
            steady_hz=(found["n"] - 1) / took_s,
            ages_ms=[age * 1e-6 for age in found["ages_ns"]] if series.rate_hz else [],
            start_s=start_s,
            n_lost=series.frames - found["n_frames"],
        )

    def _order(self, series: Series) -> dict[str, Any]:
        return {
            "frames": series.frames,
            "rate_hz": series.rate_hz,
            "shape": series.shape,
            "compression": series.compression,
        }

    def close(self) -> None:
        """End all its processes."""
        self.sender.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


BEAMLINE = """
[pipeline]
worker = "live_analysis:{worker}"
reducer = "live_analysis:Reducer"
[streams.det]
transport = "zmq-pull"
address = "{address}"
protocol = "stins"
[events]
mode = "{mode}"
[engine]
use = "local:{n_workers}"
[log]
level = "warning"
"""


class Glimt(Side):
    """A live run of glimt as it is by default: journal, ledger and acknowledgements are on."""

    name = "glimt"

    def __init__(
        self, folder: Path, payload: Path, sizes: list[int], *, worker: str, n_workers: int, use_map: bool = False
    ) -> None:
        super().__init__(folder, payload, sizes)
        self._use_map = use_map
        beamline = folder / "beamline.toml"
        mode = "map" if use_map else "automatic"
        beamline.write_text(BEAMLINE.format(worker=worker, address=self.address, mode=mode, n_workers=n_workers))
        self._run = Program(
            [sys.executable, HERE / "live_glimt.py", beamline], folder, "glimt.log", BENCHMARK_OUT=str(self.out)
        )
        self.pids = {"control": self._run.process.pid} | self._run.answer()["pids"]

    def scan(self, series: Series) -> Scan:
        """Send a series, wait until all of it is reduced."""
        start_s = 0.0
        if self._use_map:
            self._run.tell({"do": "map", "map": series.trigger_map()})
            start_s = self._run.answer()["seconds"]
        self._run.tell({"do": "wait", "limit_s": LIMIT_S})
        self.sender.tell(self._order(series))
        sent, told = self.sender.answer(), self._run.answer()
        ledger = told["ledger"]
        if not told["done"] or ledger["received"] != ledger["reduced"]:
            raise SystemExit(f"glimt: the scan did not end well: {told}; see {self.folder}")
        return self._result(series, sent, told["finished_ns"], start_s)

    def close(self) -> None:
        """End the run."""
        self._run.close()
        super().close()


class Dranspose(Side):
    """dranspose 0.2.0: Redis, controller, ingester, workers, reducer, started through its command line."""

    name = "dranspose"
    controller = "http://127.0.0.1:5000/api/v1"  # the port cannot be chosen

    def __init__(
        self, folder: Path, payload: Path, sizes: list[int], *, command: str, worker: str, n_workers: int
    ) -> None:
        super().__init__(folder, payload, sizes)
        self._log = (folder / "dranspose.log").open("a")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        try:
            self._start_all(command, worker, n_workers)
        except BaseException:
            self.close()
            raise

    def _start_all(self, command: str, worker: str, n_workers: int) -> None:
        redis, ingester, reducer = free_port(), free_port(), free_port()
        options = f"--port {redis} --bind 127.0.0.1 --appendonly no --dir {self.folder}".split()
        self._start("redis", ["redis-server", *options, "--save", ""])
        wait_for(lambda: _is_open(redis), "Redis")
        self._environment = {
            "REDIS_URL": f"redis://127.0.0.1:{redis}/0",
            "INGESTER_URL": f"tcp://127.0.0.1:{ingester}",
            "REDUCER_URL": f"tcp://127.0.0.1:{reducer}",
            "LOG_LEVEL": "WARNING",
            "BENCHMARK_OUT": str(self.out),
        }
        if _is_open(5000):
            raise SystemExit("dranspose's controller needs port 5000, which is in use")
        self._start("controller", [command, "controller", "--host", "127.0.0.1"])
        serve = ["--host", "127.0.0.1", "-p", str(free_port())]
        self._start("reducer", [command, "reducer", "-c", "live_analysis:Reducer", *serve])
        # A worker that finds no reducer looks again after ten seconds, and what it has to send until then is lost.
        wait_for(lambda: (self._config() or {}).get("reducer"), "dranspose's reducer")
        source = ["-c", "ZmqPullSingleIngester", "-u", self.address, "-n", "det"]
        self._start("ingester", [command, "ingester", *source])
        for number in range(n_workers):
            self._start(f"worker-{number}", [command, "worker", "-n", f"w{number}", "-c", f"live_analysis:{worker}"])
        self.pids = {name: process.pid for name, process in self._processes.items()}
        wait_for(lambda: self._is_ready(n_workers), "the services of dranspose")

    def _start(self, name: str, command: list[str]) -> None:
        environment = os.environ | getattr(self, "_environment", {})
        self._processes[name] = subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=self._log, stderr=self._log
        )

    def _ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.controller}/{path}", data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            raise SystemExit(f"dranspose answers {path} with {error.code}: {error.read().decode()}") from None

    def _config(self) -> dict[str, Any] | None:
        with suppress(OSError):
            config: dict[str, Any] = self._ask("config")
            return config
        return None

    def _is_ready(self, n_workers: int) -> bool:
        config = self._config()
        if config is None:
            return False
        ingesters, workers = config["ingesters"], config["workers"]
        knows = [any(ingester["streams"] for ingester in worker["ingesters"]) for worker in workers]
        known = sum(len(ingester["connected_workers"]) for ingester in ingesters if ingester["streams"])
        return sum(knows) == known == n_workers

    def scan(self, series: Series) -> Scan:
        """Post the trigger map, send the series, wait until all of it is reduced."""
        began = time.monotonic()
        self._ask("sequence", series.trigger_map())
        start_s = time.monotonic() - began
        time.sleep(0.3)  # its ingester connects anew for every scan; what is sent into the old connection is lost
        self.sender.tell(self._order(series))
        deadline = time.monotonic() + SCAN_LIMIT_S
        while not (progress := self._ask("progress"))["finished"]:
            if time.monotonic() > deadline:
                raise NotEndedError(f"dranspose's scan did not end within {SCAN_LIMIT_S:.0f} s: {progress}")
            time.sleep(0.02)
        finished_ns = time.monotonic_ns()
        return self._result(series, self.sender.answer(), finished_ns, start_s)

    def wait_for_frames(self, series: Series) -> None:
        """Post a map and send nothing: what a beamline does between its scans."""
        self._ask("sequence", series.trigger_map())

    def close(self) -> None:
        """End all services."""
        super().close()
        for process in reversed(self._processes.values()):
            process.terminate()
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._log.close()


def _is_open(port: int) -> bool:
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Callable[[], Any], what: str, *, pause_s: float = 0.05, limit_s: float = LIMIT_S) -> Any:
    """Wait until a condition gives something; return it."""
    deadline = time.monotonic() + limit_s
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} did not come within {limit_s:.0f} s")
        time.sleep(pause_s)
    return found
