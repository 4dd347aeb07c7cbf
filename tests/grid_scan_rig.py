"""A site as a user sets it up: `glimt serve` in one process, `glimt go` in another, and whoever waits for results."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from glimt.app.open_broker import open_broker
from glimt.brokers.broker import QueueStatus
from glimt.model.errors import GlimtError, UnknownQueueError
from glimt.model.recipe_envelope import Envelope

PATIENCE_S = 240.0
BEAMLINE = "t01"
GLIMT = (sys.executable, "-m", "glimt")
ANALYSED = ("algorithm=dispersion", "d_max=40")
"""What the recipes' step of per-image analysis says, in the words of `glimt analyse`."""

_INDICATORS = (
    "imageNumber, spotTotal, inResTotal, goodBraggCandidates, method1Res, method2Res, totalIntegratedSignal, "
    "dozor_score, driftFactor, iceRings, maxUnitCell, pctSaturationTop50Peaks, inResolutionOvrlSpots, "
    "binPopCutOffMethod2Res"
)
_CENTERS = (
    "c.xrayCentringType, c.status, r.status AS result_status, r.gridInfoId IS NULL AS no_grid, r.centreOfMassX, "
    "r.centreOfMassY, r.centreOfMassZ, r.maxVoxelX, r.maxVoxelY, r.maxVoxelZ, r.numberOfVoxels, r.totalCount"
)


@dataclass(frozen=True)
class Centred:
    """A result that reached the beamline.

    Attributes
    ----------
    message_id, recipe_id : str
    payload : Any
    """

    message_id: str
    recipe_id: str
    payload: Any


@dataclass(frozen=True)
class Outcome:
    """All that a grid scan leaves behind, without what differs between two runs of the same.

    Attributes
    ----------
    rows, centers : list of tuple
        Of ImageQualityIndicators by image; of XrayCentring with XrayCentringResult.
    result, log : str
        The files of X-ray centring.
    message : Any
        What the beamline got.
    lines : set of str
        What GDA got, without the number of the data collection.
    """

    rows: list[tuple[Any, ...]]
    centers: list[tuple[Any, ...]]
    result: str
    log: str
    message: Any
    lines: set[str]


class GridScanSite:
    """A site in a folder, with listeners for what it sends out.

    Parameters
    ----------
    folder : Path
        Holds the site file, the log and, unless told otherwise, everything else.
    broker_url, results_url : str
        SQLite files in the folder if empty.
    services : str
        More of the site file.
    state : Path or None
        Where state, broker and database are.
    """

    def __init__(
        self,
        folder: Path,
        *,
        broker_url: str = "",
        results_url: str = "",
        services: str = "",
        state: Path | None = None,
    ) -> None:
        self.folder, self.images = folder, folder / "images"
        self.images.mkdir(parents=True)
        state = state or folder / "state"
        self.broker_url = broker_url or f"sqlite:{state / 'broker.sqlite'}"
        self.results_url = results_url or f"sqlite:///{state / 'results.sqlite'}"
        self.file, self.log_file = folder / "site.toml", folder / "serve.log"
        self._gda = _LineListener()
        self._beamline = _ResultListener(self.broker_url, f"xrc.{BEAMLINE}")
        self.file.write_text(
            f"[broker]\nurl = {json.dumps(self.broker_url)}\n[results]\nurl = {json.dumps(self.results_url)}\n"
            f"[paths]\nroots = [{json.dumps(str(self.images))}]\nstate = {json.dumps(str(state))}\n"
            f'[beamline]\nname = "{BEAMLINE}"\n'
            f'[services.notify_gda]\nhost = "127.0.0.1"\nport = {self._gda.port}\n{services}'
        )
        self._engine = sa.create_engine(self.results_url, poolclass=sa.NullPool)
        self.process: subprocess.Popen[bytes] | None = None
        self._others: list[subprocess.Popen[bytes]] = []

    # What a user does

    def serve(self, *options: str) -> None:
        """Start all services."""
        command = [*GLIMT, "serve", "--site", str(self.file), *options]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, stderr=log, start_new_session=True)

    def stop(self) -> int:
        """End the services as Ctrl-C does; return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(PATIENCE_S)
        self.process = None
        return code

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of glimt in the folder of the site; it must be successful."""
        done = subprocess.run([*GLIMT, *words], cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 0, f"glimt {' '.join(words)}\n{done.stdout}{done.stderr}\n{self.log[-4000:]}"
        return done

    def go(self, *words: str) -> tuple[str, int]:
        """Start a recipe for images; return the identity of the run and the number of the data collection."""
        done = self.run("go", "--site", str(self.file), *words)
        dcid = next((line.split()[-1] for line in done.stderr.splitlines() if "are data collection" in line), "0")
        return done.stdout.strip(), int(dcid)

    def simulate(self, folder: Path, *words: str) -> subprocess.Popen[bytes]:
        """Let a detector write a collection in another process."""
        command = [*GLIMT, "simulate", "collection", str(folder), *words]
        writer = subprocess.Popen(command, cwd=self.folder, stderr=subprocess.DEVNULL)
        self._others.append(writer)
        return writer

    def dead_letters(self) -> list[dict[str, Any]]:
        """Return what `glimt broker dead-letters` prints."""
        found: list[dict[str, Any]] = json.loads(
            self.run("broker", "dead-letters", "--json", "--site", str(self.file)).stdout
        )
        return found

    def broker_status(self) -> list[QueueStatus]:
        """Return how full the queues are."""
        broker = open_broker(self.broker_url)
        try:
            return broker.status()
        finally:
            broker.close()

    # What is seen of it

    @property
    def log(self) -> str:
        """What `glimt serve` said."""
        return self.log_file.read_text() if self.log_file.exists() else ""

    @property
    def lines(self) -> list[str]:
        """What GDA got."""
        return list(self._gda.lines)

    @property
    def centred(self) -> list[Centred]:
        """What the beamline got."""
        return list(self._beamline.results)

    def query(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """Ask the results database."""
        with self.reading() as ask:
            return ask(statement, **values)

    @contextmanager
    def reading(self) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
        """Give what asks the results database over one connection."""
        with self._engine.connect() as connection:

            def ask(statement: str, **values: Any) -> list[tuple[Any, ...]]:
                rows = [tuple(row) for row in connection.execute(sa.text(statement), values)]
                connection.rollback()  # the next question is about what is there then
                return rows

            yield ask

    def indicators(self, dcid: int) -> list[tuple[Any, ...]]:
        """Return the images of a data collection, without what names the run."""
        order = "dataCollectionId = :dcid ORDER BY imageNumber"
        return self.query(f"SELECT {_INDICATORS} FROM ImageQualityIndicators WHERE {order}", dcid=dcid)

    def n_indicators(self, dcid: int) -> int:
        """Return how many images have a row; 0 too if the database cannot say."""
        try:
            count = "SELECT COUNT(*) FROM ImageQualityIndicators WHERE dataCollectionId = :dcid"
            return int(self.query(count, dcid=dcid)[0][0])
        except sa.exc.SQLAlchemyError:
            return 0

    def centers(self, dcid: int) -> list[tuple[Any, ...]]:
        """Return the X-ray centrings of the group of a data collection, with their results."""
        return self.query(
            f"SELECT {_CENTERS} FROM XrayCentring c "
            "LEFT JOIN XrayCentringResult r ON r.xrayCentringId = c.xrayCentringId "
            "JOIN DataCollection d ON d.dataCollectionGroupId = c.dataCollectionGroupId "
            "WHERE d.dataCollectionId = :dcid ORDER BY c.xrayCentringId, r.xrayCentringResultId",
            dcid=dcid,
        )

    def processes(self) -> list[int]:
        """Return the processes of the services."""
        return [] if self.process is None else _children(self.process.pid)

    def wait_for(self, condition: Callable[[], Any], what: str, *, patience_s: float = PATIENCE_S) -> Any:
        """Wait until something is so, while the services run."""
        deadline = time.monotonic() + patience_s
        while not (found := condition()):
            assert self.process is None or self.process.poll() is None, f"glimt serve ended: {self.log[-4000:]}"
            assert time.monotonic() < deadline, f"waited in vain: {what}\n{self.log[-6000:]}"
            time.sleep(0.05)
        return found

    def wait_for_scan(self, dcid: int, run: str, n_images: int) -> None:
        """Wait until everything that a grid scan leads to has come out."""

        def is_over() -> bool:
            return (
                self.n_indicators(dcid) == n_images
                and len({line for line in self.lines if line.startswith(f"PIA:{dcid}:")}) == n_images
                and any(result.recipe_id == run for result in self.centred)
                and bool(self.centers(dcid))
            )

        self.wait_for(is_over, f"all of {n_images} images and the centre")

    def outcome(self, dcid: int, run: str, folder: Path) -> Outcome:
        """Return what a grid scan of images in a folder has led to."""
        (result,) = folder.glob(f"processed/**/{run}/xray-centering/Dials5AResults.json")
        messages = {each.message_id: each.payload for each in self.centred if each.recipe_id == run}
        assert len(messages) == 1, f"results with {len(messages)} identities"
        (message,) = messages.values()
        return Outcome(
            rows=self.indicators(dcid),
            centers=self.centers(dcid),
            result=result.read_text(),
            log=result.with_suffix(".log").read_text(),
            message=message,
            lines={line.partition(f"PIA:{dcid}:")[2] for line in self.lines if line.startswith(f"PIA:{dcid}:")},
        )

    def close(self) -> None:
        """End everything."""
        for process in self._others:
            process.kill()
            process.wait()
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self._gda.close()
        self._beamline.close()
        self._engine.dispose()


@contextmanager
def grid_scan_site(folder: Path, **options: Any) -> Iterator[GridScanSite]:
    """Set up a site, and end everything at the end."""
    site = GridScanSite(folder, **options)
    try:
        yield site
    finally:
        site.close()


def analysed(files: Sequence[Path], *words: str) -> list[dict[str, Any]]:
    """Return what `glimt analyse` prints of files, with what a spot is as the recipes say it."""
    command = [*GLIMT, "analyse", *map(str, files), "--json", "--spots", " ".join((*ANALYSED, *words))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


class _LineListener:
    """GDA: takes UDP lines."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.port = int(self._socket.getsockname()[1])
        self.lines: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="gda")
        self._thread.start()

    def _listen(self) -> None:
        while not self._stop.is_set():
            with suppress(TimeoutError):
                self.lines.append(self._socket.recv(65535).decode("latin-1"))

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._socket.close()


class _ResultListener:
    """The beamline: takes the results of X-ray centring, which are thrown away where nobody takes them in a minute."""

    def __init__(self, url: str, queue: str) -> None:
        self._url, self._queue = url, queue
        self.results: list[Centred] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="beamline")
        self._thread.start()

    def _listen(self) -> None:
        while not self._stop.wait(0.1):
            # The queue comes with the services; a broker may go away and come back.
            with suppress(GlimtError, UnknownQueueError):
                self._take()

    def _take(self) -> None:
        if self._url.startswith("sqlite:") and not Path(self._url.removeprefix("sqlite:")).exists():
            return
        broker = open_broker(self._url)
        try:
            if not broker.has_queue(self._queue):
                return
            broker.subscribe(self._queue, prefetch=10)
            while not self._stop.is_set():
                for delivery in broker.receive(10, timeout_s=0.2):
                    envelope = Envelope.decode(delivery.body)
                    run = str(envelope.environment["ID"])
                    broker.settle([delivery])
                    self.results.append(Centred(delivery.message_id, run, envelope.payload))
        finally:
            with suppress(GlimtError):
                broker.close()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == pid and b"spawn_main" in command:
            found.append(int(entry.name))
    return sorted(found)
