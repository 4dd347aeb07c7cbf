"""The browser page of ``glimt serve``: services, queues, dead letters, and grid scans as they come in."""

from __future__ import annotations

import logging
import re
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from glimt.app.serve_log import LogReceiver
from glimt.app.serve_page_poll import Poller, Values
from glimt.app.serve_page_queues import QueueLook
from glimt.app.serve_page_services import ServiceAccounts
from glimt.app.serve_page_tree import ServeTree
from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from glimt.app.serve import Serving
    from glimt.app.serve_page_results import ResultsLook

LOOPBACK = "127.0.0.1"

_TOKEN = re.compile(r"[\x21-\x7e]{16,500}")
_UNWATCHED_RESULTS_S = 10.0
_ATTRIBUTES = {
    "messages_attrs": {"title": "messages handled", "units": "1/s"},
    "waiting_attrs": {"title": "messages waiting"},
    "dead_letters_attrs": {"title": "dead letters"},
    "images_attrs": {"title": "images analysed", "units": "1/s"},
    "results_written_attrs": {"title": "results written"},
    "database_attrs": {"title": "results database answers in", "units": "ms"},
    "newest_dead_letters_attrs": {"title": "newest dead letters"},
    "centering_attrs": {"title": "X-ray centering"},
    "collections_attrs": {"title": "newest data collections"},
}
_NUMBERS = ("messages", "images", "waiting", "dead_letters", "results_written", "database")
_TABLES = ("services", "queues", "newest_dead_letters", "collections", "centering")


class ServePage:
    """Serves the page while the context lasts; whatever goes wrong with it, services go on.

    Parameters
    ----------
    serving : Serving
        What is shown; must not run yet.
    port : int
        0 picks a free one.
    host : str
        Anything but this machine needs a token.
    token : str
        What a browser must bring; empty for none.

    Attributes
    ----------
    url : str

    Raises
    ------
    UsageError
        The port is taken or not allowed, the token is too short or missing, or packages are missing.
    """

    def __init__(self, serving: Serving, *, port: int, host: str = LOOPBACK, token: str = "") -> None:
        if token and not _TOKEN.fullmatch(token):
            raise UsageError("the token of the page must be 16 to 500 letters, digits and signs")
        try:
            from glimt.app.serve_page_plots import slot_names
            from glimt.web.live_view import create_app
            from glimt.web.log_ring import LogRing
            from glimt.web.page_feed import LocalFeed
            from glimt.web.page_hub import PageHub, PageSource
            from glimt.web.page_store import FILE_NAME
            from glimt.web.server import ViewServer
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("glimt"):
                raise
            raise UsageError(f"--port needs the package {error.name}: pip install glimt[view]") from None
        site = serving.site
        self.tree = ServeTree((*_NUMBERS, *slot_names(), *_TABLES))
        self.tree.put(_ATTRIBUTES)
        self._accounts = ServiceAccounts(lambda: [service.look() for service in serving.services])
        self._logs = LogRing()
        name = site.beamline or "glimt serve"
        source = PageSource(
            name,
            "serve",
            LocalFeed(self.tree),
            self._accounts.health,
            logs=self._logs,
            file=site.state_folder / FILE_NAME,
        )
        self._hub = PageHub(source)
        self._server = ViewServer(create_app(self.tree, token=token or None, hub=self._hub), port=port, host=host)
        self._receiver = LogReceiver(self._logs.add)
        self._serving = serving
        self._pollers = self._make_pollers()
        self._stack = ExitStack()
        self.url = self._server.url

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            root = logging.getLogger()
            root.addHandler(self._logs)
            stack.callback(root.removeHandler, self._logs)
            self._serving.forward(self._receiver.sender, self._told)
            self._receiver.start()
            stack.callback(self._receiver.end)
            for poller in self._pollers:
                poller.start()
                stack.callback(poller.end)
            stack.enter_context(self._hub)
            stack.enter_context(self._server)
            stack.callback(self._logs.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _make_pollers(self) -> list[Poller]:
        site = self._serving.site
        own = {queue.name for task in self._serving.tasks for queue in task.queues}
        queues = QueueLook(str(site.broker_url), own)
        results = _LazyResults(str(site.results_url), site.beamline)
        shared: dict[str, Any] = {"show": self.tree.put, "is_watched": lambda: self._hub.n_viewers > 0}
        return [
            Poller("the list of services", self._accounts.take, away=lambda _: {}, idle_s=1.0, **shared),
            Poller("the broker", queues.take, away=lambda _: {"waiting": None, "dead_letters": None}, **shared),
            Poller(
                "the results database",
                results.take,
                away=lambda _: {"database": float("nan")},
                idle_s=_UNWATCHED_RESULTS_S,
                **shared,
            ),
        ]

    def _told(self, text: str) -> None:
        self._logs.add({"msg": text, "name": "glimt", "levelname": "INFO", "created": str(time.time())})


class _LazyResults:
    """Opens the results database when it is first asked: where its packages are missing, the page lives without."""

    def __init__(self, url: str, beamline: str) -> None:
        self._url, self._beamline = url, beamline
        self._look: ResultsLook | None = None

    def take(self) -> Values:
        from glimt.app.serve_page_plots import results_tree
        from glimt.app.serve_page_results import ResultsLook

        if self._look is None:
            self._look = ResultsLook(self._url, self._beamline)
        found = self._look.read()
        return {**results_tree(found), "database": round(1e3 * found.took_s)}
