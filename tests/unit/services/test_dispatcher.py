from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glimt.model.errors import RejectedMessageError, RetryMessageError, UsageError
from glimt.model.recipe_envelope import Envelope
from glimt.services.dispatcher import DispatcherService
from glimt.services.recipe_files import SHIPPED_RECIPES, list_recipes
from glimt.services.recipe_step import RECIPE_HEADER
from glimt.services.service import ServiceSetup
from glimt.stores.collections_db_registration import RegisteredCollection, RegisteredGrid, register_collection
from glimt.stores.results_db import ResultsDatabase
from glimt.stores.results_rows import insert_row, update_row
from service_steps import plain_step, sent, step_for
from set_clock import Clock

SIMPLE: dict[str, Any] = {
    "1": {"queue": "my.queue", "parameters": {"file": "{file}", "all": "{$REPLACE:things}"}},
    "start": [[1, ["begin"]]],
}


class Rig:
    def __init__(self, folder: Path, clock: Clock) -> None:
        self.folder, self.clock = folder, clock
        self.recipes = folder / "recipes"
        self.recipes.mkdir()
        self.made: list[DispatcherService] = []

    def service(self, *, results_url: str = "", **configuration: Any) -> DispatcherService:
        state = self.folder / "state"
        state.mkdir(exist_ok=True)
        setup = ServiceSetup(configuration, (self.folder,), state, results_url, (self.recipes, SHIPPED_RECIPES))
        self.made.append(DispatcherService(setup, clock=self.clock))
        return self.made[-1]

    def recipe(self, name: str, content: Any) -> None:
        (self.recipes / f"{name}.json").write_text(json.dumps(content))


@pytest.fixture
def rig(tmp_path: Path, clock: Clock) -> Iterator[Rig]:
    made = Rig(tmp_path, clock)
    yield made
    for service in made.made:
        service.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[ResultsDatabase]:
    made = ResultsDatabase(f"sqlite:///{tmp_path / 'results.sqlite'}")
    made.prepare()
    yield made
    made.close()


def _url(rig: Rig) -> str:
    return f"sqlite:///{rig.folder / 'results.sqlite'}"


def _register(database: ResultsDatabase, **changes: Any) -> int:
    values: dict[str, Any] = {"image_template": "thau_1_####.cbf", "n_images": 6, "experiment_type": "Mesh"}
    values |= {"image_directory": "/data/images", "beamline": "i03", "grid": RegisteredGrid(3, 2), "exposure_s": 0.01}
    with database.transaction() as session:
        return register_collection(session, RegisteredCollection(**{**values, **changes}))


def _request(recipes: Any = ("simple",), custom: Any = None, **parameters: Any) -> dict[str, Any]:
    request: dict[str, Any] = {"recipes": list(recipes), "parameters": parameters}
    return request if custom is None else {**request, "custom_recipe": custom}


def test_named_recipe_is_filled_in_and_started(rig: Rig) -> None:
    rig.recipe("simple", SIMPLE)
    step = plain_step(_request(file="/a/b.cbf", things=[1, 2], guid="my-run"), headers={"zocalo.go.user": "me"})
    rig.service().handle(step)
    (message,) = step.outgoing
    assert (message.queue, message.headers) == ("my.queue", {RECIPE_HEADER: True})
    envelope = Envelope.decode(message.body)
    assert envelope.environment == {"ID": "my-run"}
    assert (envelope.recipe_pointer, envelope.recipe_path, envelope.payload) == (1, (), ["begin"])
    assert envelope.node["parameters"] == {"file": "/a/b.cbf", "all": [1, 2]}


def test_own_recipe_comes_first_and_named_ones_are_merged_into_it(rig: Rig) -> None:
    rig.recipe("simple", SIMPLE)
    own = {"1": {"queue": "own"}, "start": [[1, "mine"]]}
    step = plain_step(_request(["simple", "simple"], own, file="f", things=None))
    rig.service().handle(step)
    assert [message.queue for message in step.outgoing] == ["own", "my.queue", "my.queue"]
    assert [pointer for pointer, _ in sent(step)] == [1, 2, 3]


def test_request_within_a_recipe_starts_a_run_of_its_own(rig: Rig) -> None:
    rig.recipe("simple", SIMPLE)
    step = step_for(payload=_request(file="f", things={}), queue="processing_recipe", environment={"ID": "outer"})
    rig.service().handle(step)
    inner = Envelope.decode(step.outgoing[0].body)
    assert inner.environment["ID"] != "outer"
    assert inner.recipe_path == ()


def test_repeated_delivery_starts_the_very_same_run(rig: Rig) -> None:
    rig.recipe("simple", SIMPLE)
    steps = [plain_step(_request(file="f", things=1), message_id=name) for name in ("a", "a", "b")]
    for step in steps:
        rig.service().handle(step)
    first, again, other = (step.outgoing[0] for step in steps)
    assert (first.message_id, first.body) == (again.message_id, again.body)
    assert Envelope.decode(first.body).environment["ID"] != Envelope.decode(other.body).environment["ID"]


def test_equal_requests_without_an_identity_start_two_runs(rig: Rig) -> None:
    rig.recipe("simple", SIMPLE)
    steps = [plain_step(_request(file="f", things=1), is_identified=False) for _ in range(2)]
    service = rig.service()
    for step in steps:
        service.handle(step)
    first, second = (step.outgoing[0] for step in steps)
    assert first.message_id != second.message_id
    assert Envelope.decode(first.body).environment["ID"] != Envelope.decode(second.body).environment["ID"]


def test_run_without_an_identity_keeps_its_name_while_it_waits(rig: Rig) -> None:
    rig.recipe("simple", SIMPLE)
    late = rig.folder / "late.json"
    service = rig.service()
    step = plain_step(_request(file="f", things=1, collection_file=str(late)), is_identified=False)
    service.handle(step)
    waiting = json.loads(step.outgoing[0].body)
    late.write_text('{"image_template": "x_####.cbf", "n_images": 10, "dcid": 5}')
    again = plain_step(waiting, message_id=step.outgoing[0].message_id)
    service.handle(again)
    assert Envelope.decode(again.outgoing[0].body).environment["ID"] == waiting["parameters"]["guid"]


def test_half_a_collection_file_is_waited_for_and_named_when_the_wait_is_over(rig: Rig, clock: Clock) -> None:
    rig.recipe("simple", SIMPLE)
    file = rig.folder / "c.json"
    file.write_text('{"image_template": "x_####.c')
    service = rig.service()
    step = plain_step(_request(file="f", things=1, collection_file=str(file), dispatcher_timeout=10))
    service.handle(step)
    waiting = json.loads(step.outgoing[0].body)
    assert step.outgoing[0].queue == "processing_recipe"
    clock.now += 11
    with pytest.raises(RejectedMessageError, match=r"wait is over: .*c\.json describes no data collection"):
        service.handle(plain_step(waiting))
    file.write_text('{"image_template": "x_####.cbf", "n_images": 10, "dcid": 5}')
    last = plain_step(waiting)
    service.handle(last)
    assert last.outgoing[0].queue == "my.queue"


@pytest.mark.parametrize("name", list_recipes())
def test_recipes_that_come_with_glimt_run_on_a_registered_collection(
    rig: Rig, database: ResultsDatabase, name: str
) -> None:
    swmr = "cbf" not in name
    dcid = _register(database, image_template="thau_1.nxs" if swmr else "thau_1_####.cbf")
    step = plain_step(_request([name], ispyb_dcid=str(dcid)))
    rig.service(results_url=_url(rig)).handle(step)
    assert step.outgoing
    recipe = json.dumps(Envelope.decode(step.outgoing[0].body).recipe.to_dict())
    assert "{ispyb" not in recipe
    assert f'"dcid": "{dcid}"' in recipe


def test_recipe_of_a_job_runs_too(rig: Rig, database: ResultsDatabase) -> None:
    rig.recipe(
        "ispyb-again",
        {"1": {"queue": "q", "parameters": {"p": "{ispyb_reprocessing_parameters[data]}"}}, "start": [[1, []]]},
    )
    with database.transaction() as session:
        job = insert_row(session, "ProcessingJob", {"recipe": "again"})
        row = {"processingJobId": job, "parameterKey": "data", "parameterValue": "x"}
        insert_row(session, "ProcessingJobParameter", row)
    step = plain_step(_request([], ispyb_process=job))
    rig.service(results_url=_url(rig)).handle(step)
    assert Envelope.decode(step.outgoing[0].body).node["parameters"] == {"p": "x"}


def test_request_waits_until_the_collection_has_ended(rig: Rig, database: ResultsDatabase, clock: Clock) -> None:
    rig.recipe("simple", {"1": {"queue": "q", "parameters": {"b": "{ispyb_beamline}"}}, "start": [[1, []]]})
    dcid = _register(database, run_status=None)
    service = rig.service(results_url=_url(rig))
    headers = {"zocalo.go.user": "me", "other": "x"}
    step = plain_step(_request(ispyb_dcid=dcid, ispyb_wait_for_runstatus="1"), headers=headers)
    service.handle(step)
    (waiting,) = step.outgoing
    assert (waiting.queue, waiting.delay_s, waiting.headers) == ("processing_recipe", 2.0, {"zocalo.go.user": "me"})
    message = json.loads(waiting.body)
    assert message["parameters"]["dispatcher_expiration"] == clock.now + 120
    guid = message["parameters"]["guid"]
    with database.transaction() as session:
        update_row(session, "DataCollection", dcid, {"runStatus": "DataCollection Successful"})
    later = plain_step(message, message_id=waiting.message_id)
    service.handle(later)
    assert Envelope.decode(later.outgoing[0].body).environment == {"ID": guid}


def test_request_within_a_recipe_waits_as_that_step(rig: Rig) -> None:
    rig.recipe("simple", SIMPLE)
    payload = _request(file="f", things=1, collection_file=str(rig.folder / "late.json"))
    step = step_for(payload=payload, queue="processing_recipe", environment={"ID": "outer"})
    rig.service(not_ready_retry_s=3.0).handle(step)
    (waiting,) = step.outgoing
    assert (waiting.queue, waiting.delay_s) == ("processing_recipe", 3.0)
    assert Envelope.decode(waiting.body).environment == {"ID": "outer"}


def test_wait_ends_in_the_error_queue_or_with_the_reason(rig: Rig, clock: Clock) -> None:
    service = rig.service()
    late = str(rig.folder / "late.json")
    first = plain_step(_request(collection_file=late, dispatcher_timeout="10"))
    service.handle(first)
    message = json.loads(first.outgoing[0].body)
    clock.now += 11
    with pytest.raises(RejectedMessageError, match="not ready"):
        service.handle(plain_step(message))
    message["parameters"]["dispatcher_error_queue"] = "too.late"
    last = plain_step(message)
    service.handle(last)
    assert last.outgoing[0].queue == "too.late"
    assert json.loads(last.outgoing[0].body) == message


def test_what_zocalo_loses_silently_is_rejected_with_all_reasons(rig: Rig) -> None:
    rig.recipe(
        "wrong",
        {
            "1": {"queue": "filewatcher", "parameters": {"pattern": "{nowhere}"}, "output": {"evry": 2}},
            "2": {"service": "nowhere to go"},
            "start": [[1, []]],
        },
    )
    step = plain_step(_request(["wrong"]))
    with pytest.raises(RejectedMessageError) as refusal:
        rig.service().handle(step)
    for part in ("{nowhere}", "pattern-start", "'evry'", "did you mean", "neither 'queue' nor 'topic'"):
        assert part in str(refusal.value)
    assert step.outgoing == []


def test_lint_may_only_warn(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.recipe("wrong", {"1": {"queue": "q", "parameters": {"p": "{nowhere}"}}, "start": [[1, []]]})
    step = plain_step(_request(["wrong"]))
    with caplog.at_level(logging.WARNING):
        rig.service(lint="warn").handle(step)
    assert Envelope.decode(step.outgoing[0].body).node["parameters"] == {"p": "{nowhere}"}
    assert "{nowhere}" in caplog.text


def test_a_recipe_with_very_many_remarks_does_not_fill_the_log(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    steps = {
        str(n): {"queue": "images", "parameters": {"image_command": "diffraction"}, "outputt": n} for n in range(2, 60)
    }
    recipe = {"1": {"queue": "other", "output": {str(n): n for n in range(2, 60)}}, **steps, "start": [[1, []]]}
    with caplog.at_level(logging.WARNING):
        rig.service().handle(plain_step(_request((), recipe)))
    assert caplog.text.count("did you mean 'output'?") == 20
    assert "recipe: and 38 more" in caplog.text


def test_collection_without_a_database_is_explained(rig: Rig) -> None:
    with pytest.raises(RejectedMessageError, match="names no results database"):
        rig.service().handle(plain_step(_request(["per-image-analysis-rotation"], ispyb_dcid=1)))


@pytest.mark.parametrize(
    ("payload", "complaint"),
    [
        ([1], "a request is an object"),
        ({"parameters": 5}, "parameters is '5'"),
        ({"parameters": {}, "recipes": "simple"}, "list of names"),
        ({"parameters": {}, "recipes": [5]}, "list of names"),
        ({"parameters": {}}, "names no recipe"),
        (_request(["../simple"]), "not the name of a recipe"),
        (_request(["/etc/passwd"]), "not the name of a recipe"),
        (_request(["smple"]), "did you mean 'simple'"),
        (_request(["simple"] * 101), "more than 100"),
        (_request(["broken"]), "broken"),
        (_request(["cyclic"]), "cyclic"),
        (_request([], {"1": 5}), "step 1"),
        (_request([], "text"), "custom_recipe"),
        (_request(guid="../../x"), "guid"),
        (_request(guid=["x"]), "guid"),
        (_request(collection_file="/nowhere/x", dispatcher_timeout="soon"), "outside"),
        (_request(file="{file.__class__}", things=1, ispyb_process="x"), None),
    ],
)
def test_request_that_makes_no_sense_is_rejected_with_the_reason(rig: Rig, payload: Any, complaint: str | None) -> None:
    rig.recipe("simple", SIMPLE)
    (rig.recipes / "broken.json").write_text("{")
    rig.recipe("cyclic", {"1": {"queue": "q", "output": 1}, "start": [[1, []]]})
    step = plain_step(payload)
    if complaint is None:  # values are never expanded again
        rig.service().handle(step)
        assert Envelope.decode(step.outgoing[0].body).node["parameters"]["file"] == "{file.__class__}"
        return
    with pytest.raises(RejectedMessageError, match=complaint):
        rig.service().handle(step)
    assert step.outgoing == []


def test_recipe_that_asks_for_attributes_is_rejected(rig: Rig) -> None:
    own = {"1": {"queue": "q", "parameters": {"x": "{file.__class__}"}}, "start": [[1, []]]}
    with pytest.raises(RejectedMessageError, match="__class__"):
        rig.service().handle(plain_step(_request([], own, file="f")))


def test_database_that_is_away_lets_the_request_come_again(rig: Rig) -> None:
    with pytest.raises(RetryMessageError, match="db init"):
        rig.service(results_url=f"sqlite:///{rig.folder / 'none.sqlite'}").handle(plain_step(_request(ispyb_dcid=1)))


def test_logbook_has_the_four_sections(rig: Rig) -> None:
    rig.recipe("simple", SIMPLE)
    logbook = rig.folder / "logbook"
    request = _request(file="f", things=1, guid="abcdef-1")
    rig.service(logbook=str(logbook)).handle(plain_step(request, headers={"zocalo.go.user": "me"}))
    (entry,) = (path for path in logbook.rglob("*") if path.is_file())
    assert entry.relative_to(logbook).parts == ("2023-11", "ab", "cdef-1")
    titles = ("Incoming message header:\n", "Incoming message body:\n", "Parsed message body:\n", "Recipe object:\n")
    rest, sections = entry.read_text(), []
    for title in reversed(titles):
        rest, _, section = rest.partition(title)[0], "", rest.partition(title)[2]
        sections.append(json.loads(section))
    recipe, parsed, body, header = sections
    assert header == {"zocalo.go.user": "me"}
    assert body == request
    assert parsed["parameters"]["guid"] == "abcdef-1"
    assert recipe["1"]["parameters"] == {"file": "f", "all": 1}


def test_logbook_that_cannot_be_written_stops_nothing(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.recipe("simple", SIMPLE)
    (rig.folder / "logbook").write_text("a file")
    step = plain_step(_request(file="f", things=1))
    rig.service(logbook=str(rig.folder / "logbook")).handle(step)
    assert len(step.outgoing) == 1
    assert "has no entry" in caplog.text


def _install(folder: Path, group: str, body: str, target: str = "answer") -> str:
    """Install a package with one entry point in a folder, and return its module's name."""
    module = f"plugin_{abs(hash((group, body)))}"
    (folder / f"{module}.py").write_text(body)
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{group}]\nmine = {module}:{target}\n")
    return module


@pytest.fixture
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    return folder


def test_filter_of_another_package_changes_the_request(rig: Rig, site_packages: Path) -> None:
    body = "def answer(message, parameters):\n    message['recipes'].append('simple')\n"
    body += "    return message, {**parameters, 'file': 'from the filter', 'things': 2}\n"
    _install(site_packages, "zocalo.services.dispatcher.filters", body)
    rig.recipe("simple", SIMPLE)
    step = plain_step(_request([]))
    rig.service().handle(step)
    assert Envelope.decode(step.outgoing[0].body).node["parameters"]["file"] == "from the filter"


def test_other_package_may_let_a_request_wait(rig: Rig, site_packages: Path) -> None:
    body = "def answer(message, parameters):\n    return parameters.get('go') == 'yes'\n"
    _install(site_packages, "zocalo.services.dispatcher.ready_for_processing", body)
    rig.recipe("simple", SIMPLE)
    service = rig.service()
    waiting, ready = plain_step(_request(file="f", things=1)), plain_step(_request(file="f", things=1, go="yes"))
    service.handle(waiting)
    service.handle(ready)
    assert [step.outgoing[0].queue for step in (waiting, ready)] == ["processing_recipe", "my.queue"]


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("raise OSError('no license')\n", "cannot be loaded: OSError: no license"),
        ("other = 1\n", "cannot be loaded: AttributeError"),
        ("def answer(message, parameters):\n    return parameters['nowhere']\n", "failed: KeyError"),
        ("def answer(message, parameters):\n    return message\n", "returned dict"),
    ],
)
def test_broken_filter_of_another_package_is_the_reason(
    rig: Rig, site_packages: Path, body: str, complaint: str
) -> None:
    _install(site_packages, "zocalo.services.dispatcher.filters", body)
    rig.recipe("simple", SIMPLE)
    with pytest.raises(RejectedMessageError, match=complaint):
        rig.service().handle(plain_step(_request(file="f", things=1)))


@pytest.mark.parametrize(
    ("configuration", "complaint"),
    [
        ({"lint": "ignore"}, "lint"),
        ({"log_book": "x"}, "log_book"),
        ({"folders": {"results": "{nowhere}"}}, "none of visit_folder"),
    ],
)
def test_wrong_configuration_is_named(rig: Rig, configuration: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        rig.service(**configuration)


def test_recipe_with_a_queue_that_is_not_there_is_rejected_with_all_of_them(rig: Rig) -> None:
    rig.recipe("simple", {"1": {"queue": "own.a", "output": 2}, "2": {"queue": "own.b"}, "start": [[1, []]]})
    service = rig.service()
    service.connected(lambda queue, *, exchange="": queue == "own.c")
    with pytest.raises(RejectedMessageError, match=r"step 1.*'own.a'.*step 2.*'own.b'.*configure"):
        service.handle(plain_step(_request()))
    service.connected(lambda queue, *, exchange="": True)
    step = plain_step(_request())
    service.handle(step)
    assert len(step.outgoing) == 1


def test_recipe_with_a_queue_that_is_not_there_runs_where_the_site_wants_it(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.recipe("simple", {"1": {"queue": "own.a"}, "start": [[1, []]]})
    service = rig.service(lint="warn")
    service.connected(lambda queue, *, exchange="": False)
    step = plain_step(_request())
    service.handle(step)
    assert len(step.outgoing) == 1
    assert "no queue 'own.a'" in caplog.text
