from __future__ import annotations

from pathlib import Path

import pytest

from glimt.model.errors import RecipeError
from glimt.services.recipe_files import MAX_RECIPE_BYTES, SHIPPED_RECIPES, find_recipe, list_recipes, load_recipe

ONE = '{"1": {"queue": "a"}, "start": [[1, []]]}'


def test_recipes_of_the_site_come_before_those_of_glimt(tmp_path: Path) -> None:
    own = tmp_path / "per-image-analysis-rotation.json"
    own.write_text(ONE)
    assert find_recipe("per-image-analysis-rotation", [tmp_path]) == own
    assert find_recipe("per-image-analysis-gridscan", [tmp_path]).parent == SHIPPED_RECIPES
    assert find_recipe("per-image-analysis-rotation", [SHIPPED_RECIPES, tmp_path]) == own


def test_all_names_are_listed_once(tmp_path: Path) -> None:
    for name in ("mine", "per-image-analysis-rotation"):
        (tmp_path / f"{name}.json").write_text(ONE)
    names = list_recipes([tmp_path])
    assert names.count("per-image-analysis-rotation") == 1
    assert "mine" in names


def test_unknown_recipe_says_what_may_be_meant(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="did you mean 'per-image-analysis-rotation'"):
        find_recipe("per-image-analysis-rotatoin", [tmp_path])
    with pytest.raises(RecipeError, match="there are per-image"):
        find_recipe("zzzzz", [tmp_path])


@pytest.mark.parametrize("name", ["", "..", "../secret", "/etc/x", "a/b", "a\\b", ".hidden", "a\0b", "x" * 300, "é"])
def test_a_name_is_never_a_path(name: str, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text(ONE)
    (tmp_path / "in").mkdir()
    with pytest.raises(RecipeError, match="not the name of a recipe"):
        find_recipe(name, [tmp_path / "in"])


def test_files_that_are_no_recipes_are_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    large = tmp_path / "large.json"
    large.write_bytes(b" " * (MAX_RECIPE_BYTES + 1))
    for path in (bad, large, tmp_path / "missing.json", tmp_path):
        with pytest.raises(RecipeError, match=str(path)):
            load_recipe(path)
