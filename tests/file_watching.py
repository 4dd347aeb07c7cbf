"""File watchers in processes of their own, a broker between them and the test, and another process that writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glimt.app.open_broker import open_broker
from glimt.brokers.broker import Broker, Outgoing, QueueSpec
from glimt.model.recipe import Recipe
from glimt.model.recipe_envelope import Envelope, start_recipe
from glimt.services.recipe_step import RECIPE_HEADER

PATIENCE_S = 60.0

_SERVICE = """
import sys, threading
from pathlib import Path
from glimt.app.open_broker import open_broker
from glimt.services.file_watcher import FileWatcherService
from glimt.services.runner import ServiceRunner
from glimt.services.service import ServiceSetup

url, folder, notice = sys.argv[1:]
service = FileWatcherService(ServiceSetup({"notice": notice}, (Path(folder),), Path(folder)))
runner = ServiceRunner(service, open_broker(url))
threading.Thread(target=lambda: (sys.stdin.readline(), runner.stop()), daemon=True).start()
print("ready", flush=True)
runner.run()
"""

_SIMULATOR = """
from typer import Typer
from glimt.cli.simulate.collection import simulate_collection
app = Typer()
app.command()(simulate_collection)
app()
"""

STREAMS = ("first", "every", "last", "select-3", "timeout", "any", "finally")


class WatchingRig:
    """A broker, a folder, and whoever watches it."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self.folder = folder
        self.url = url or f"sqlite:{folder / 'broker.db'}"
        self.broker: Broker = open_broker(self.url)
        self.broker.declare([QueueSpec("filewatcher"), *(QueueSpec(stream) for stream in STREAMS)])
        for queue in ("filewatcher", *STREAMS):  # of an earlier run, if the broker is not our own
            self.broker.purge(queue)
        for stream in STREAMS:
            self.broker.subscribe(stream, prefetch=100)
        self.told: list[tuple[str, Any, float]] = []
        """Stream, payload, and when it was received, UTC [s]."""
        self._processes: list[subprocess.Popen[str]] = []

    def start_service(self, notice: str = "auto") -> subprocess.Popen[str]:
        """Return an instance of the service that is ready."""
        arguments = [sys.executable, "-c", _SERVICE, self.url, str(self.folder), notice]
        service = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._processes.append(service)
        assert service.stdout is not None
        assert service.stdout.readline() == "ready\n"
        return service

    def start_collection(self, **options: Any) -> subprocess.Popen[str]:
        """Return the process that writes a collection to ``self.folder / "c"``; see `report`."""
        words = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        arguments = [sys.executable, "-c", _SIMULATOR, str(self.folder / "c"), "--shape=60x80", *words]
        writer = subprocess.Popen([*arguments, f"--report={self.folder / 'report.json'}"], text=True)
        self._processes.append(writer)
        return writer

    def report(self) -> Any:
        """Return what the simulator wrote when."""
        return json.loads((self.folder / "report.json").read_bytes())

    def watch(self, parameters: dict[str, Any]) -> None:
        """Start a recipe that watches."""
        steps = {str(k): {"queue": stream} for k, stream in enumerate(STREAMS, 2)}
        output = {stream: k for k, stream in enumerate(STREAMS, 2)}
        first = {"queue": "filewatcher", "parameters": {"timeout": 30, **parameters}, "output": output}
        recipe = Recipe.from_dict({"1": first, **steps, "start": [[1, []]]})
        messages = start_recipe(recipe, environment={"ID": os.urandom(8).hex()})
        headers = {RECIPE_HEADER: True}
        self.broker.send([Outgoing(body=each.encode(), queue="filewatcher", headers=headers) for each in messages])

    def receive(self, timeout_s: float = 0.1) -> None:
        """Take what came."""
        for delivery in self.broker.receive(100, timeout_s=timeout_s):
            self.told.append((delivery.queue, Envelope.decode(delivery.body).payload, time.time()))
            self.broker.settle([delivery])

    def receive_until_final(self, n_watches: int = 1) -> None:
        """Take what comes until all watches have ended, and a little longer."""
        end = time.monotonic() + PATIENCE_S
        while len(self.payloads("finally")) < n_watches:
            assert time.monotonic() < end, f"the watch has not ended; {len(self.told)} messages came"
            self.receive()
        for _ in range(3):
            self.receive()

    def payloads(self, stream: str) -> list[Any]:
        """Return what came on a stream."""
        return [payload for name, payload, _ in self.told if name == stream]

    def numbers(self, stream: str) -> list[int]:
        """Return the numbers of the items that came on a stream."""
        return [payload["file-number"] for payload in self.payloads(stream)]

    def close(self) -> None:
        """End the processes and close the broker."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        self.broker.close()


@contextmanager
def watching_rig(folder: Path, url: str = "") -> Iterator[WatchingRig]:
    """Return a rig, and close it afterwards."""
    rig = WatchingRig(folder, url)
    try:
        yield rig
    finally:
        rig.close()
