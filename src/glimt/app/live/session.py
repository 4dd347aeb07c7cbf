"""A live run with everything around it: control and live view over HTTP, the log in memory."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from glimt.app.live.open_engine import open_engine
from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from glimt.app.beamline import Beamline
    from glimt.app.live.control import Control

log = logging.getLogger("glimt")

_FINISH_S = 120.0
_PATIENCE_S = 5.0
"""So long after an operator wants the end, workers that do not come back from user code are ended [s]."""


@dataclass(frozen=True, slots=True)
class ServeView:
    """Serves the reducer's live view; pickled to its process.

    Attributes
    ----------
    host, port, token
        Where, and what viewers must send; port 0 is any free one.
    """

    host: str
    port: int
    token: str

    def __call__(self, published: Any) -> AbstractContextManager[Any]:
        """Return a context manager that serves while it is open."""
        from glimt.web.live_view import create_app
        from glimt.web.server import ViewServer

        app = create_app(published, token=self.token or None)
        return ViewServer(app, host=self.host, port=self.port)


class LiveSession:
    """A live run that can be steered and watched; a context manager.

    Parameters
    ----------
    beamline : Beamline
        What to run.

    Attributes
    ----------
    run : LiveEngine
        The run.
    control : Control
        Steers it.
    url : str
        Of the control interface.

    Raises
    ------
    UsageError, UserCodeError, ParameterError
        Something in the beamline file cannot be used: a class, a parameter, a port.
    """

    def __init__(self, beamline: Beamline) -> None:
        self.beamline = beamline
        self.url = ""
        settings = beamline.control
        for key, port in (("port", settings.port), ("view_port", settings.view_port)):
            _check_port(settings.host, port, key)
        try:
            from glimt.app.live.control import Control  # FastAPI is an extra
            from glimt.web.control_api import create_control_app
            from glimt.web.log_ring import LogRing
            from glimt.web.page_hub import PageHub, PageSource
            from glimt.web.page_remote_feed import RemoteFeed
            from glimt.web.page_store import FILE_NAME
            from glimt.web.server import ViewServer
        except ModuleNotFoundError as error:
            raise UsageError(f"glimt run needs the package {error.name}: pip install glimt[view]") from None
        token = str(settings.token)
        self._logs = LogRing()
        self.run = open_engine(beamline, serve_view=ServeView(settings.host, settings.view_port, token))
        self.control: Control = Control(self.run, self._logs)
        self._hub = PageHub(
            PageSource(
                beamline.name,
                "run",
                RemoteFeed(lambda: self.view_url, token=token or None),
                self.control.health,
                parameters=self.control,
                set_parameter=self.control.set_from_event,
                logs=self._logs,
                file=beamline.path.parent / FILE_NAME,
            )
        )
        app = create_control_app(self.control, token=token or None, hub=self._hub)
        self._server = ViewServer(app, host=settings.host, port=settings.port)
        self._stack = ExitStack()

    @property
    def view_url(self) -> str:
        """Of the live view, empty as long as it is not known."""
        return str(self.run.roles["reducer"].state.get("view_url", ""))

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            root = logging.getLogger()
            root.addHandler(self._logs)
            stack.callback(root.removeHandler, self._logs)
            stack.enter_context(self.run)
            stack.enter_context(self._hub)
            stack.enter_context(self._server)
            stack.callback(self._logs.close)
            self.url = self._server.url
            if self.beamline.events.map is not None:
                self.control.upload_map(_read_map(self.beamline), all_wrap=True)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def watch(self, should_stop: Callable[[], bool], *, n_scans: int | None, every_s: float = 0.2) -> Iterator[None]:
        """Yield again and again until the run is over.

        Parameters
        ----------
        should_stop : callable
            Asked each time; what has come is then finished first, but for events that a worker does not come back from.
        n_scans : int or None
            The run is over when so many scans have ended. Without it: when all sources have ended, or when it cannot go
            on.
        every_s : float
            Time between two yields [s].
        """
        stopped_at = 0.0
        may_insist = False
        while True:
            yield
            report = self.run.report
            if self.run.problem:
                return
            if stopped_at:
                ended = report.get("is_closed", False) and not report["is_running"]
                if ended or time.monotonic() - stopped_at > _FINISH_S:
                    return
                if may_insist and time.monotonic() - stopped_at > _PATIENCE_S:
                    may_insist = False
                    self.run.stop_scan(last=True, insist=True)
            elif (may_insist := should_stop()) or self._is_over(report, n_scans):
                stopped_at = time.monotonic()
                self.run.stop_scan(last=True)
            self.run.wait_for_report(lambda _: False, every_s)  # where there are no processes, this is the loop

    def _is_over(self, report: dict[str, Any], n_scans: int | None) -> bool:
        n_ended = report.get("n_scans", 0) - report.get("is_running", False)
        if n_scans is not None:
            return bool(n_ended >= n_scans)
        played = all(stream["source"]["is_ended"] for stream in report.get("streams", []))
        return n_ended > 0 and played and not report["is_running"]


def _read_map(beamline: Beamline) -> bytes:
    path = beamline.events.map
    assert path is not None
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the trigger map {path}: {error.strerror or error}") from None


def _check_port(host: str, port: int, key: str) -> None:
    """Find out now whether a port is free: what needs it starts in another process."""
    if not port:
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(
                f"control.{key}: port {port} of {host} cannot be used ({error.strerror or error}); "
                "is another run going on? Choose another, or 0 for any free one"
            ) from None
