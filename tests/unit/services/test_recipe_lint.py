from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from glimt.model.recipe import Recipe
from glimt.services.image_request import AnalysisParameters
from glimt.services.recipe_files import SHIPPED_RECIPES, list_recipes, load_recipe
from glimt.services.recipe_lint import find_recipe_problems
from glimt.services.service_outputs import CONTRACTS
from glimt.services.x_ray_centering_task import CenteringParameters

WATCHER = {"pattern": "x_%05d.cbf", "pattern-start": 1, "pattern-end": 9}
RECIPE: dict[str, Any] = {
    "1": {"queue": "filewatcher", "parameters": WATCHER, "output": {"first": 2, "select-250": 3, "17": 3}},
    "2": {"queue": "images", "parameters": {"image_command": "diffraction"}},
    "3": {"queue": "per_image_analysis", "output": 4},
    "4": {"queue": "ispyb_pia", "parameters": {"ispyb_command": "store_per_image_analysis_results"}},
    "start": [[1, []]],
}

# What a collection of a grid scan gives, as far as the shipped recipes use it.
CONTEXT: dict[str, Any] = {
    "ispyb_dcid": 7,
    "ispyb_beamline": "i03",
    "ispyb_dc_info": {
        "imageDirectory": "/data/",
        "imagePrefix": "x",
        "dataCollectionNumber": 1,
        "fileTemplate": "x_1_master.h5",
        "exposureTime": 0.01,
        "dataCollectionGroupId": 3,
        "comments": None,
        "BLSAMPLEID": None,
        "gridinfo": {"steps_x": 2},
    },
    "ispyb_image_pattern": "x_%05d.cbf",
    "ispyb_image_first": 1,
    "ispyb_image_last": 4,
    "ispyb_dcg_experiment_type": "Mesh",
    "ispyb_results_directory": "/data/results",
}


def _problems(change: dict[str, Any], **options: Any) -> list[str]:
    recipe = copy.deepcopy(RECIPE)
    for number, entries in change.items():
        recipe[number] = {**recipe.get(number, {}), **entries}
    return [str(problem) for problem in find_recipe_problems(Recipe.from_dict(recipe), **options)]


def test_a_recipe_in_order_has_no_problems() -> None:
    assert _problems({}, known_queues=CONTRACTS, parameters={}) == []


@pytest.mark.parametrize("name", list_recipes())
def test_shipped_recipes_have_no_problems(name: str) -> None:
    recipe = load_recipe(SHIPPED_RECIPES / f"{name}.json")
    assert find_recipe_problems(recipe, known_queues=CONTRACTS) == []
    assert find_recipe_problems(recipe, known_queues=CONTRACTS, parameters=CONTEXT) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"3": {"queue": "per_image_analyses"}},
            "step 3: there is no queue 'per_image_analyses'; did you mean 'per_im",
        ),
        (
            {"1": {"output": {"frist": 2, "every": 3}}},
            "step 1: filewatcher never sends to an output 'frist'; did you mean",
        ),
        ({"1": {"output": {"select-": 2, "every": 3}}}, "never sends to an output 'select-'"),
        ({"1": {"output": [2, 3]}}, "its output has no name, and filewatcher sends nothing there; it sends to first"),
        ({"2": {"output": 3}}, "images sends nothing there; it sends nothing on"),
        ({"2": {"parameters": {}}}, "step 2: the parameter image_command is missing, which images needs"),
        ({"2": {"parameters": None}}, "image_command is missing"),
        ({"2": {"parameters": [1]}}, "'parameters' is [1], not an object"),
        ({"1": {"parameters": {}}}, "the parameter pattern or list or hdf5 is missing"),
        ({"1": {"parameters": {"pattern": "x"}}}, "pattern-start and pattern-end is missing, which pattern needs"),
        ({"4": {"queue": None}}, "step 4: it has neither 'queue' nor 'topic'"),
        ({"4": {"queue": 5}}, "queue is 5, not a name"),
        ({"4": {"transport-delay": "soon"}}, "transport-delay is 'soon', not a number of seconds"),
        ({"4": {"transport-delay": -1}}, "transport-delay is -1"),
        ({"4": {"transport-delay": 1e10}}, "transport-delay is 10000000000.0, more than 49 days"),
        ({"4": {"queue": "reduce.xray_centering", "parameters": {"dcid": 1}}}, "the entry 'gridinfo' is missing"),
        ({"4": {"queue": "notify_gda", "parameters": {"dcid": 1, "host": ""}}}, "the parameter host is missing"),
    ],
)
def test_what_would_be_lost_or_rejected_is_an_error(change: dict[str, Any], words: str) -> None:
    problems = _problems(change, known_queues=CONTRACTS)
    assert any(words in problem for problem in problems), problems


def test_a_recipe_that_is_not_valid_has_just_that_problem() -> None:
    assert _problems({"1": {"output": {"every": 9}}}) == ["step 9 is missing; step 1 points to it"]


def test_results_that_go_nowhere_are_a_warning() -> None:
    recipe = Recipe.from_dict({"1": {"queue": "filewatcher", "parameters": WATCHER}, "start": [[1, []]]})
    (problem,) = find_recipe_problems(recipe)
    assert not problem.is_error
    assert "goes nowhere" in problem.what


def test_names_without_a_value_are_found_once_the_parameters_are_known() -> None:
    change = {
        "4": {
            "parameters": {"ispyb_command": "{command}", "{key}": ["{a[b]}"]},
            "comment": "{note}",
            "service": "{{no}}",
        }
    }
    assert _problems(change) == []
    recipe = Recipe.from_dict({**RECIPE, "4": {**RECIPE["4"], **change["4"]}})
    problems = find_recipe_problems(recipe, parameters={"key": "k"})
    assert [(problem.step, problem.what.partition(" is not")[0], problem.is_error) for problem in problems] == [
        (4, "parameters: {command}", True),
        (4, "parameters: {a}", True),
        (4, "comment: {note}", False),
    ]


def test_braces_in_a_value_are_not_mistaken_for_names() -> None:
    assert _problems({"4": {"comment": "{note}"}}, parameters={"note": "{odd} user text {"}) == []


def test_a_text_that_cannot_be_formatted_is_a_problem() -> None:
    problems = _problems({"4": {"comment": "{a.b}"}}, parameters={"a": 1})
    assert len(problems) == 1
    assert "attributes" in problems[0]


def test_queues_are_looked_for_after_substitution() -> None:
    change = {"4": {"queue": "xrc.{beamline}"}}
    assert _problems(change, known_queues=CONTRACTS) == []
    assert _problems(change, known_queues=[*CONTRACTS, "xrc.i03"], parameters={"beamline": "i03"}) == []
    assert "no queue 'xrc.i04'" in _problems(change, known_queues=CONTRACTS, parameters={"beamline": "i04"})[0]


def test_queues_behind_an_exchange_are_not_looked_for() -> None:
    assert _problems({"4": {"queue": "anything", "exchange": "results"}}, known_queues=CONTRACTS) == []


def test_steps_at_other_queues_are_left_alone() -> None:
    assert _problems({"4": {"queue": "my.own", "output": {"any": None}}}) == []


def test_shipped_recipes_are_those_of_the_reference() -> None:
    assert list_recipes() == [
        "per-image-analysis-eiger-gridscan",
        "per-image-analysis-eiger-rotation",
        "per-image-analysis-gridscan",
        "per-image-analysis-gridscan-swmr",
        "per-image-analysis-rotation",
        "per-image-analysis-rotation-swmr",
    ]
    for name in list_recipes():
        text = (SHIPPED_RECIPES / f"{name}.json").read_text(encoding="utf-8")
        assert len(json.loads(text)) == len(Recipe.from_json(text).nodes) + 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"1": {"paramters": {}}}, "step 1: nobody reads the key 'paramters'; did you mean 'parameters'?"),
        (
            {"4": {"transport_delay": 3}},
            "step 4: nobody reads the key 'transport_delay'; did you mean 'transport-delay'?",
        ),
        ({"3": {"d_max": 40}}, "step 3: per_image_analysis does not read the key 'd_max' of a step; put it among 'par"),
        ({"3": {"wrapper": {}}}, "step 3: per_image_analysis does not read the key 'wrapper' of a step"),
        (
            {"1": {"parameters": {**WATCHER, "time-out": 5}}},
            "step 1: filewatcher does not read the parameter 'time-out'; did you mean 'timeout'?",
        ),
        (
            {"3": {"parameters": {"image_command": "diffraction"}}},
            "step 3: per_image_analysis does not read the parameter 'image_command'; images does",
        ),
        ({"3": {"parameters": {"colour": 1}}}, "step 3: per_image_analysis does not read the parameter 'colour'"),
    ],
)
def test_what_zocalo_would_ignore_is_a_warning(change: dict[str, Any], words: str) -> None:
    recipe = copy.deepcopy(RECIPE)
    for number, entries in change.items():
        recipe[number] |= entries
    (problem,) = find_recipe_problems(Recipe.from_dict(recipe))
    assert str(problem).startswith(words)
    assert not problem.is_error


def test_keys_and_parameters_of_other_peoples_services_are_their_own() -> None:
    change = {"4": {"queue": "mimas", "wrapper": {}, "parameters": {"anything": 1}}}
    assert _problems(change) == []
    assert _problems({"4": {"parameters": {"ispyb_command": "insert_x", "whatever": "3"}}}) == []


def test_the_parameters_of_a_contract_are_those_that_the_service_reads() -> None:
    assert CONTRACTS["reduce.xray_centering"].parameters == {*CenteringParameters.__struct_fields__, "dcgid"}
    assert CONTRACTS["per_image_analysis"].parameters == {
        *AnalysisParameters.__struct_fields__, "filename", "number_of_frames", "start_frame_index",
    }  # fmt: skip


def test_a_number_too_large_for_a_delay_is_a_problem_like_any_other() -> None:
    recipe = copy.deepcopy(RECIPE)
    recipe["2"]["transport-delay"] = 10**400
    (problem,) = find_recipe_problems(Recipe.from_dict(recipe))
    assert problem.is_error
    assert "transport-delay is 1000" in problem.what


def test_of_very_many_names_that_nobody_reads_the_first_are_told() -> None:
    recipe = copy.deepcopy(RECIPE)
    recipe["1"] |= {"parameters": WATCHER | {f"p{n}": 1 for n in range(2000)}} | {f"qx{n}": 1 for n in range(2000)}
    recipe["1"]["output"] |= {f"zz{n}": 2 for n in range(2000)}
    found = find_recipe_problems(Recipe.from_dict(recipe))
    assert [sum(word in problem.what for problem in found) for word in ("parameter 'p", "key 'qx", "output 'zz")] == [
        100, 100, 100,
    ]  # fmt: skip
