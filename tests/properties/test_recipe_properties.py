"""Recipes against slower, simpler twins: every path walked, Python's own formatter."""

from __future__ import annotations

import contextlib
import copy
import json
import string
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from glimt.model.errors import DecodeError, RecipeError
from glimt.model.recipe import Recipe, substitute_environment
from glimt.model.recipe_envelope import Envelope
from glimt.model.recipe_substitution import substitute_parameters

STEPS = st.integers(min_value=-1, max_value=6)
LINKS = st.recursive(
    STEPS | st.lists(STEPS, max_size=3),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b"]), inner | st.none(), max_size=2),
    max_leaves=4,
)
NODES = st.fixed_dictionaries({"queue": st.just("q")}, optional={"output": LINKS, "error": LINKS})
GRAPHS = st.fixed_dictionaries(
    {"nodes": st.dictionaries(STEPS, NODES, min_size=1, max_size=6), "start": st.lists(STEPS, min_size=1, max_size=2)},
    optional={"error": STEPS | st.lists(STEPS, max_size=2)},
)
# Links that only lead to larger numbers: most of these graphs are valid.
FORWARD = st.integers(min_value=1, max_value=6).flatmap(
    lambda n: st.lists(st.lists(st.integers(1, n), max_size=3), min_size=n, max_size=n).map(
        lambda outputs: {
            "nodes": {
                k + 1: {"queue": f"q{k}", "output": sorted({link for link in links if link > k + 1})}
                for k, links in enumerate(outputs)
            },
            "start": list(range(1, len(outputs) + 1)),
        }
    )
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def _recipe(graph: dict[str, Any]) -> dict[str, Any]:
    recipe: dict[str, Any] = {str(number): copy.deepcopy(node) for number, node in graph["nodes"].items()}
    recipe["start"] = [[number, {"payload": number}] for number in graph["start"]]
    if "error" in graph:
        recipe["error"] = graph["error"]
    return recipe


def _flat(links: Any) -> list[int]:
    if links is None:
        return []
    if isinstance(links, dict):
        return [link for item in links.values() for link in _flat(item)]
    return list(links) if isinstance(links, list) else [links]


def _is_valid_by_all_paths(graph: dict[str, Any]) -> bool:
    """Enumerate every path, as python-workflows does."""
    nodes = graph["nodes"]
    reached: set[int] = set()

    def walk(path: list[int]) -> bool:
        if path[-1] not in nodes:
            return False
        reached.add(path[-1])
        links = _flat(nodes[path[-1]].get("output")) + _flat(nodes[path[-1]].get("error"))
        return all(link not in path and walk([*path, link]) for link in links)

    entries = [*graph["start"], *_flat(graph.get("error"))]
    return all(walk([entry]) for entry in entries) and reached == set(nodes)


def _is_valid(recipe: Recipe) -> bool:
    try:
        recipe.check()
    except RecipeError:
        return False
    return True


@given(GRAPHS | FORWARD)
def test_validity_is_that_of_walking_all_paths(graph: dict[str, Any]) -> None:
    assert _is_valid(Recipe.from_dict(_recipe(graph))) == _is_valid_by_all_paths(graph)


@given(FORWARD, FORWARD)
def test_merging_keeps_both_graphs(first: dict[str, Any], second: dict[str, Any]) -> None:
    one, two = Recipe.from_dict(_recipe(first)), Recipe.from_dict(_recipe(second))
    before = one.to_json(), two.to_json()
    merged = one.merged_with(two)
    merged.check()
    assert (one.to_json(), two.to_json()) == before
    base = max(one.nodes) + 1
    for number, node in one.nodes.items():
        assert merged.nodes[number] == node
    for k, (number, node) in enumerate(two.nodes.items()):
        moved = merged.nodes[base + k]
        assert moved["queue"] == node["queue"]
        position = {old: base + place for place, old in enumerate(two.nodes)}
        assert moved["output"] == [position[link] for link in node["output"]], number
    assert [payload for _, payload in merged.start] == [payload for _, payload in (*one.start, *two.start)]


class _Trap:
    """A value whose attributes must never be read."""

    touched = False

    def __getattribute__(self, name: str) -> Any:
        # Formatting itself asks for the class, nothing else.
        if not name.startswith("__") or name in ("__dict__", "__init__", "__globals__"):
            type(self).touched = True
        return object.__getattribute__(self, name)


PARAMETERS: dict[str, Any] = {"a": "A", "n": 7, "d": {"k": [1, "{a}"], "x": None}, "l": [3, {"y": 4}]}
PIECES = [
    *'{}[]!:.$andklxyrs01 "',
    *("05d", ">9", "{a}", "{d[k]}", "{l[1][y]}", "{n:05d}", "{missing}", "{missing[a]}", "{$REPLACE:", "{{", "}}"),
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=2), max_size=8).map("".join)


class _Missing:
    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return "{" + self.text + "}"

    __repr__ = __str__

    def __getitem__(self, key: Any) -> _Missing:
        return _Missing(f"{self.text}[{key}]")


class _Parameters(dict[str, Any]):
    def __missing__(self, key: str) -> _Missing:
        return _Missing(key)


@given(TEXTS)
def test_texts_are_formatted_as_python_formats_them(text: str) -> None:
    if text.startswith("{$REPLACE"):
        return
    try:
        found = substitute_parameters({1: text}, PARAMETERS)[1]
    except RecipeError as error:
        if "." in text or "width or precision" in str(error):
            return
        found = None
    try:
        expected: str | None = string.Formatter().vformat(text, (), _Parameters(PARAMETERS))
    except Exception:  # noqa: BLE001  whatever it is, ours must refuse the text too
        expected = None
    assert found == expected


@given(TEXTS)
def test_random_texts_raise_nothing_but_recipe_errors_and_read_no_attribute(text: str) -> None:
    parameters = {name: _Trap() for name in "adnl"} | {"x": PARAMETERS}
    with contextlib.suppress(RecipeError):
        substitute_parameters({1: {text: [text]}}, parameters)
    assert not _Trap.touched
    for strict in (True, False):
        try:
            substitute_environment(text, {"a": 1, "ad": 2}, strict=strict)
        except RecipeError:
            assert strict


@given(JSON | st.dictionaries(st.sampled_from(["1", "2", "0", "start", "error", "x"]), JSON, max_size=4))
def test_random_json_is_a_recipe_or_a_recipe_error(value: Any) -> None:
    with contextlib.suppress(RecipeError):
        recipe = Recipe.from_dict(value)
        assert Recipe.from_json(recipe.to_json()).to_json() == recipe.to_json()
        recipe.substituted({"a": 1}).check()


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,0123nulN', max_size=60).map(str.encode))
def test_random_bytes_are_decode_errors(body: bytes) -> None:
    try:
        Envelope.decode(body)
    except DecodeError:
        return
    raise AssertionError("accidentally an envelope")


@given(JSON, st.dictionaries(st.text(max_size=4), JSON, max_size=3), st.lists(st.integers(1, 9), max_size=4))
def test_envelopes_carry_any_json_as_the_standard_library_does(
    payload: Any, environment: dict[str, Any], path: list[int]
) -> None:
    message = {
        "environment": environment,
        "payload": payload,
        "recipe": {"1": {"queue": "a", "output": [1]}},
        "recipe-path": path,
        "recipe-pointer": 1,
    }
    text = json.dumps(message)
    again = Envelope.decode(text.encode()).encode()
    assert json.dumps(json.loads(again)) == text
