from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest

from glimt.model.errors import RecipeError
from glimt.model.recipe import Recipe
from glimt.model.recipe_values import MAX_DEPTH

LINEAR: dict[str, Any] = {
    "1": {"queue": "a", "output": 2},
    "2": {"queue": "b"},
    "start": [[1, {"x": 1}]],
}


def _problem(recipe: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(recipe).check()
    return str(caught.value)


def test_a_recipe_has_steps_by_number_and_what_starts_them() -> None:
    recipe = Recipe.from_json(json.dumps({**LINEAR, "error": 2}))
    recipe.check()
    assert list(recipe.nodes) == [1, 2]
    assert recipe.start == ((1, {"x": 1}),)
    assert recipe.error == (2,)


def test_single_output_becomes_a_list_as_in_python_workflows() -> None:
    assert Recipe.from_dict(LINEAR).nodes[1]["output"] == [2]


def test_json_of_a_recipe_is_the_same_recipe_again() -> None:
    recipe = Recipe.from_dict({**LINEAR, "-3": {"topic": "t"}, "0": {"queue": "z"}})
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert list(recipe.to_dict()) == ["1", "2", "-3", "0", "start"]


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ([], "object of steps"),
        ({"comment": {}}, "'comment'"),
        ({"1.5": {}}, "'1.5'"),
        ({"1" * 5000: {}}, "neither the number"),
        ({True: {}}, "True"),
        ({"1": {}, "01": {}}, "step 1 is there twice"),
        ({"1": [], "start": [[1, 0]]}, "step 1 is []"),
        ({"1": {"a": object()}}, "type object"),
        ({"1": {(1, 2): 3}}, "not text"),
    ],
)
def test_what_has_not_the_form_of_a_recipe_is_refused(recipe: Any, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict(recipe)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1", "nul", '{"1": }', b"\xff\xfe", "[" * 100_000, '{"a":' * 100_000],
    ids=lambda text: repr(text)[:20],
)
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(RecipeError):
        Recipe.from_json(text)


def test_depth_is_bounded() -> None:
    value: Any = 1
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    with pytest.raises(RecipeError, match="inside each other"):
        Recipe.from_dict({"1": {"parameters": value}})


def test_number_of_values_is_bounded() -> None:
    with pytest.raises(RecipeError, match="grows beyond"):
        Recipe.from_dict({"1": {"parameters": [0] * 1_000_001}})


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({}, "empty"),
        ({"1": {}}, "'start' is missing"),
        ({"1": {}, "start": []}, "'start' is empty"),
        ({"1": {}, "start": 5}, "not a list"),
        ({"1": {}, "start": [1]}, "not a [step, payload] pair"),
        ({"1": {}, "start": [[1]]}, "not a [step, payload] pair"),
        ({"1": {}, "start": [["start", 0]]}, "'start' points to itself"),
        ({"1": {}, "start": [["1", 0]]}, "without quotes"),
        ({"1": {}, "start": [[1, 0]], "error": ["start"]}, "'error' points to 'start'"),
        ({"1": {}, "start": [[1, 0]], "error": "error"}, "'error' points to itself"),
        ({"1": {}, "start": [[1, 0]], "error": "1"}, "'error' points to '1'"),
        ({"1": {}, "start": [[1, 0]], "error": None}, "'error' points to None"),
        ({"1": {}, "start": [[1, 0]], "error": {"a": 1}}, "'error' points to"),
        ({"1": {"output": "2"}, "2": {}, "start": [[1, 0]]}, "step 1, output: '2' is no link"),
        ({"1": {"output": None}, "start": [[1, 0]]}, "None is no link"),
        ({"1": {"output": [[2]]}, "2": {}, "start": [[1, 0]]}, "[2] is no link"),
        ({"1": {"output": {"a": {"b": 1.5}}}, "start": [[1, 0]]}, "step 1, output 'a' 'b'"),
        ({"1": {"error": "x"}, "start": [[1, 0]]}, "step 1, error"),
        ({"1": {"output": 7}, "start": [[1, 0]]}, "step 7 is missing; step 1 points to it"),
        ({"1": {}, "start": [[7, 0]]}, "step 7 is missing; 'start' points to it"),
        ({"1": {"output": 1}, "start": [[1, 0]]}, "cycle: 1 -> 1"),
        ({"1": {"output": 2}, "2": {"output": 3}, "3": {"error": 2}, "start": [[1, 0]]}, "cycle: 2 -> 3 -> 2"),
        ({"1": {}, "2": {}, "start": [[1, 0]]}, "step 2 is never reached"),
    ],
)
def test_each_rule_is_named_with_the_step(recipe: Any, words: str) -> None:
    assert words in _problem(recipe)


def test_rules_are_checked_in_order() -> None:
    recipe: dict[str, Any] = {"1": {"output": 1}, "2": {}, "error": ["start", "error"]}
    assert "'start' is missing" in _problem(recipe)
    recipe["start"] = []
    assert "'start' is empty" in _problem(recipe)
    recipe["start"] = [[1, 0]]
    assert "'error' points to 'start'" in _problem(recipe)
    recipe["error"] = []
    assert "cycle" in _problem(recipe)
    recipe["1"] = {}
    assert "never reached" in _problem(recipe)


@pytest.mark.parametrize(
    "recipe",
    [
        {"1": {"output": [2, 3]}, "2": {"output": 4}, "3": {"output": 4}, "4": {}, "start": [[1, 0]]},
        {"1": {}, "start": [[1, 0], [1, 1]]},
        {"1": {"output": {"a": None, "b": {"c": [2]}}}, "2": {}, "start": [[1, 0]]},
        {"1": {"output": True, "error": None}, "2": {"output": [True]}, "start": [[2, 0]]} | {"1": {}},
        {"0": {"output": -1}, "-1": {}, "start": [[0, None]]},
        {"1": {}, "2": {"error": {"x": 3}}, "3": {}, "start": [[1, 0]], "error": 2},
    ],
)
def test_valid_recipes_pass(recipe: Any) -> None:
    Recipe.from_dict(recipe).check()


def test_stacked_diamonds_take_linear_time() -> None:
    recipe: dict[str, Any] = {"start": [[0, None]]}
    n = 2000
    for k in range(n):
        recipe[str(3 * k)] = {"output": [3 * k + 1, 3 * k + 2]}
        recipe[str(3 * k + 1)] = recipe[str(3 * k + 2)] = {"output": 3 * k + 3}
    recipe[str(3 * n)] = {}
    before = time.process_time()
    Recipe.from_dict(recipe).check()
    assert time.process_time() - before < 5


def test_long_chain_needs_no_recursion() -> None:
    n = 20_000
    recipe: dict[str, Any] = {str(k): {"output": k + 1} for k in range(n)}
    recipe |= {str(n): {}, "start": [[0, None]]}
    Recipe.from_dict(recipe).check()
    recipe[str(n)] = {"output": 0}
    assert len(_problem(recipe)) < 200


def test_start_of_a_recipe_that_has_none_is_an_error() -> None:
    with pytest.raises(RecipeError, match="'start'"):
        _ = Recipe.from_dict({"1": {}}).start


def test_merging_renumbers_the_second_recipe_above_the_first() -> None:
    first = Recipe.from_dict({"1": {"output": 5}, "5": {"queue": "a"}, "start": [[1, "x"]], "error": 5})
    second = Recipe.from_dict(
        {"3": {"output": {"a": [1], "b": None}}, "1": {"error": 7}, "7": {}, "start": [[3, "y"]], "error": [7]}
    )
    merged = first.merged_with(second)
    merged.check()
    assert merged.to_dict() == {
        "1": {"output": [5]},
        "5": {"queue": "a"},
        "6": {"output": {"a": [7], "b": None}},
        "7": {"error": 8},
        "8": {},
        "start": [[1, "x"], [6, "y"]],
        "error": [5, 8],
    }


def test_merging_changes_neither_recipe_and_can_be_repeated() -> None:
    first, second = Recipe.from_dict(LINEAR), Recipe.from_dict({**LINEAR, "error": 2})
    before = copy.deepcopy((first.to_dict(), second.to_dict()))
    once = first.merged_with(second)
    assert once == first.merged_with(second)
    assert (first.to_dict(), second.to_dict()) == before
    twice = once.merged_with(second)
    twice.check()
    assert len(twice.nodes) == 6
    assert twice.error == (4, 6)


def test_merging_with_an_empty_recipe_returns_the_other() -> None:
    empty, recipe = Recipe.from_dict({}), Recipe.from_dict(LINEAR)
    assert empty.merged_with(recipe) == recipe == recipe.merged_with(empty)


def test_merging_an_invalid_recipe_is_an_error() -> None:
    with pytest.raises(RecipeError, match="never reached"):
        Recipe.from_dict(LINEAR).merged_with(Recipe.from_dict({**LINEAR, "9": {}}))


def test_a_single_error_step_of_the_second_recipe_stays_a_number() -> None:
    merged = Recipe.from_dict(LINEAR).merged_with(Recipe.from_dict({**LINEAR, "error": 2}))
    assert merged.to_dict()["error"] == 4


def test_the_dict_that_a_recipe_is_made_from_is_copied() -> None:
    source = copy.deepcopy(LINEAR)
    recipe = Recipe.from_dict(source)
    source["1"]["queue"] = "changed"
    source["start"][0][1]["x"] = "changed"
    assert recipe == Recipe.from_dict(LINEAR)
    recipe.to_dict()["1"]["queue"] = "changed"
    assert recipe == Recipe.from_dict(LINEAR)
