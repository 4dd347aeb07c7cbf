from __future__ import annotations

import datetime
import time
from decimal import Decimal
from typing import Any

import pytest

from glimt.model.errors import RecipeError
from glimt.model.recipe import Recipe, substitute_environment
from glimt.model.recipe_substitution import substitute_parameters

PARAMETERS: dict[str, Any] = {
    "a": "A",
    "n": 5,
    "f": 1.23456,
    "none": None,
    "d": {"k": "K", "x": {"y": 1}, "l": [1, {"z": 2}], "1": "text key"},
    "l": [10, 11],
    "w": 4,
    "braces": "{a}",
    "big": 10**10_000,
    "when": datetime.datetime(2026, 1, 2, 3, 4, 5),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{a}", "A"),
        ("x{n:05d}y", "x00005y"),
        ("{f:.2f}", "1.23"),
        ("{n}", "5"),
        ("{none}", "None"),
        ("{d[k]}", "K"),
        ("{d[x][y]}", "1"),
        ("{d[l][1][z]}", "2"),
        ("{l[1]}", "11"),
        ("{a!r}", "'A'"),
        ("{l!s:>10}", "  [10, 11]"),
        ("{n:{w}d}", "   5"),
        ("{missing}", "{missing}"),
        ("{missing[a][b]}", "{missing[a][b]}"),
        ("{[a]}", "{[a]}"),
        ("{missing!r}", "{missing}"),
        ("{missing!s:>11}", "  {missing}"),
        ("{{a}}", "{a}"),
        ("{{{a}}}", "{A}"),
        ("${a}", "$A"),
        ("$a", "$a"),
        ("{braces}", "{a}"),
        ("{when:%Y-%m}", "2026-01"),
        ("{when}", "2026-01-02 03:04:05"),
        ("{a}{n}", "A5"),
        ("{$REPLACE:a}", "A"),
        ("{$REPLACE:n}", 5),
        ("{$REPLACE:none}", None),
        ("{$REPLACE:d}", PARAMETERS["d"]),
        ("{$REPLACE:d[l]}", [1, {"z": 2}]),
        ("{$REPLACE:l[1]}", 11),
        ("{$REPLACE:missing}", None),
        ("{$REPLACE:missing[a]}", None),
        ("{$REPLACE:d[missing]}", None),
    ],
)
def test_texts_become_what_pythons_format_rules_say(text: str, expected: Any) -> None:
    assert substitute_parameters({1: {"p": [text]}}, PARAMETERS) == {1: {"p": [expected]}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{missing.attr}", "attributes"),
        ("{missing:05d}", "not among the parameters"),
        ("{d[missing]}", "no [missing]"),
        ("{d[1]}", "no [1]"),
        ("{l[2]}", "no [2]"),
        ("{l[x]}", "position"),
        ("{n[0]}", "type int"),
        ("{}", "name of a parameter"),
        ("{0}", "name of a parameter"),
        ("{a", "}"),
        ("a}", "}"),
        ("{a!x}", "x"),
        ("{a:d}", "format code"),
        ("{d[k}", ""),
        ("{d[]}", "[] is empty"),
        ("{d[k]x}", "follows"),
        ("pre{$REPLACE:l}", "$REPLACE"),
        ("{$REPLACE:a}{n}", "whole text"),
        ("{$REPLACE:a.b}", "attributes"),
        ("{$REPLACE:l[9]}", "no [9]"),
        ("{a:9999999999d}", "width"),
        ("{a:>1001}", "width"),
        ("{f:.99999999f}", "width"),
        ("{when:%999999999Y}", "width"),
        ("{n:{big}}", "digits"),
        ("{big}", "digits"),
        ("{n:{w:{w:{w}}}}", "inside each other"),
        ("{n.__class__}", "attributes"),
        ("{d.keys}", "attributes"),
        ("{d[k].__class__.__mro__}", "attributes"),
        ("{a.__init__.__globals__[x]}", "attributes"),
        ("{a:{n.__class__}}", "attributes"),
    ],
)
def test_what_cannot_be_formatted_names_step_and_text(text: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_dict({"7": {"parameters": {"file": text}}}).substituted(PARAMETERS)
    said = str(caught.value)
    assert said.startswith("step 7, parameters, file: cannot replace in ")
    assert repr(text) in said
    assert words in said


def test_keys_are_substituted_and_start_keeps_its_form() -> None:
    recipe = Recipe.from_dict({"1": {"parameters": {"{a}": "{n}"}}, "start": [[1, {"p": "{$REPLACE:l}"}]]})
    found = recipe.substituted(PARAMETERS)
    assert found.nodes[1]["parameters"] == {"A": "5"}
    assert found.start == ((1, {"p": [10, 11]}),)
    assert recipe.nodes[1]["parameters"] == {"{a}": "{n}"}


@pytest.mark.parametrize("keys", [{"{a}": 1, "A": 2}, {"{$REPLACE:l}": 1}, {"{$REPLACE:n}": 1}])
def test_keys_that_collide_or_are_no_text_are_refused(keys: dict[str, int]) -> None:
    with pytest.raises(RecipeError, match="key"):
        substitute_parameters({1: keys}, PARAMETERS)


def test_replaced_objects_are_copies() -> None:
    inner = {"x": [1]}
    found = substitute_parameters({1: {"p": "{$REPLACE:d}", "q": "{$REPLACE:d}"}}, {"d": inner})
    found[1]["p"]["x"].append(2)
    assert inner == {"x": [1]}
    assert found[1]["q"] == inner


def test_values_of_a_database_become_json() -> None:
    row = {"a": Decimal("1.5"), "t": datetime.datetime(2026, 1, 2, 3, 4, 5), 7: (1, 2)}
    found = Recipe.from_dict({"1": {"p": "{$REPLACE:row}"}}).substituted({"row": row})
    assert found.nodes[1]["p"] == {"a": 1.5, "t": "2026-01-02 03:04:05", "7": [1, 2]}


def test_a_small_recipe_cannot_grow_without_bound() -> None:
    parameters = {"text": "x" * 1_000_000, "list": [0] * 100_000}
    texts = Recipe.from_dict({"1": {"p": ["{text}" * 20] * 100}})
    lists = Recipe.from_dict({"1": {"p": ["{$REPLACE:list}"] * 100}})
    before = time.process_time()
    for recipe in (texts, lists):
        with pytest.raises(RecipeError, match="grows beyond"):
            recipe.substituted(parameters)
    assert time.process_time() - before < 10


def test_values_that_contain_themselves_are_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(RecipeError, match="inside each other"):
        Recipe.from_dict({"1": {"p": "{$REPLACE:loop}"}}).substituted({"loop": loop})


def test_a_value_whose_own_format_raises_is_a_recipe_error() -> None:
    class Broken:
        def __format__(self, layout: str) -> str:
            raise KeyboardInterrupt if layout == "stop" else LookupError("broken")

    with pytest.raises(RecipeError, match="broken"):
        substitute_parameters({1: "{b:x}"}, {"b": Broken()})


def test_environment_is_put_in_strictly() -> None:
    environment = {"ID": "abc", "program_id": 12, "program": "x"}
    value = {"$ID": ["$program_id-${program}s", 3, "$$5"]}
    assert substitute_environment(value, environment, strict=True) == {"$ID": ["12-xs", 3, "$5"]}


@pytest.mark.parametrize("text", ["$unknown", "${unknown}", "$", "$ ", "${", "$5", "${a b}", "$é"])
def test_a_name_that_is_not_in_the_environment_is_an_error_when_strict(text: str) -> None:
    with pytest.raises(RecipeError):
        substitute_environment([text], {"a": 1}, strict=True)


def test_environment_is_put_in_leniently_longest_name_first() -> None:
    environment = {"id": 1, "id_long": 2, "": 3}
    text = "$id $id_long $id_longer ${id} ${id_long} $other ${other} $ $$id"
    assert substitute_environment(text, environment, strict=False) == "1 2 2er 1 2 $other ${other} $ $1"


def test_without_an_environment_nothing_is_put_in_leniently() -> None:
    assert substitute_environment("$a ${b}", {}, strict=False) == "$a ${b}"


def test_too_deep_a_value_for_the_environment_is_an_error() -> None:
    value: Any = "$a"
    for _ in range(5000):
        value = [value]
    with pytest.raises(RecipeError, match="inside each other"):
        substitute_environment(value, {"a": 1}, strict=False)
