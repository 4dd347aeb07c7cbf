"""What the supervisor does when a process cannot be started."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from glimt.engines import supervisor as supervising
from glimt.engines.run_keys import NO_KEYS
from glimt.engines.supervisor import Supervisor


class Ended:
    """A process that ended at once."""

    sentinel = None
    refusal = ""

    def is_alive(self) -> bool:
        return False

    def describe_death(self) -> str:
        return "it was killed by SIGKILL"

    def end(self, wait_s: float) -> None:
        del wait_s


class FullMachine:
    """A placement on a machine that, after the first process of each role, has no room for another."""

    shares_memory = True
    keys = frame_keys = NO_KEYS
    start_limit_s = 1.0
    quiet_limit_s = float("inf")
    lease_s: float | None = None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.n_started = 0
        self.n_refused = 0

    def address(self, name: str) -> str:
        return f"ipc://{self._folder}/{name}"

    def start(self, name: str, run: Callable[[Any], None], role: Any) -> Ended:
        del name, run, role
        self.n_started += 1
        if self.n_started > 1:
            self.n_refused += 1
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return Ended()

    def close(self) -> None:
        """Nothing was taken."""


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:  # the path of a socket must be short
        yield Path(name)


def test_a_process_that_cannot_be_started_now_is_tried_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervising, "_LONGEST_PAUSE_S", 0.01)
    machine, remarks = FullMachine(folder), list[str]()
    supervisor = Supervisor(
        machine,
        {"worker-0": (object, lambda role: None)},
        token=b"t",
        on_failure=lambda role, failures, n: None,
        on_remark=remarks.append,
        on_report=lambda report: None,
    )
    supervisor.start()
    deadline, pause = time.monotonic() + 30, threading.Event()
    try:
        while machine.n_refused < 3 and time.monotonic() < deadline:
            supervisor.command(None)  # wakes it up
            pause.wait(0.005)
    finally:
        supervisor.close(wait_s=0.1)
    assert machine.n_refused >= 3
    assert any("worker-0 cannot be started at the moment: [Errno 11]" in remark for remark in remarks)
