from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from glimt.model.errors import DecodeError, RecipeError, ResultError
from glimt.model.recipe import Recipe
from glimt.model.recipe_body import MAX_BODY_BYTES
from glimt.model.recipe_cache import ParsedRecipes
from glimt.model.recipe_envelope import MAX_PATH_STEPS, Envelope, start_recipe

RECIPE: dict[str, Any] = {
    "1": {"queue": "a", "output": {"every": 2, "some": [2, 3], "nothing": None, "deep": {"x": 3}}},
    "2": {"queue": "b", "output": [3], "transport-delay": 5},
    "3": {"queue": "c", "transport-delay": "1.5", "parameters": {"list": [1]}},
    "0": {"queue": "z", "output": 2},
    "start": [[1, "first"], [0, "second"]],
}


def _body(**changes: Any) -> bytes:
    message = {
        "environment": {"ID": "x"},
        "payload": {"file": "f"},
        "recipe": RECIPE,
        "recipe-path": [],
        "recipe-pointer": 1,
    }
    return json.dumps({**message, **changes}).encode()


def test_decoding_gives_all_five_entries() -> None:
    envelope = Envelope.decode(_body(**{"recipe-path": [9, 8]}))
    assert envelope.recipe == Recipe.from_dict(RECIPE)
    assert envelope.recipe_pointer == 1
    assert envelope.recipe_path == (9, 8)
    assert envelope.environment == {"ID": "x"}
    assert envelope.payload == {"file": "f"}
    assert envelope.node["queue"] == "a"


def test_path_environment_and_payload_may_be_missing_and_the_pointer_may_be_text() -> None:
    envelope = Envelope.decode(json.dumps({"recipe": RECIPE, "recipe-pointer": "2"}).encode())
    assert (envelope.recipe_pointer, envelope.recipe_path, envelope.environment) == (2, (), {})
    assert envelope.payload is None


def test_the_recipe_may_be_a_text_that_holds_it() -> None:
    assert Envelope.decode(_body(recipe=json.dumps(RECIPE))).recipe == Recipe.from_dict(RECIPE)


def test_encoding_keeps_the_bytes_of_the_recipe() -> None:
    raw = json.dumps(RECIPE, indent=3).encode()
    body = b'{"recipe-pointer":1,"recipe":' + raw + b"}"
    encoded = Envelope.decode(body).advanced(2, payload=[1], environment={}).encode()
    assert raw in encoded
    assert json.loads(encoded) == {
        "environment": {},
        "payload": [1],
        "recipe": RECIPE,
        "recipe-path": [1],
        "recipe-pointer": 2,
    }


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "array"),
        (b"null", "null"),
        (b"{}", "recipe"),
        (b'{"recipe": {"1": {}}}', "recipe-pointer"),
        (_body(recipe=5), "object of steps"),
        (_body(recipe={"comment": {}}), "'comment'"),
        (_body(recipe={"1": 5}), "step 1 is 5"),
        (_body(recipe="nothing"), "not JSON"),
        (_body(recipe=None), "object of steps"),
        (_body(**{"recipe-pointer": 7}), "step 7"),
        (_body(**{"recipe-pointer": "start"}), "'start'"),
        (_body(**{"recipe-pointer": "9" * 5000}), "not the number"),
        (_body(**{"recipe-pointer": None}), "recipe-pointer"),
        (_body(**{"recipe-pointer": True}), "recipe-pointer"),
        (_body(**{"recipe-path": "1"}), "recipe-path"),
        (_body(**{"recipe-path": ["a"]}), "recipe-path"),
        (_body(**{"recipe-path": [1] * (MAX_PATH_STEPS + 1)}), "went through"),
        (_body(environment=[1]), "environment"),
        (b"[" * 1_000_000, ""),
        (b'{"payload":' + b"[" * 100_000, ""),
        (b'{"recipe":' + b'{"1":' * 100_000, ""),
        (b'{"payload":NaN,"recipe":' + b'{"1":' * 100_000, ""),
        (b'{"payload":NaN,"recipe":{"1":{}},"recipe-pointer":[]}', "recipe-pointer"),
        (b'{"payload":NaN}', "no recipe"),
        (b"NaN", "no recipe"),
        (b'{"recipe":{"1":{"a":' + b"[" * 500 + b"]" * 500 + b'}},"recipe-pointer":1}', "inside each other"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_hostile_bodies_are_decode_errors(body: bytes, words: str) -> None:
    with pytest.raises(DecodeError) as caught:
        Envelope.decode(body)
    assert words in str(caught.value)
    assert str(caught.value).startswith("recipe envelope: ")
    assert len(str(caught.value)) < 500


def test_a_body_that_is_too_large_is_not_looked_at() -> None:
    with pytest.raises(DecodeError, match="more than"):
        Envelope.decode(bytes(MAX_BODY_BYTES + 1))


@pytest.mark.parametrize(
    ("pointer", "stream", "default", "targets"),
    [
        (1, "every", None, (2,)),
        (1, "some", None, (2, 3)),
        (1, "nothing", None, ()),
        (1, "deep", None, (3,)),
        (1, "other", None, ()),
        (1, "other", "every", ()),
        (1, None, None, ()),
        (1, None, "some", (2, 3)),
        (1, None, "other", ()),
        (2, None, None, (3,)),
        (2, None, "result", (3,)),
        (2, "result", "result", (3,)),
        (2, "result", None, ()),
        (2, "other", "result", ()),
        (3, None, None, ()),
        (3, "result", "result", ()),
    ],
)
def test_targets_follow_send_and_send_to(
    pointer: int, stream: str | None, default: str | None, targets: tuple[int, ...]
) -> None:
    envelope = Envelope.decode(_body(**{"recipe-pointer": pointer}))
    assert envelope.targets(stream, default=default) == targets


def test_path_grows_by_the_step_but_not_by_step_0() -> None:
    envelope = Envelope.decode(_body(**{"recipe-path": [4]}))
    assert envelope.advanced(2, payload=0, environment={}).recipe_path == (4, 1)
    zero = Envelope.decode(_body(**{"recipe-pointer": 0, "recipe-path": [4]}))
    assert zero.advanced(2, payload=0, environment={}).recipe_path == (4,)


def test_repeating_keeps_step_and_path() -> None:
    again = Envelope.decode(_body(**{"recipe-path": [4]})).repeated(payload={"seen": 3}, environment={"b": 2})
    assert (again.recipe_pointer, again.recipe_path, again.payload, again.environment) == (
        1,
        (4,),
        {"seen": 3},
        {"b": 2},
    )


def test_links_to_steps_that_are_missing_are_recipe_errors() -> None:
    recipe = {"1": {"output": {"gone": 9, "text": "2"}}}
    envelope = Envelope.decode(_body(recipe=recipe))
    for stream, words in (("gone", "step 9 is missing"), ("text", "no link")):
        with pytest.raises(RecipeError, match=words):
            envelope.targets(stream, default=None)
    with pytest.raises(RecipeError, match="step 9 is missing"):
        envelope.advanced(9, payload=None, environment={})


def test_delay_is_that_of_the_step_the_message_is_for() -> None:
    envelope = Envelope.decode(_body())
    assert envelope.transport_delay_s == 0
    assert envelope.advanced(2, payload=0, environment={}).transport_delay_s == 5
    assert envelope.advanced(3, payload=0, environment={}).transport_delay_s == 1.5


@pytest.mark.parametrize("delay", ["soon", -1, [], "{x}", True, "nan", "inf", {}, 4_233_601, 1e10])
def test_a_delay_that_is_no_time_is_a_recipe_error(delay: Any) -> None:
    envelope = Envelope.decode(_body(recipe={"1": {"transport-delay": delay}}))
    with pytest.raises(RecipeError, match="step 1: transport-delay"):
        _ = envelope.transport_delay_s


def test_a_node_that_a_service_changes_is_its_own() -> None:
    first = Envelope.decode(_body(**{"recipe-pointer": 3}))
    first.node["parameters"]["list"].append(2)
    assert Envelope.decode(_body(**{"recipe-pointer": 3})).node["parameters"] == {"list": [1]}
    assert first.recipe == Recipe.from_dict(RECIPE)


def test_not_a_number_and_infinity_pass_through_as_python_workflows_writes_them() -> None:
    payload = {"a": math.nan, "b": [math.inf, -math.inf, None]}
    body = Envelope.decode(_body()).advanced(2, payload=payload, environment={"e": math.nan}).encode()
    assert b'"payload":{"a":NaN,"b":[Infinity,-Infinity,null]}' in body
    found = Envelope.decode(body)
    assert math.isnan(found.payload["a"])
    assert found.payload["b"] == [math.inf, -math.inf, None]
    assert math.isnan(found.environment["e"])
    assert Envelope.decode(found.encode()).payload["b"] == [math.inf, -math.inf, None]


def test_not_a_number_in_the_recipe_passes_through() -> None:
    found = Envelope.decode(_body(recipe={"1": {"p": math.nan, "output": 2}, "2": {}}))
    assert math.isnan(found.node["p"])
    again = Envelope.decode(found.advanced(2, payload=1, environment={}).encode())
    assert math.isnan(again.recipe.nodes[1]["p"])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("1.25"), 1.25),
        (Decimal("1E+3"), 1000.0),
        (np.float32(1.5), 1.5),
        (np.float64(2.5), 2.5),
        (np.int64(7), 7),
        (np.uint8(7), 7),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        ((1, 2), [1, 2]),
        ({1: 2}, {"1": 2}),
        (10**30, 10**30),
        ("\udc80 and é", "\udc80 and é"),
        ([np.float64("nan"), np.array([1.0, math.inf])], None),
    ],
)
def test_payloads_of_services_become_json(value: Any, expected: Any) -> None:
    body = Envelope.decode(_body()).advanced(2, payload={"v": value}, environment={}).encode()
    found = Envelope.decode(body).payload["v"]
    if expected is None:
        assert math.isnan(found[0])
        assert found[1] == [1.0, math.inf]
    else:
        assert found == expected
        assert json.loads(body)["payload"]["v"] == expected


def test_what_is_not_json_is_said_to_be_the_payload() -> None:
    envelope = Envelope.decode(_body())
    loop: list[Any] = []
    loop.append(loop)
    for payload in (object(), {"x": print}, loop):
        with pytest.raises(ResultError, match="payload of a message"):
            envelope.advanced(2, payload=payload, environment={}).encode()


def test_starting_a_recipe_sends_each_start_with_an_empty_path() -> None:
    first, second = start_recipe(Recipe.from_dict(RECIPE), environment={"ID": "i"})
    assert (first.recipe_pointer, first.payload, first.recipe_path) == (1, "first", ())
    assert (second.recipe_pointer, second.payload, second.environment) == (0, "second", {"ID": "i"})
    assert json.loads(first.encode())["recipe"]["1"]["output"]["every"] == 2


def test_starting_an_invalid_recipe_is_an_error() -> None:
    with pytest.raises(RecipeError, match="never reached"):
        start_recipe(Recipe.from_dict({"1": {}, "2": {}, "start": [[1, 0]]}), environment={})


def test_messages_of_one_recipe_share_it_parsed() -> None:
    first = Envelope.decode(_body(payload=1))
    Envelope.decode(_body(recipe={"1": {"queue": "another"}}))
    assert Envelope.decode(_body(payload=2)).recipe is first.recipe


def test_kept_recipes_are_bounded_in_bytes_and_the_oldest_goes() -> None:
    cache = ParsedRecipes(max_bytes=100)
    raws = [json.dumps({str(k): {"queue": "x" * 10}}).encode() for k in range(1, 9)]
    parsed = [cache.add(raw) for raw in raws]
    assert cache.find(raws[0]) is None
    assert cache.find(raws[-2]) is parsed[-2]
    large = b'{"1":{"queue":"' + b"x" * 200 + b'"}}'
    cache.add(large)
    assert cache.find(large) is None
    assert cache.find(raws[-1]) is parsed[-1]


def test_a_recipe_that_was_used_lately_stays() -> None:
    cache = ParsedRecipes(max_bytes=60)
    raws = [json.dumps({str(k): {"queue": "x"}}).encode() for k in range(1, 5)]
    cache.add(raws[0])
    for raw in raws[1:]:
        cache.add(raw)
        assert cache.find(raws[0]) is not None
