"""Recipes and envelopes against the real python-workflows, whose format they are.

The installed release may be older than 3.7, whose format it is: a step "0" and an integer ``error`` are left out.
"""

# ruff: noqa: E501  tables of cases

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import pytest

from glimt.model.errors import RecipeError
from glimt.model.recipe import Recipe
from glimt.model.recipe_envelope import Envelope, start_recipe
from glimt.services.recipe_files import SHIPPED_RECIPES, list_recipes

# Untyped, though it says that it is typed.
workflows: Any = pytest.importorskip("workflows", reason="python-workflows is not installed; nothing to compare with")
peer: Any = pytest.importorskip("workflows.recipe", reason="python-workflows is not installed; nothing to compare with")

PARAMETERS: dict[str, Any] = {
    "a": "A",
    "n": 5,
    "f": 1.23456,
    "none": None,
    "d": {"k": "K", "x": {"y": 1}, "l": [1, 2]},
    "l": [10, 11],
}

VERDICTS: list[dict[str, Any]] = [
    {},
    {"1": {}},
    {"1": {}, "start": []},
    {"1": {}, "start": [[1]]},
    {"1": {}, "start": [[1, 0, 0]]},
    {"1": {}, "start": [["start", 0]]},
    {"1": {}, "start": [["1", 0]]},
    {"1": {}, "start": [[1, 0]]},
    {"1": {}, "start": [[1, 0], [1, 1]]},
    {"1": {}, "start": [[True, 0]]},
    {"1": {}, "2": {}, "start": [[1, 0]]},
    {"1": {}, "2": {}, "start": [[1, 0]], "error": [2]},
    {"1": {}, "2": {}, "start": [[1, 0]], "error": ["2"]},
    {"1": {}, "start": [[1, 0]], "error": ["start"]},
    {"1": {}, "start": [[1, 0]], "error": ["error"]},
    {"1": {}, "start": [[1, 0]], "error": "error"},
    {"1": {}, "start": [[1, 0]], "error": [3]},
    {"1": {"output": 2}, "2": {}, "start": [[1, 0]]},
    {"1": {"output": "2"}, "2": {}, "start": [[1, 0]]},
    {"1": {"output": None}, "start": [[1, 0]]},
    {"1": {"output": True}, "start": [[1, 0]]},
    {"1": {}, "2": {"output": True}, "start": [[2, 0]]},
    {"1": {"output": {"a": None}}, "start": [[1, 0]]},
    {"1": {"output": {"a": {"b": [2]}}}, "2": {}, "start": [[1, 0]]},
    {"1": {"output": {"a": "2"}}, "2": {}, "start": [[1, 0]]},
    {"1": {"output": [[2]]}, "2": {}, "start": [[1, 0]]},
    {"1": {"output": 2.5}, "start": [[1, 0]]},
    {"1": {"error": 2}, "2": {}, "start": [[1, 0]]},
    {"1": {"error": None}, "start": [[1, 0]]},
    {"1": {"error": "x"}, "start": [[1, 0]]},
    {"1": {"output": 1}, "start": [[1, 0]]},
    {"1": {"output": 2}, "2": {"output": 1}, "start": [[1, 0]]},
    {"1": {"output": 2}, "2": {"error": 1}, "start": [[1, 0]]},
    {"1": {"output": [2, 3]}, "2": {"output": 4}, "3": {"output": 4}, "4": {}, "start": [[1, 0]]},
    {"1": {"output": [2, 3]}, "2": {"output": 4}, "3": {"output": 4}, "4": {"output": 3}, "start": [[1, 0]]},
    {"1": {}, "-2": {}, "start": [[1, 0], [-2, 0]]},
    {"comment": {}, "1": {}, "start": [[1, 0]]},
    {"1.5": {}, "1": {}, "start": [[1, 0]]},
    {"1": {"output": 9}, "start": [[1, 0]]},
]


def _shipped() -> list[dict[str, Any]]:
    return [json.loads((SHIPPED_RECIPES / f"{name}.json").read_text(encoding="utf-8")) for name in list_recipes()]


def _is_valid_there(recipe: dict[str, Any]) -> bool:
    try:
        peer.Recipe(copy.deepcopy(recipe)).validate()
    except (workflows.Error, ValueError, TypeError):
        return False
    return True


@pytest.mark.parametrize("recipe", [*VERDICTS, *_shipped()], ids=lambda recipe: json.dumps(recipe)[:60])
def test_same_verdict(recipe: dict[str, Any]) -> None:
    try:
        Recipe.from_dict(recipe).check()
        is_valid = True
    except RecipeError:
        is_valid = False
    assert is_valid == _is_valid_there(recipe)


@pytest.mark.parametrize(
    "text",
    [
        "{a}", "x{n:05d}", "{f:.2f}", "{d[k]}", "{d[x][y]}", "{l[1]}", "{d!r}", "{none}", "{missing}", "{missing[a][b]}",
        "{missing!r}", "{missing:05d}", "{missing.attr}", "{d[missing]}", "{}", "{0}", "{a", "a}", "{{a}}", "{$REPLACE:d}",
        "{$REPLACE:d[l]}", "{$REPLACE:l[1]}", "{$REPLACE:none}", "{$REPLACE:missing}", "pre{$REPLACE:l}", "${a}", "$a",
        "{n:{n}d}", "{l[7]}", "{a!x}", "{n:{l}}",
    ],
)  # fmt: skip
def test_same_substitution(text: str) -> None:
    recipe = {"1": {"parameters": {"p": [text], "k" + text.replace("$REPLACE:", ""): 1}}, "start": [[1, {"x": text}]]}
    theirs = peer.Recipe(copy.deepcopy(recipe))
    try:
        theirs.apply_parameters(PARAMETERS)
    except Exception:  # noqa: BLE001  the dispatcher rejects the message, whatever it is
        with pytest.raises(RecipeError):
            Recipe.from_dict(recipe).substituted(PARAMETERS)
        return
    ours = Recipe.from_dict(recipe).substituted(PARAMETERS)
    assert ours.to_dict() == json.loads(theirs.serialize())


def test_shipped_recipes_are_substituted_alike() -> None:
    parameters = {"ispyb_dcid": 5, "ispyb_beamline": "i03", "ispyb_image_first": 1}
    for recipe in _shipped():
        theirs = peer.Recipe(copy.deepcopy(recipe))
        theirs.apply_parameters(parameters)
        assert Recipe.from_dict(recipe).substituted(parameters).to_dict() == json.loads(theirs.serialize())


def test_same_merge() -> None:
    recipes = [recipe for recipe in [*VERDICTS, *_shipped()] if recipe and _is_valid_there(recipe)]
    # Merging there fails on an output that is null, and changes what it merges.
    recipes = [recipe for recipe in recipes if "null" not in json.dumps(recipe)]
    assert len(recipes) > 15
    for first in recipes:
        for second in recipes:
            theirs = peer.Recipe(copy.deepcopy(first)).merge(peer.Recipe(copy.deepcopy(second)))
            ours = Recipe.from_dict(first).merged_with(Recipe.from_dict(second))
            assert ours.to_dict() == json.loads(theirs.serialize())


class RecordingTransport:
    """Takes what a wrapper sends and writes it as python-workflows' transports do."""

    is_reconnectable = False

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, Any, Any]] = []

    def send(self, queue: str, message: Any, headers: Any = None, **options: Any) -> None:
        self._record("queue", queue, message, options)

    def broadcast(self, topic: str, message: Any, headers: Any = None, **options: Any) -> None:
        self._record("topic", topic, message, options)

    def _record(self, kind: str, name: str, message: Any, options: dict[str, Any]) -> None:
        text = json.dumps(message, default=lambda value: float(value) if isinstance(value, Decimal) else None)
        self.sent.append((kind, name, json.loads(text), options.get("delay", 0)))


RECIPE: dict[str, Any] = {
    "1": {"queue": "a", "output": {"every": 2, "some": [2, 3], "result": 4}, "parameters": {"x": [1, {"y": None}]}},
    "2": {"queue": "b", "topic": "t", "output": [4], "transport-delay": 5},
    "3": {"topic": "t"},
    "4": {"queue": "c", "exchange": "results"},
    "start": [[1, {"first": 1}], [2, []]],
}
PAYLOADS: list[Any] = [
    None, 0, "text", "µ \U0001f600 \ud83d", [1.5, -0.0, 1e300, 2**70], {"a": {"b": []}, "n": None}, True,
    {"inf": [float("inf"), float("-inf")]}, Decimal("2.5"),
]  # fmt: skip
SCRIPTS: list[tuple[str, str | None]] = [
    ("send", None), ("send_to", "every"), ("send_to", "some"), ("send_to", "result"), ("send_to", "unknown"),
    ("checkpoint", None),
]  # fmt: skip


def _ours(envelope: Envelope, action: str, stream: str | None, default: str | None, payload: Any) -> list[Envelope]:
    environment = envelope.environment
    if action == "checkpoint":
        return [envelope.repeated(payload=payload, environment=environment)]
    targets = envelope.targets(stream, default=default)
    return [envelope.advanced(target, payload=payload, environment=environment) for target in targets]


def _as_recorded(envelopes: list[Envelope], delay: int | None = None) -> list[tuple[str, str, Any, Any]]:
    return [
        (
            kind,
            envelope.node[kind],
            json.loads(envelope.encode()),
            envelope.transport_delay_s if delay is None else delay,
        )
        for envelope in envelopes
        for kind in ("queue", "topic")
        if envelope.node.get(kind)
    ]


@pytest.mark.parametrize("default", [None, "result", "every", "unknown"])
@pytest.mark.parametrize("pointer", [1, 2, 3, "2"])
@pytest.mark.parametrize("path", [[], [7, 3]])
def test_same_envelopes_for_a_script_of_sends(default: str | None, pointer: Any, path: list[int]) -> None:
    received = {
        "environment": {"ID": "guid", "program_id": 12},
        "payload": None,
        "recipe": RECIPE,
        "recipe-path": path,
        "recipe-pointer": pointer,
    }
    body = json.dumps(received)
    n_sent = 0
    for action, stream in SCRIPTS:
        for payload in PAYLOADS:
            transport = RecordingTransport()
            wrapper = peer.RecipeWrapper(message=json.loads(body), transport=transport)
            wrapper.set_default_channel(default)
            getattr(wrapper, action)(*([stream] if stream else []), payload)
            sent = _ours(Envelope.decode(body.encode()), action, stream, default, payload)
            assert _as_recorded(sent, 0 if action == "checkpoint" else None) == transport.sent, (action, stream)
            n_sent += len(sent)
    assert n_sent >= len(PAYLOADS)


def test_same_first_envelopes() -> None:
    transport = RecordingTransport()
    peer.RecipeWrapper(recipe=copy.deepcopy(RECIPE), transport=transport, environment={"ID": "guid"}).start()
    assert _as_recorded(start_recipe(Recipe.from_dict(RECIPE), environment={"ID": "guid"})) == transport.sent


def test_a_message_goes_back_and_forth_unchanged() -> None:
    envelope = start_recipe(Recipe.from_dict(RECIPE), environment={"ID": "guid"})[0]
    for payload in PAYLOADS[:-1]:
        (there,) = _ours(envelope, "send_to", "every", None, payload)
        transport = RecordingTransport()
        wrapper = peer.RecipeWrapper(message=json.loads(there.encode()), transport=transport)
        assert json.dumps(wrapper.payload) == json.dumps(payload)
        wrapper.send(wrapper.payload)
        (back,) = transport.sent
        ours = Envelope.decode(json.dumps(back[2]).encode())
        assert (ours.recipe_pointer, ours.recipe_path, ours.environment) == (4, (1, 2), {"ID": "guid"})
        assert ours.recipe == envelope.recipe
        assert json.dumps(ours.payload) == json.dumps(payload)
