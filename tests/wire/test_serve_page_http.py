"""The page of `glimt serve` over HTTP, and the log of its services on its way there."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glimt.app.serve import Serving
from glimt.app.serve_log import ForwardedLog, LogReceiver
from glimt.app.serve_page import ServePage
from glimt.app.site_file import load_site
from glimt.model.errors import UsageError
from glimt.services.recipe_log import about_recipe

LIMIT_S = 20.0
TOKEN = "a-token-of-20-letters"


def serving_in(folder: Path, *, prepare: bool = True) -> Serving:
    file = folder / "site.toml"
    file.write_text(
        '[broker]\nurl = "sqlite:state/broker.sqlite"\n[results]\nurl = "sqlite:///state/results.sqlite"\n'
        '[paths]\nstate = "state"\n[beamline]\nname = "t02"\n[services.images]\ninstances = 2\n'
    )
    serving = Serving(load_site(file), ("images", "ispyb"), tell=lambda _: None)
    if prepare:
        serving.prepare()
    return serving


def get(url: str, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return bytes(answer.read())


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.02)
    return found


def shown(page: ServePage, name: str) -> Any:
    return json.loads(get(f"{page.url}/json"))[name]


def test_page_shows_services_queues_and_database_and_ends_with_its_context(tmp_path: Path) -> None:
    with ServePage(serving_in(tmp_path), port=0) as page:
        assert b"<html" in get(page.url, Accept="text/html").lower()
        services = wait_for(lambda: shown(page, "services"), "the services")
        assert [row[:3] for row in services] == [["images", "2 × starting", 2], ["ispyb", "starting", 1]]
        assert wait_for(lambda: shown(page, "database") is not None, "the database")
        assert shown(page, "dead_letters") == 0
        hello = json.loads(get(f"{page.url}/api/v1/page/hello"))
        assert (hello["name"], hello["kind"], hello["may_change"]) == ("t02", "serve", True)
        url = page.url
    with pytest.raises(urllib.error.URLError):
        get(url)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("page of services")]


def test_page_lives_while_broker_and_database_are_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with ServePage(serving_in(tmp_path, prepare=False), port=0) as page:
        wait_for(lambda: len(caplog.messages) >= 2, "both are told")
        assert shown(page, "waiting") is None
        assert shown(page, "database") is None
        assert len(shown(page, "services")) == 2
    told = sorted(caplog.messages)
    assert "the broker does not answer" in told[0]
    assert "the results database does not answer" in told[1]
    assert "glimt db init" in told[1]


def test_token_keeps_everything_but_the_empty_page(tmp_path: Path) -> None:
    with ServePage(serving_in(tmp_path), port=0, token=TOKEN) as page:
        assert get(page.url, Accept="text/html")
        for route in ("/json", "/api/v1/page/hello", "/plain"):
            with pytest.raises(urllib.error.HTTPError, match="401"):
                get(page.url + route)
        assert get(f"{page.url}/json", Authorization=f"Bearer {TOKEN}")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"host": "0.0.0.0"}, "unless there is a token"),
        ({"token": "short"}, "16 to 500"),
        ({"token": "with a blank in its middle"}, "16 to 500"),
        ({"port": 70_000}, "is no port"),
    ],
)
def test_page_that_may_not_be_is_refused(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        ServePage(serving_in(tmp_path, prepare=False), **{"port": 0, **options})


def test_port_that_is_taken_is_said_before_anything_starts(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} is taken"):
            ServePage(serving_in(tmp_path, prepare=False), port=port)


def test_lines_of_a_service_come_with_its_name_and_recipe() -> None:
    lines: list[dict[str, Any]] = []
    receiver = LogReceiver(lambda line: lines.append(dict(line)))
    handler = ForwardedLog(receiver.sender, "images[2]")
    log = logging.getLogger("test of a service")
    log.propagate = False
    log.addHandler(handler)
    try:
        receiver.start()
        with about_recipe("run-7"):
            log.error("broken \ud800 %s", "×" * 20_000)
        for hostile in (b"what a service's own code may write", b"", b'{"msg":"\xff"}', b'{"x":' + b"[" * 30_000):
            receiver.sender.send(hostile)
        log.warning("wrong number of %s %s", "arguments")
        log.warning("after")
        wait_for(lambda: len(lines) == 2, "two lines")
    finally:
        log.removeHandler(handler)
        receiver.end()
    assert lines[0]["msg"].startswith("images[2] [recipe run-7]: broken \\ud800 ××")
    assert (lines[0]["levelname"], lines[0]["name"]) == ("ERROR", "images[2]")
    assert len(lines[0]["msg"]) < 10_000
    assert lines[1]["msg"] == "images[2]: after"


def test_service_does_not_wait_for_a_log_that_nobody_reads() -> None:
    receiver = LogReceiver(lambda _: None)
    handler = ForwardedLog(receiver.sender, "images")
    began = time.monotonic()
    for number in range(3000):
        handler.handle(logging.LogRecord("x", logging.INFO, __file__, 1, "%d" + "x" * 1000, (number,), None))
    assert time.monotonic() - began < 5.0
    receiver.end()
    handler.handle(logging.LogRecord("x", logging.INFO, __file__, 1, "the other end is closed", (), None))
