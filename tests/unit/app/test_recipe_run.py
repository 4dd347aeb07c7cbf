"""A recipe in one process: which service a line is of, plug-ins, and the end."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from glimt.app.go import make_request, split_recipes
from glimt.app.recipe_run import run_recipe
from glimt.app.recipe_telling import name_services, payload_text
from glimt.app.site import Site
from glimt.app.site_file import load_site
from glimt.model.errors import UsageError
from glimt.services.recipe_log import RecipeLogFilter

PLUGIN = """
from glimt.compat.workflows import recipe
from glimt.compat.workflows.services.common_service import CommonService


class Counter(CommonService):
    _service_name = "Counter"
    _logger_name = "counter.plugin"

    def initializing(self):
        recipe.wrap_subscribe(self._transport, "counting", self.count, acknowledgement=True)

    def count(self, rw, header, message):
        self.log.warning("counted %s", message)
        transaction = rw.transport.transaction_begin(subscription_id=header["subscription"])
        rw.transport.ack(header, transaction=transaction)
        rw.send_to("done", {"n": 1}, transaction=transaction)
        rw.transport.transaction_commit(transaction)


class Nothing:
    pass
"""
RECIPE = {
    "1": {"queue": "counting", "output": {"done": 2}},
    "2": {"queue": "mimas"},
    "start": [[1, {"a": 1}]],
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GLIMT_SITE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "plugin_of_run_test", raising=False)
    (tmp_path / "plugin_of_run_test.py").write_text(PLUGIN)
    (tmp_path / "own.json").write_text(json.dumps(RECIPE))
    return load_site()


def run(site: Site, *services: str, queues: Sequence[str] = (), limit_s: float | None = 60.0) -> tuple[bool, list[str]]:
    lines: list[str] = []
    request = make_request(site, recipe_file=Path("own.json"))
    is_well = run_recipe(
        site, request, services=services, queues=queues, tell=lines.append, stop=threading.Event(), limit_s=limit_s
    )
    return is_well, lines


def test_a_plug_in_of_zocalo_takes_its_messages_and_its_lines_have_its_name(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RecipeLogFilter())
    name_services(handler)
    logging.getLogger().addHandler(handler)
    try:
        is_well, lines = run(site, "plugin_of_run_test:Counter")
    finally:
        logging.getLogger().removeHandler(handler)
    assert is_well
    assert lines == [
        'dispatcher -> counting: step 1, {"a": 1}',
        'plugin_of_run_test:Counter -> mimas: step 2, {"n": 1}',
        'left in mimas, which no service here takes: step 2, {"n": 1}',
    ]
    assert "WARNING plugin_of_run_test:Counter [recipe " in capsys.readouterr().err


def test_a_class_that_is_no_service_is_refused_with_both_ways_to_make_one(site: Site) -> None:
    with pytest.raises(UsageError, match=r"is no service: inherit from glimt.* or from python-workflows'"):
        run(site, "plugin_of_run_test:Nothing")


def test_the_limit_is_told_and_so_is_what_was_not_done(site: Site) -> None:
    is_well, lines = run(site, "plugin_of_run_test:Counter", limit_s=0.0)
    assert not is_well
    assert lines[0] == "ended after 0 s (--limit), whatever is left"
    assert lines[-1] == "not done: 1 messages of processing_recipe"


def test_no_line_about_a_message_is_longer_than_the_limit() -> None:
    body = json.dumps({"recipe-pointer": 12, "payload": "x" * 1000}).encode()
    assert len(payload_text(body)) == 300
    assert payload_text(body).startswith('step 12, "xxx')


def test_a_recipe_is_named_with_or_without_its_ending(site: Site) -> None:
    del site
    assert split_recipes(["a", "b.json"], None) == (["a", "b"], None)
    assert split_recipes(["a", "own.json"], None) == (["a"], Path("own.json"))
    assert split_recipes(["folder/x.json"], None) == ([], Path("folder/x.json"))
    with pytest.raises(UsageError, match="only one recipe of your own"):
        split_recipes(["own.json"], Path("other.json"))


def test_a_queue_that_keeps_nothing_at_a_beamline_keeps_its_messages_here(site: Site) -> None:
    recipe = {**RECIPE, "1": {"queue": "per_image_analysis.ssx", "output": {"result": 2}}}
    Path("own.json").write_text(json.dumps(recipe))
    _, lines = run(site)
    assert lines[-1].startswith("left in per_image_analysis.ssx, which no service here takes: step 1")
    Path("site.toml").write_text('[services.per_image_analysis]\nqueues = ["per_image_analysis.ssx"]\n')
    is_well, lines = run(load_site("site.toml"))
    assert not is_well  # it names no image
    assert lines[-1].startswith("dead letter of per_image_analysis.ssx: ")


def test_recipe_that_ends_in_a_queue_of_another_program_runs_with_that_queue(site: Site) -> None:
    recipe = {**RECIPE, "2": {"queue": "sink"}}
    Path("own.json").write_text(json.dumps(recipe))
    is_well, lines = run(site, "plugin_of_run_test:Counter")
    assert not is_well
    assert "the broker has no queue 'sink'" in lines[0]
    assert lines[-1].startswith("here, --service MODULE:CLASS runs a service of yours that takes messages of sink")
    assert "--queue sink keeps them as for another program" in lines[-1]
    is_well, lines = run(site, "plugin_of_run_test:Counter", queues=("sink",))
    assert is_well
    assert lines[-1] == 'left in sink, which no service here takes: step 2, {"n": 1}'


def test_step_whose_service_was_not_named_says_how_to_name_it(site: Site) -> None:
    _, lines = run(site)
    assert "--service MODULE:CLASS runs a service of yours that takes messages of counting" in lines[-1]


def test_queue_that_there_cannot_be_is_refused(site: Site) -> None:
    with pytest.raises(UsageError, match="queue"):
        run(site, queues=("a b\n" * 100,))
