"""The commands doctor and status at the pages of glimt that are no live run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from fastapi import FastAPI
from typer.testing import CliRunner, Result

from captures import stins_messages, write_capture
from glimt.app.replay import Replay, ReplayOptions
from glimt.app.serve import Serving
from glimt.app.serve_page import ServePage
from glimt.app.site_file import load_site
from glimt.cli.doctor import doctor
from glimt.cli.status import status
from glimt.web.server import ViewServer
from live_view_rig import served

commands = typer.Typer()
commands.command()(status)
commands.command()(doctor)

CLASSES = """
class Worker:
    def process_event(self, event):
        return event.event_number

class Raises:
    def process_event(self, event):
        raise RuntimeError("no beam")

class Reducer:
    def __init__(self, **kwargs):
        self.publish = {}
    def process_result(self, result):
        self.publish["last"] = result.payload
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(commands, list(arguments), env={"COLUMNS": "100"})


def words(result: Result) -> str:
    return " ".join(result.stdout.split())


@contextmanager
def replaying(folder: Path, worker: str, patch: pytest.MonkeyPatch) -> Iterator[tuple[Replay, str]]:
    """Open a replay of five events with its live view; give it and the address."""
    name = f"shown_{folder.name.replace('-', '_')}"
    (folder / f"{name}.py").write_text(CLASSES)
    patch.chdir(folder)
    patch.syspath_prepend(folder)
    capture = write_capture(folder / "a.cbors", stins_messages(3))
    replay = Replay(ReplayOptions(f"{name}:{worker}", f"{name}:Reducer", files=[capture], port=0))
    with replay.live_view() as server:
        yield replay, server.url


def test_doctor_says_of_a_replay_what_it_is_and_how_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(tmp_path, "Worker", monkeypatch) as (replay, url):
        begun = run("doctor", url)
        replay.run()
        ended = run("doctor", url)
    for result in (begun, ended):
        assert result.exit_code == 0, result.output
        assert f"NOTE {url} is a replay of shown_" in words(result)
        assert "no live run" in words(result)
        assert "glimt doctor http://127.0.0.1:5000" in words(result)
    assert "0 events, 0 results, 0% done" in words(begun)
    assert "5 events, 5 results, it has ended" in words(ended)


def test_doctor_says_of_a_replay_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(tmp_path, "Raises", monkeypatch) as (replay, url):
        replay.run()
        result = run("doctor", url)
    assert result.exit_code == 1
    assert "ERROR the analysis raised 5 times" in words(result)


def test_status_of_a_replay_says_that_it_is_none_of_a_live_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaying(tmp_path, "Worker", monkeypatch) as (_, url):
        result = run("status", url)
    assert result.exit_code == 2
    assert "what answers is a replay of shown_" in result.stderr
    assert f"`glimt doctor {url}` says how it is" in result.stderr


def test_doctor_says_of_a_live_view_that_another_port_knows_the_run() -> None:
    with served({"mean": 1.0}) as (server, _):
        result = run("doctor", server.url)
    assert result.exit_code == 2
    assert "what answers is a live view, which has results only; ask the control port of the run" in result.stderr


def test_doctor_says_of_glimt_serve_what_it_is_and_how_its_services_are(tmp_path: Path) -> None:
    file = tmp_path / "site.toml"
    file.write_text('[broker]\nurl = "sqlite:broker.sqlite"\n[paths]\nstate = "."\n[beamline]\nname = "t02"\n')
    services = Serving(load_site(file), ("images", "ispyb"), tell=lambda _: None)
    services.prepare()
    with ServePage(services, port=0) as page:
        deadline = time.monotonic() + 20
        while "services" not in json.loads(httpx.get(f"{page.url}/json").content):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        result = run("doctor", page.url)
    assert result.exit_code == 0, result.output
    assert "is `glimt serve` of t02, no live run: 2 services" in words(result)
    assert "images starting, ispyb starting" in words(result)


@pytest.mark.parametrize(
    "told", [{"kind": "replay"}, {"name": 5, "kind": "replay"}, {"name": "x", "kind": "y"}, [], "replay"]
)
def test_another_server_is_not_taken_for_a_page_of_glimt(told: Any) -> None:
    app = FastAPI()
    app.add_api_route("/api/v1/page/hello", lambda: told, methods=["GET"], response_model=None)
    with ViewServer(app, port=0) as server:
        result = run("doctor", server.url)
    assert result.exit_code == 2
    assert "what answers is no live run of glimt: 404 Not Found" in result.stderr
