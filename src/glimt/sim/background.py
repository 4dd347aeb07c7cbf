"""A simulated device that works while a test or a benchmark receives."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from glimt.model.errors import UsageError
from glimt.sim.report import SimulationReport
from glimt.sim.simulation import Simulation


class BackgroundSimulation:
    """A `Simulation` in a thread of its own; a context manager that waits for its end, or stops it after an error.

    Parameters
    ----------
    simulation : Simulation
        Is run, and closed at the end.

    Attributes
    ----------
    stop : Event
        Set it to end the simulation.
    """

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._failure: Exception | None = None
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulation", daemon=True)

    @property
    def report(self) -> SimulationReport:
        """What was sent so far."""
        return self._simulation.report

    def _run(self) -> None:
        try:
            with self._simulation:
                self._simulation.run(self.stop)
        except UsageError as error:
            self._failure = error

    def join(self) -> SimulationReport:
        """Wait for the end of the simulation.

        Raises
        ------
        UsageError
            Nobody received.
        """
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self.report

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.stop.set()
            self._thread.join()
        else:
            self.join()
