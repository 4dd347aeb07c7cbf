from __future__ import annotations

from typing import Any

import pytest

from glimt.app.recipe_pictures import draw_mermaid, draw_tree
from glimt.model.errors import RecipeError
from glimt.model.recipe import Recipe

RECIPE = Recipe.from_dict(
    {
        "1": {"queue": "watch", "output": {"first": 2, "every": [2, 3]}},
        "2": {"queue": "a", "topic": "t", "output": -4},
        "3": {"parameters": {"ispyb_command": "x"}, "error": {"bad": 5}},
        "-4": {"queue": "b\x1b[31m"},
        "5": {"queue": 'say "<hi>"'},
        "start": [[1, []]],
        "error": [5],
    }
)


def test_tree_names_outputs_and_draws_shared_steps_once() -> None:
    assert draw_tree(RECIPE) == [
        "start",
        "└─ 1 watch",
        "   ├─ first → 2 a and t",
        "   │  └─ -4 b?[31m",
        "   ├─ every → 2 a and t (see above)",
        "   └─ every → 3 (neither queue nor topic) x",
        '      └─ error bad → 5 say "<hi>"',
        "error",
        '└─ 5 say "<hi>" (see above)',
    ]


def test_ascii_tree_is_ascii() -> None:
    assert draw_tree(RECIPE, is_ascii=True)[3] == "   |  `- -4 b?[31m"
    assert "\n".join(draw_tree(RECIPE, is_ascii=True)).isascii()


def test_mermaid_has_all_steps_and_links() -> None:
    lines = draw_mermaid(RECIPE)
    assert lines[0] == "flowchart TD"
    for line in (
        '    s5["5 say &quot;&lt;hi&gt;&quot;"]',
        '    m4["-4 b?[31m"]',
        "    start --> s1",
        "    error -.-> s5",
        '    s1 -->|"every"| s3',
        "    s2 --> m4",
        '    s3 -.->|"bad"| s5',
    ):
        assert line in lines
    assert len(lines) == 2 + 5 + 1 + 2 + 5


@pytest.mark.parametrize("draw", [draw_tree, draw_mermaid])
def test_invalid_recipe_is_not_drawn(draw: Any) -> None:
    with pytest.raises(RecipeError):
        draw(Recipe.from_dict({"1": {"output": 1}, "start": [[1, 0]]}))


def test_long_chain_and_stacked_diamonds_are_drawn_in_bounded_space() -> None:
    n = 3000
    nodes: dict[str, Any] = {str(k): {"queue": "q", "output": [k + 1, k + 1]} for k in range(n)}
    recipe = Recipe.from_dict({**nodes, str(n): {}, "start": [[0, 0]]})
    lines = draw_tree(recipe)
    assert len(lines) < 500
    assert any("…" in line for line in lines)
    assert len(draw_mermaid(recipe)) > 3 * n
