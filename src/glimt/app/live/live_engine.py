"""What the control interface and the command need of a live run, wherever its roles are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, Self

from glimt.app.beamline import Beamline
from glimt.engines.supervisor import RoleState
from glimt.pipeline.parameter_set import ParameterSet


class LiveEngine(Protocol):
    """A live run of a beamline file; a context manager that starts and ends it.

    Attributes
    ----------
    beamline : Beamline
        What runs.
    parameters : ParameterSet
        Descriptions and newest values.
    slots : dict of str to frozenset of str
        Names and tags of the worker slots.
    began_at : float
        When it was made (monotonic) [s].
    report : dict
        The newest report of the ingester, see `glimt.engines.ingester.Ingester.state`.
    failures : list of str
        The first calls of user code that raised, one line each.
    n_failures : dict of str to int
        By role.
    remarks : list of str
        What the operator was told.
    bad_messages : dict of str to list
        By stream, the first messages that broke its protocol.
    """

    beamline: Beamline
    parameters: ParameterSet
    slots: dict[str, frozenset[str]]
    began_at: float
    report: dict[str, Any]
    failures: list[str]
    n_failures: dict[str, int]
    remarks: list[str]
    bad_messages: dict[str, list[list[bytes]]]

    @property
    def problem(self) -> str:
        """Why the run cannot go on; empty while it can."""
        ...

    @property
    def roles(self) -> Mapping[str, RoleState]:
        """What is known about each role: ``ingester``, ``reducer`` and the worker slots."""
        ...

    def begin_scan(self, trigger_map: bytes, *, all_wrap: bool) -> str:
        """Begin a scan with a trigger map that has been checked; return its identity."""
        ...

    def stop_scan(self, *, last: bool = False, insist: bool = False) -> None:
        """End the scan with what has come.

        Parameters
        ----------
        last : bool
            None begins any more.
        insist : bool
            Do not wait for workers that do not come back from user code: end them, and count their events as failed.
            Where there are no processes, nothing can be done about them.
        """
        ...

    def set_parameter(self, name: str, data: bytes) -> tuple[str, int]:
        """Change a parameter from the next event on; return the new content hash and the version.

        Raises
        ------
        ParameterError
            The value does not fit the parameter's description; nothing changes.
        """
        ...

    def wait_for_report(self, condition: Callable[[dict[str, Any]], bool], limit_s: float) -> bool:
        """Wait until a report of the ingester fulfils a condition; tell whether one did in time [s]."""
        ...

    def start(self) -> None:
        """Start it and wait until every role is there."""
        ...

    def close(self) -> None:
        """End it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
