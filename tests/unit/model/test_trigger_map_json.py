"""Trigger maps as clients send them, malformed ones too."""

from __future__ import annotations

import json
import math
import tracemalloc
from typing import Any

import pytest

from glimt.model.errors import UsageError
from glimt.model.trigger_map import WRAP_PART, TriggerMap
from glimt.model.trigger_map_entries import MAX_SHAPES, MAX_TARGETS
from glimt.model.trigger_map_json import MAX_INSTANCES, MAX_STREAMS, read_map
from glimt.model.trigger_map_part import CONSTRAINT_BITS, MAX_CONSTRAINT

MEGABYTE = 1 << 20


def test_answer_has_every_entry_in_full_and_the_wrap() -> None:
    sent = {"parts": {"p": {"a": [[{"constraint": 7}], None, [], [{"tags": ["x"]}]]}}, "sequence": ["p"]}
    assert TriggerMap.from_json(sent).to_json_object() == {
        "parts": {
            "p": {
                "mapping": {
                    "a": [
                        [{"tags": ["generic"], "constraint": 7}],
                        None,
                        [],
                        [{"tags": ["x"], "constraint": None}],
                    ]
                }
            },
            WRAP_PART: {
                "mapping": {"a": [[{"tags": ["generic"], "constraint": None}, {"tags": ["x"], "constraint": None}]]}
            },
        },
        "sequence": [WRAP_PART, "p", WRAP_PART],
    }


def test_map_without_parts_is_one_called_main() -> None:
    answer = TriggerMap.from_json(b'{"a":[[{"constraint":0}]]}', all_wrap=False).to_json_object()
    assert answer == TriggerMap.uniform(["a"], 1, all_wrap=False).to_json_object()


def test_answer_of_get_is_refused_if_it_would_be_wrapped_twice() -> None:
    answer = TriggerMap.uniform(["a"], 1).to_json_object()
    with pytest.raises(UsageError, match=f"part '{WRAP_PART}' is there already: upload the map with all_wrap=false"):
        TriggerMap.from_json(answer)


def test_stream_may_be_called_mapping() -> None:
    for column in ([[{"constraint": 0}]], {"each": 1}):
        found = TriggerMap.from_json({"parts": {"p": {"mapping": column}}, "sequence": ["p"]})
        assert found.streams == ("mapping",)


@pytest.mark.parametrize(
    ("rule", "listed"),
    [
        ({"each": 3}, [[0], [1], [2]]),
        ({"each": 5, "group": 2}, [[0], [0], [1], [1], [2]]),
        ({"each": 5, "cycle": 3}, [[0], [1], [2], [0], [1]]),
        ({"each": 6, "group": 2, "cycle": 2}, [[0], [0], [1], [1], [0], [0]]),
        ({"each": 7, "every": 3, "offset": 2}, [None, None, [2], None, None, [5], None]),
        ({"repeat": None, "n": 2}, [None, None]),
        ({"repeat": [], "n": 3, "every": 2}, [[], None, []]),
        ({"repeat": [{"constraint": 4}, {"constraint": 9}], "n": 2}, [[4, 9], [4, 9]]),
    ],
)
def test_rule_is_the_list_it_stands_for(rule: dict[str, Any], listed: list[list[int] | None]) -> None:
    answer = TriggerMap.from_json({"a": rule}, all_wrap=False).to_json_object()
    entries = [None if e is None else [{"tags": ["generic"], "constraint": n} for n in e] for e in listed]
    assert answer["parts"]["main"]["mapping"]["a"] == entries


def test_tags_of_any_characters_survive() -> None:
    tags = ['%d"]}', "\\", "Größe\n", "[{"]
    sent = {"a": [[{"tags": [tag], "constraint": 1}] for tag in tags] + [[{"constraint": 2}]] * 50}
    answer = TriggerMap.from_json(sent, all_wrap=False).to_json_object()["parts"]["main"]["mapping"]["a"]
    assert [entry[0]["tags"] for entry in answer] == [[tag] for tag in tags] + [["generic"]] * 50


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ([{"constraint": -1}], "Expected `int` >= 0"),
        ([{"constraint": MAX_CONSTRAINT + 1}], f"(Expected `int` <= |largest allowed is ){MAX_CONSTRAINT}"),
        ([{"constraint": 10**30}], "Integer|Expected"),
        ([{"constraint": 1.5}], "got `float`"),
        ([{"constraint": True}], "got `bool`"),
        ([{"constraint": "1"}], "got `str`"),
        ([{"constraint": [1]}], "is not valid"),
        ([{"constraint": 1, "contraint": 1}], "unknown field `contraint`"),
        ([{"tags": []}], "length >= 1"),
        ([{"tags": [""]}], "length >= 1"),
        ([{"tags": ["x" * 101]}], "length <= 100"),
        ([{"tags": "generic"}], "got `str`"),
        ([{"tags": [1]}], "got `int`"),
        ([{"tags": None}], "got `null`"),
        ([1], "got `int`"),
        ([None], "got `null`"),
        ([[]], "got `array`"),
        ([[[[[]]]]], "is not null"),
        (1, "is not null"),
        (False, "is not null"),
        ("null", "is not null"),
        ({"constraint": 1}, "is not null"),
        ([{"constraint": 1}] * (MAX_TARGETS + 1), "length <= 256"),
    ],
)
@pytest.mark.parametrize("before", [0, 5, 9000])
def test_bad_entry_is_named_with_part_and_stream(entry: Any, problem: str, before: int) -> None:
    good = [{"constraint": 3}]
    sent = {"parts": {"line": {"a": [good], "b": [good] * before + [entry, good]}}, "sequence": ["line"]}
    with pytest.raises(UsageError, match=f"^part 'line', stream 'b', entry {before} .*({problem})"):
        TriggerMap.from_json(sent)


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (
            {"parts": {"p": {"a": [[]], "b": [[], []]}}, "sequence": ["p"]},
            "part 'p': length not equal.*'a' has 1.*'b' 2",
        ),
        ({"parts": {"p": {"a": [[]]}}, "sequence": ["q"]}, "sequence has part 'q', which is not in parts: p"),
        ({"parts": {"p": {"a": [[]]}}, "sequence": []}, "sequence is empty"),
        ({"parts": {"p": {"a": [[]]}}, "sequence": "p"}, "sequence: not a list of part names"),
        ({"parts": {"p": {"a": [[]]}}, "sequence": ["p", 1]}, "sequence: not a list of part names"),
        ({"parts": {"p": {"a": [[]]}}, "sequence": None}, "sequence: not a list of part names"),
        ({"parts": {"p": {"a": [[]]}}}, "has no 'sequence'"),
        ({"sequence": ["p"]}, "has no 'parts'"),
        ({"parts": [], "sequence": ["p"]}, "parts: not a JSON object"),
        ({"parts": {"p": []}, "sequence": ["p"]}, "part 'p': not a JSON object"),
        ({"parts": {"p": {}}, "sequence": ["p"]}, "part 'p' names no stream"),
        ({"parts": {"p": {"mapping": {}}}, "sequence": ["p"]}, "part 'p' names no stream"),
        ({}, "part 'main' names no stream"),
        ({"parts": {"p": {"a": [[]]}}, "sequence": ["p"], "b": [[]]}, "has 'b' beside 'parts' and 'sequence'"),
        ({"a": None}, "part 'main', stream 'a': neither a list of entries nor a rule"),
        ({"a": 5}, "part 'main', stream 'a': neither a list of entries nor a rule"),
        ({"a": {}}, "part 'main', stream 'a': neither a list of entries nor a rule"),
        ({"a": {"each": -1}}, "stream 'a': neither .*Expected `int` >= 0"),
        ({"a": {"each": 1 << 60}}, "stream 'a': neither .*Expected `int` <= "),
        ({"a": {"each": 1.5}}, "stream 'a': neither .*got `float`"),
        ({"a": {"each": 5, "grup": 2}}, "stream 'a': neither .*unknown field `grup`"),
        ({"a": {"each": 5, "every": 0}}, "stream 'a': neither .*Expected `int` >= 1"),
        ({"a": {"each": 5, "every": 5, "offset": 5}}, "stream 'a': offset 5 has to be less than every, which is 5"),
        ({"a": {"repeat": [{"constraint": True}], "n": 5}}, "stream 'a': neither .*got `bool`"),
        ({"a": {"repeat": []}}, "stream 'a': neither .*missing required field `n`"),
        ({"a": [[{"constraint": math.nan}]]}, "cannot be written as JSON"),
        ({"a": [[{"constraint": {1}}]]}, "cannot be written as JSON"),
        ({"s" * 2000: [[]]}, "a name of 2002 bytes"),
    ],
)
def test_malformed_map_says_where(sent: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        TriggerMap.from_json(sent)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "trigger map: not a JSON object, at byte 0"),
        (b"[]", "trigger map: not a JSON object"),
        (b"null", "trigger map: not a JSON object"),
        (b'{"a":[[]]', "no ',' or '}' behind 'a', at byte 9"),
        (b'{"a":[[]]}x', "more text behind its end, at byte 10"),
        (b'{"a":[[]],}', "no name in quotes"),
        (b'{"a":[[]', "entry 0 is not followed by ',' or ']'"),
        (b'{"a":[[],', "entry 1 is not null"),
        (b'{"a":[[],]}', "entry 1 is not null"),
        (b'{"a":[null null]}', "entry 0 is not followed by"),
        (b'{"a":[[{"constraint":01}]]}', "entry 0 or one of the .* is not JSON"),
        (b'{"a":[[{"constraint":NaN}]]}', "entry 0 or one of the .* is not JSON"),
        (b'{"a":[[{"tags":["\xff"]}]]}', "entry 0 "),
        (b'{"\xff":[[]]}', "has a name that is not JSON"),
        (b'{"\\ud800":[[]]}', "has a name that is not JSON"),
        (b'{"a":[[]],"a":[[]]}', "trigger map has 'a' twice"),
        (b'{"parts":{"p":{"a":[[]]}},"sequence":["p",]}', "sequence is not a list"),
        (b'{"parts":{"p":{"a":[[]]}},"sequence":["\xff"]}', "sequence is not a list"),
        (b"\xff\xfe{}", "trigger map: not a JSON object"),
        ("{\ud800}", "cannot be written as JSON"),
    ],
)
def test_text_that_is_not_json_says_where(body: bytes | str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        TriggerMap.from_json(body)


def test_longer_body_than_accepted_is_refused_unread() -> None:
    with pytest.raises(UsageError, match="trigger map of 20 bytes, at most 19 are accepted"):
        TriggerMap.from_json(b'{"a":[[{}],[{}],[]]}', max_bytes=19)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 3_000_000,
        b'{"a":' * 1_000_000,
        b'{"a":' + b"[" * 3_000_000,
        b'{"a":[' + b'[{"tags":' * 300_000,
        b'{"a":[[' + b"{}," * 3_000_000 + b"{}]]}",
        b'{"a":[[{"tags":["' + b"x" * 3_000_000 + b'"]}]]}',
        b'{"a":[[{"constraint":' + b"1" * 3_000_000 + b"}]]}",
        b'{"' + b"a" * 3_000_000 + b'":[]}',
        b'{"a":"' + b"\\u0041" * 500_000 + b'"}',
        b'{"a":{"repeat":[' + b"{}," * 3_000_000 + b'{}],"n":9}}',
        b"{" + b",".join(b'"%d":[]' % i for i in range(300_000)) + b"}",
        b'{"parts":{"a":{"a":[[]]}},"sequence":[' + b'"a",' * MAX_INSTANCES + b'"a"]}',
        b'{"parts":{"a":{"a":[[]]}},"sequence":["' + b"\\" * 3_000_001 + b'"]}',
    ],
    ids=range(13),
)
def test_bomb_is_refused_in_little_memory(body: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(UsageError) as refused:
            TriggerMap.from_json(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 60 * MEGABYTE
    assert len(str(refused.value)) < 500


def test_too_many_streams_or_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match=f"more than {MAX_STREAMS} names"):
        TriggerMap.from_json({f"s{i}": {"each": 1} for i in range(MAX_STREAMS + 1)})
    with pytest.raises(UsageError, match=f"entry {MAX_SHAPES - 3} is of yet another form"):
        TriggerMap.from_json({"a": [[{"tags": [f"t{i}"]}] for i in range(MAX_SHAPES)]})


def test_entries_of_all_streams_together_are_limited() -> None:
    body = {stream: [None] * 5 for stream in "abc"}
    read_map(body, max_entries=15)
    with pytest.raises(UsageError, match="stream 'c', entry 4 is one more than a map may list; repeat a part"):
        read_map(body, max_entries=14)


@pytest.mark.parametrize("template", [b'[{"constraint": %d}]', b'[{"tags":["generic"],"constraint":%d}]'])
def test_million_triggers_of_two_streams_need_little_more_than_their_text(template: bytes) -> None:
    n = 1_000_000
    column = b"[%b]" % b", ".join([template % i for i in range(n)])
    other = b"[%b]" % b", ".join([template % (i // 2) for i in range(n)])
    body = b'{"parts": {"main": {"eiger": %b, "orca": %b}}, "sequence": ["main"]}' % (column, other)
    tracemalloc.start()
    try:
        found = TriggerMap.from_json(body)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [key % (1 << CONSTRAINT_BITS) for key in found.event(n).keys] == [n - 1, n // 2 - 1]
    assert kept < 10 * MEGABYTE
    assert peak < 30 * MEGABYTE


def test_streams_with_the_same_entries_share_them() -> None:
    column = [[{"constraint": i}] for i in range(50_000)]
    body = json.dumps({"a": column, "b": column, "c": column})
    tracemalloc.start()
    try:
        found = TriggerMap.from_json(body)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.event(50_000).is_simple
    assert kept < 300_000  # 50,000 times four bytes, not three times that


def test_answer_of_a_long_rule_comes_in_small_pieces() -> None:
    found = TriggerMap.uniform(["a", "b"], 10_000_000)
    pieces = found.json_pieces()
    assert max(len(next(pieces)) for _ in range(50)) < MEGABYTE
