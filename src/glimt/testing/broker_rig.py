"""What the tests of every message broker stand on: how to make and reach one, and how to wait."""

# ruff: noqa: D102  a test's name is its sentence
from __future__ import annotations

import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar

import pytest

from glimt.brokers.broker import (
    Broker,
    Delivery,
    QueueSpec,
)


class BrokerRig(ABC):
    """Tests of a message broker.

    Attributes
    ----------
    opener : str
        ``module:function`` that makes a connection from a place in another process.
    delay_s, slack_s : float
        Delay that the tests ask for, and by how much a message may come late.
    patience_s, quiet_s : float
        How long the tests wait for what must come, and for what must not.
    take_over_s : float
        Within this time the messages of a connection that was lost or whose process was killed are with another one.
    n_competing : int
        Messages that two processes share.
    across_processes, by_priority, sends_whole : bool
        Whether several processes can connect, whether priorities are kept, and whether nothing is sent when one of
        several messages cannot be.
    counts_receivers, counts_delayed, counts_unsettled : bool
        What `status` can tell.
    """

    opener: ClassVar[str] = "glimt.app.open_broker:open_broker"
    delay_s: ClassVar[float] = 0.4
    slack_s: ClassVar[float] = 2.0
    patience_s: ClassVar[float] = 10.0
    quiet_s: ClassVar[float] = 0.25
    take_over_s: ClassVar[float] = 10.0
    n_competing: ClassVar[int] = 2000
    across_processes: ClassVar[bool] = True
    by_priority: ClassVar[bool] = True
    sends_whole: ClassVar[bool] = True
    counts_receivers: ClassVar[bool] = True
    counts_delayed: ClassVar[bool] = True
    counts_unsettled: ClassVar[bool] = True

    @abstractmethod
    def new_place(self, folder: Path) -> str:
        """Return the URL of a broker without queues; ``folder`` is the test's own."""

    @abstractmethod
    def connect(self, place: str) -> Broker:
        """Return a new connection."""

    @abstractmethod
    def cut(self, broker: Broker) -> None:
        """End a connection behind its back, as when the network fails or its lease runs out."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> str:
        return self.new_place(tmp_path)

    @pytest.fixture
    def another(self, place: str) -> Iterator[Callable[[], Broker]]:
        """Make further connections, which are closed at the end."""
        with ExitStack() as stack:

            def make() -> Broker:
                broker = self.connect(place)
                stack.callback(broker.close)
                return broker

            yield make

    @pytest.fixture
    def broker(self, another: Callable[[], Broker]) -> Broker:
        """Return a connection to a broker that has the queues ``work`` and ``other``."""
        broker = another()
        broker.declare([QueueSpec("work"), QueueSpec("other")])
        return broker

    def _needs(self, ability: str) -> None:
        if not getattr(self, ability):
            pytest.skip(f"{type(self).__name__} says that this broker has no {ability}")

    def _take(self, broker: Broker, n: int, *, within_s: float | None = None) -> list[Delivery]:
        """Return ``n`` messages, or fail."""
        taken: list[Delivery] = []
        end = time.monotonic() + (self.patience_s if within_s is None else within_s)
        while len(taken) < n and time.monotonic() < end:
            taken += broker.receive(n - len(taken), timeout_s=0.2)
        assert len(taken) == n, f"{len(taken)} messages of {n} came"
        return taken

    def _content(self, broker: Broker, queue: str, n: int) -> list[bytes]:
        """Return the bodies in a queue that must hold ``n`` messages, and settle them."""
        broker.subscribe(queue, prefetch=1000)
        taken = self._take(broker, n) if n else []
        assert broker.receive(1, timeout_s=self.quiet_s) == []
        broker.settle(taken)
        return [delivery.body for delivery in taken]

    def _process(self, place: str, script: str) -> subprocess.Popen[str]:
        module, _, function = self.opener.partition(":")
        start = (
            f"import sys, time\nfrom {module} import {function} as opener\n"
            "from glimt.brokers.broker import Outgoing\nbroker = opener(sys.argv[1])\n"
        )
        return subprocess.Popen([sys.executable, "-c", start + script, place], stdout=subprocess.PIPE, text=True)

    def _peek(self, broker: Broker, queue: str, n: int, *, limit: int = 10) -> list[Delivery]:
        end = time.monotonic() + self.patience_s
        while len(seen := broker.peek(queue, limit)) < n and time.monotonic() < end:
            time.sleep(0.05)
        assert len(seen) == n
        return seen
