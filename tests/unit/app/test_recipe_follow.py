"""Waiting for a run of a recipe: what it waits for, and what not; on a real broker in a file."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glimt.app import recipe_follow
from glimt.app.broker_dead_letters import DeadLetter
from glimt.app.recipe_follow import dead_letter_lines, follow_run
from glimt.app.recipe_progress import RunProgress, look_at_run
from glimt.app.serve_status import StatusThread
from glimt.app.site import Site
from glimt.app.site_file import load_site
from glimt.brokers.broker import Outgoing, QueueSpec
from glimt.brokers.sqlite import SqliteBroker
from glimt.services.service_activity import Activity, ServiceActivity
from glimt.services.service_status import StatusOfService

RUN = "0f0f0f0f-run"
RECIPE: dict[str, Any] = {"1": {"queue": "doubler", "output": 2}, "2": {"queue": "sink"}, "start": [[1, []]]}


def message(step: int) -> Outgoing:
    body = {"environment": {"ID": RUN}, "recipe": RECIPE, "recipe-path": [], "recipe-pointer": step}
    return Outgoing(json.dumps(body).encode(), RECIPE[str(step)]["queue"])


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GLIMT_SITE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(recipe_follow, "LEFT_AFTER_S", 0.2)
    monkeypatch.setattr(recipe_follow, "_HINT_AFTER_S", 0.5)
    (tmp_path / "glimt").mkdir()
    return load_site()


@pytest.fixture
def broker(site: Site) -> Iterator[SqliteBroker]:
    connection = SqliteBroker(str(site.broker_url))
    connection.declare([QueueSpec("doubler"), QueueSpec("sink")])
    yield connection
    connection.close()


def follow(site: Site, timeout_s: float) -> tuple[bool, list[str]]:
    lines: list[str] = []
    progress = follow_run(site, RUN, stop=threading.Event(), tell=lines.append, timeout_s=timeout_s)
    return progress.is_over, lines


def test_what_a_recipe_leaves_to_another_program_is_named_and_not_waited_for(site: Site, broker: SqliteBroker) -> None:
    broker.send([message(2), message(2)])
    assert not look_at_run(site, RUN).is_over
    is_over, (line,) = follow(site, 30.0)
    assert is_over
    assert line.startswith("sink: 2 waiting, the end of the recipe, in a queue that no service of glimt")


def test_step_of_another_program_that_the_recipe_goes_on_from_is_waited_for(site: Site, broker: SqliteBroker) -> None:
    broker.send([message(1)])
    is_over, lines = follow(site, 0.7)
    assert not is_over
    assert lines == ["nobody takes messages of doubler now: is `glimt serve` running, and ready?"]


def test_queue_that_somebody_takes_is_waited_for(site: Site, broker: SqliteBroker) -> None:
    broker.send([message(2)])
    broker.subscribe("sink")
    assert follow(site, 0.6) == (False, [])


def test_queue_of_a_service_that_the_site_file_names_is_waited_for(site: Site, broker: SqliteBroker) -> None:
    Path("site.toml").write_text('[services.images]\nqueues = ["sink"]\n')
    broker.send([message(2)])
    assert follow(load_site(), 0.4) == (False, [])


def test_service_that_is_starting_is_said_to_be(site: Site, broker: SqliteBroker) -> None:
    status = StatusOfService("per_image_analysis", "DLS", "Service", host="uk.i03.77")

    def look() -> list[tuple[StatusOfService, Activity]]:
        status.renew()
        return [(status, ServiceActivity().read())]

    broker.send([message(1)])
    serving = StatusThread(str(site.broker_url), look)
    serving.start()
    try:
        _, lines = follow(site, 3.0)
    finally:
        serving.end()
    assert lines == ["nobody takes messages of doubler yet; starting: per_image_analysis"]


def test_dead_letters_of_one_reason_are_one_line() -> None:
    reasons = ["no such host"] * 20 + ["no such file", "no such port", "no such port"]
    letters = [DeadLetter(f"m{number}", "gda", reason, number, RUN) for number, reason in enumerate(reasons)]
    lines = list(dead_letter_lines(RunProgress(RUN, True, (), tuple(letters)), limit=2))
    assert lines == [
        "gda: m0 and 19 more: no such host",
        "gda: m20: no such file",
        "and 2 more; glimt broker dead-letters lists all",
    ]
