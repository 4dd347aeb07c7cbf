"""Values of the environment in texts: bounded in memory and in time."""

from __future__ import annotations

import time

import pytest

from glimt.model.errors import RecipeError
from glimt.model.recipe_environment import MAX_INSERTED, substitute_environment


@pytest.mark.parametrize("strict", [True, False])
def test_short_text_that_would_become_huge_is_refused(strict: bool) -> None:
    environment = {"a": "x" * 10_000}
    with pytest.raises(RecipeError, match=r"\$a in .*more than 1,048,576 characters"):
        substitute_environment("$a " * 20_000, environment, strict=strict)


def test_bound_is_shared_by_all_texts_of_a_value() -> None:
    environment = {"a": "x" * (MAX_INSERTED // 4)}
    assert len(substitute_environment(["$a"] * 4, environment, strict=False)) == 4
    with pytest.raises(RecipeError, match="more than"):
        substitute_environment([["$a"] * 3, {"k": "${a}${a}"}], environment, strict=False)


def test_many_names_cost_no_more_than_few() -> None:
    environment = {f"name_{n:06d}": n for n in range(40_000)}
    began = time.perf_counter()
    text = substitute_environment("$b $name_000007x ${name_000008} " * 200, environment, strict=False)
    assert text == "$b 7x 8 " * 200
    assert time.perf_counter() - began < 0.5


def test_long_words_that_are_nearly_names_cost_linear_time() -> None:
    environment = {"a" * n + "b": n for n in range(1, 600)}
    text = ("$" + "a" * 900) * 200
    began = time.perf_counter()
    assert substitute_environment(text, environment, strict=False) == text
    assert time.perf_counter() - began < 1.0


def test_longest_known_name_wins_and_braces_must_match_as_a_whole() -> None:
    environment = {"a": 1, "ab": 2, "": 9}
    text = "$abc $aab $ab ${abc} ${ab} ${a $ $$a $c"
    assert substitute_environment(text, environment, strict=False) == "2c 1ab 2 ${abc} 2 ${a $ $1 $c"
