"""What the control interface asks of a live run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from glimt.model.errors import GlimtError, UsageError
from glimt.web.parameter_access import ParameterAccess

if TYPE_CHECKING:
    from collections.abc import Iterable

    from glimt.model.health import Health
    from glimt.web.log_ring import LogRing


class ConflictError(UsageError):
    """What is asked does not fit what the run is doing now, such as a map in automatic mode; answered as 409."""


class RunEndingError(GlimtError, RuntimeError):
    """The run is ending, or has not started far enough, and takes no orders; answered as 503."""


class RunControl(ParameterAccess, Protocol):
    """A live run with its parameters, as the control interface sees it.

    Every method is called from several threads at once and should come back within a second; what takes longer than
    `glimt.web.control_answers.ANSWER_S` is answered as 503 while the call goes on. Everything returned must be
    encodable as JSON (str keys, no arrays) and not be changed afterwards.

    A method may raise `UsageError` or `ParameterError` (answered as 400), `ConflictError` (409), `KeyError` (404) and
    `RunEndingError` (503); the text is shown to the client.
    """

    @property
    def logs(self) -> LogRing:
        """Return the newest log records of all processes of the run."""
        ...

    def upload_map(self, data: bytes, *, all_wrap: bool) -> str:
        """Begin a scan with a trigger map, and return its id (UUID as text) once every process has it.

        Parameters
        ----------
        data : bytes
            JSON as it was sent, unchecked: ``{"parts": …, "sequence": …}``, or ``{stream: [entry…]}`` for one part.
        all_wrap : bool
            Whether start and end packets are put around it.
        """
        ...

    def upload_sardana(self, info: dict[str, Any]) -> str:
        """Begin a scan with a uniform map made of ``{"streams": […], "scan": {"nb_points": n}}``; return its id."""
        ...

    def current_map(self) -> Iterable[bytes]:
        """Return the present map in dranspose's form, as pieces of encoded JSON (`TriggerMap.json_pieces`).

        ``{"parts": {part: {"mapping": {stream: [[{"tags": […], "constraint": n}], …]}}}, "sequence": […]}``; both empty
        where there is none.
        """
        ...

    def stop(self) -> None:
        """End the scan; events under way are finished, later ones are counted as dropped ("stopped").

        Does nothing where no scan runs.
        """
        ...

    def config(self) -> dict[str, Any]:
        """Return dranspose's ``EnsembleState``.

        Keys ``ingesters``, ``workers`` (lists), ``reducer``, ``controller_version``, ``parameters_version``
        (name to UUID), ``parameters_hash``. Each process has ``service_uuid``, ``mapping_uuid``, ``dranspose_version``,
        ``mapreduce_version``, ``parameters_hash``, ``processed_events``, ``event_rate``, ``name``; an ingester also
        ``url``, ``connected_workers`` (UUID to ``name``, ``service_uuid``, ``last_seen``) and ``streams``; a worker
        ``ingesters`` (whole states, so that ``get_streams()`` of the client finds them) and ``tags``; the reducer
        ``url``.
        """
        ...

    def status(self) -> dict[str, Any]:
        """Return dranspose's status.

        ``work_completed`` (event number to workers), ``last_assigned``, ``assignment`` (list), ``completed_events``
        (list), ``finished``, ``processing_times`` (worker to event to times). The lists may be cut to the newest
        events: a scan of a million must not make them grow without end.
        """
        ...

    def progress(self) -> dict[str, Any]:
        """Return ``last_assigned``, ``completed_events``, ``total_events`` (``None`` where open) and ``finished``.

        ``finished`` is true once workers, ingester and reducer have all done their part, ``finish()`` included.
        """
        ...

    def load(self, intervals: list[int], *, scan: bool) -> dict[str, Any]:
        """Return how busy each worker was over its last events, for each number of events in ``intervals``.

        ``{worker: {"last_event": n, "intervals": {"10": {"total": s, "active": s, "events": n}, …}}}`` with times in
        seconds; with ``scan`` also the interval ``"scan"``. Workers that had no event are left out.
        """
        ...

    def health(self) -> Health:
        """Return how the run is; ``/metrics``, the page, `glimt status` and `glimt doctor` read nothing else."""
        ...
