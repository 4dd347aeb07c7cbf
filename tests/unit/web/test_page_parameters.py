"""Parameters as the page tells them: who changed what, and from which event of which scan on."""

from __future__ import annotations

from glimt.model.parameters import IntParameter, RoiParameter
from glimt.model.region import Region
from glimt.pipeline.parameter_changes import ParameterChanges, TakenValue
from glimt.pipeline.parameter_set import ParameterSet
from glimt.web import page_parameters
from glimt.web.page_parameters import PageParameters

THRESHOLD = IntParameter(name="threshold", default=3, minimum=0, maximum=10)


def made() -> PageParameters:
    access = ParameterChanges(ParameterSet([RoiParameter(name="rois"), THRESHOLD]))
    events = iter(range(100, 200))
    return PageParameters(access, lambda name, data: TakenValue(access.set(name, data), next(events), 2))


def boxes(column: int) -> list[Region]:
    return [Region(name="box", kind="rectangle", bounds=(0, 2, column, column + 3))]


def told(parameters: PageParameters) -> list[tuple[str, int, str]]:
    return [(change["name"], change["event_number"], change["who"]) for change in parameters.changes()]


def test_a_change_says_event_and_scan() -> None:
    change = made().set("threshold", b"7", who="Ada")
    assert (change["event_number"], change["scan_number"], change["who"]) == (100, 2, "Ada")


def test_where_the_run_tells_no_event_there_is_none() -> None:
    change = PageParameters(ParameterChanges(ParameterSet([THRESHOLD]))).set("threshold", b"7", who="")
    assert (change["event_number"], change["scan_number"]) == (None, None)


def test_regions_that_one_person_moves_step_by_step_are_one_change_the_newest() -> None:
    parameters = made()
    parameters.set("threshold", b"7", who="Ada")
    for column in range(30):
        parameters.set_regions(boxes(column), who="Ada")
    assert told(parameters) == [("threshold", 100, "Ada"), ("rois", 130, "Ada")]
    assert '"bounds":[0,2,29,32]' in parameters.changes()[-1]["value"].replace(" ", "")


def test_changes_by_others_and_of_others_and_after_a_pause_are_their_own() -> None:
    parameters = made()
    parameters.set_regions(boxes(0), who="Ada")
    parameters.set_regions(boxes(1), who="Bo")
    parameters.set("threshold", b"7", who="Bo")
    parameters.set("threshold", b"8", who="Bo")
    parameters.set_regions(boxes(2), who="Bo")
    now = parameters.changes()[-1]["time_s"]
    parameters.changes()[-1]["time_s"] = now - page_parameters.TOGETHER_S - 1
    parameters.set_regions(boxes(3), who="Bo")
    expected = [
        ("rois", "Ada"),
        ("rois", "Bo"),
        ("threshold", "Bo"),
        ("threshold", "Bo"),
        ("rois", "Bo"),
        ("rois", "Bo"),
    ]
    assert [(name, who) for name, _, who in told(parameters)] == expected
