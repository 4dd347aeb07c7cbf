"""Every key of a TOML document is found on its line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glimt.app.toml_lines import Key, TomlLines

DOCUMENT = '''\
# a comment with [brackets] and key = value
title = "a \\" quote # no comment"   # one
long = """first
inner = 5
[not.a.table]
"""
literal = \'\'\'
x = """
\'\'\'
"quoted key" = 1
'single.quoted' = 2
"esc\\u0061ped" = 3
a.b."c.d" = 1.5
list = [
  1, # one ]
  [2, "]"],
  { inline = 3, deep.er = [4] },
]
inline = { x = 1, "y z" = [ { w = 2 } ] }
when = 1979-05-27 07:32:00

[table]
key = """"quoted""""
[table.sub . "dotted"]
key = 1
[[array]]
name = 1
[array.child]
name = 2
[[array]]
name = 3
[[array.child2]]
name = 4
[[array.child2]]
name = 5
[parent.child]
[parent]
'''

EXPECTED: dict[Key, int] = {
    ("title",): 2,
    ("long",): 3,
    ("literal",): 7,
    ("quoted key",): 10,
    ("single.quoted",): 11,
    ("escaped",): 12,
    ("a",): 13,
    ("a", "b"): 13,
    ("a", "b", "c.d"): 13,
    ("list",): 14,
    ("list", 0): 15,
    ("list", 1): 16,
    ("list", 1, 0): 16,
    ("list", 1, 1): 16,
    ("list", 2): 17,
    ("list", 2, "inline"): 17,
    ("list", 2, "deep"): 17,
    ("list", 2, "deep", "er"): 17,
    ("list", 2, "deep", "er", 0): 17,
    ("inline",): 19,
    ("inline", "x"): 19,
    ("inline", "y z"): 19,
    ("inline", "y z", 0): 19,
    ("inline", "y z", 0, "w"): 19,
    ("when",): 20,
    ("table",): 22,
    ("table", "key"): 23,
    ("table", "sub"): 24,
    ("table", "sub", "dotted"): 24,
    ("table", "sub", "dotted", "key"): 25,
    ("array",): 26,
    ("array", 0): 26,
    ("array", 0, "name"): 27,
    ("array", 0, "child"): 28,
    ("array", 0, "child", "name"): 29,
    ("array", 1): 30,
    ("array", 1, "name"): 31,
    ("array", 1, "child2"): 32,
    ("array", 1, "child2", 0): 32,
    ("array", 1, "child2", 0, "name"): 33,
    ("array", 1, "child2", 1): 34,
    ("array", 1, "child2", 1, "name"): 35,
    ("parent",): 37,
    ("parent", "child"): 36,
}


def keys_of(value: Any, key: Key = ()) -> Iterator[Key]:
    """Yield the keys of everything in a document that `tomllib` returned."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        yield (*key, name)
        yield from keys_of(item, (*key, name))


def test_every_way_of_writing_a_key_is_located() -> None:
    assert TomlLines(DOCUMENT).items() == EXPECTED
    assert set(keys_of(tomllib.loads(DOCUMENT))) == set(EXPECTED)


def test_lines_that_end_as_on_windows_count_the_same() -> None:
    text = DOCUMENT.replace("\n", "\r\n")
    tomllib.loads(text)
    assert TomlLines(text).items() == EXPECTED


def test_a_key_that_is_not_there_has_the_line_of_what_it_would_lie_in() -> None:
    lines = TomlLines(DOCUMENT)
    assert lines.line(("table", "sub", "dotted", "missing", 3)) == 24
    assert lines.line(("nothing", "like", "it")) is None
    assert lines.line(()) is None


@pytest.mark.parametrize(
    "text",
    ["a = [", "a = {", "[", "[[a]", "= 3", "a = 1\n]", 'a = "', "a.", "a.b = 'x", "a = \n", "\0", "a = [" * 3000],
)
def test_what_is_no_toml_raises_nothing(text: str) -> None:
    TomlLines(text)


def test_deep_nesting_ends_and_keeps_what_was_located_before() -> None:
    assert TomlLines("a = 1\nb = " + "[" * 100_000).line(("a",)) == 1


def test_keys_that_lie_very_deep_are_not_held() -> None:
    lines = TomlLines("a = 1\n" + "b" + ".b" * 50_000 + " = 1\n")
    assert len(lines.items()) == 1
    nested = TomlLines("a = " + "{ b = " * 200 + "1" + " }" * 200)
    assert len(nested.items()) < 100
    assert nested.line(("a", *("b",) * 100)) == 1


@pytest.mark.parametrize("text", ['"""' + '\\"' * 200_000, "'" * 300_000, "\"\n'" * 100_000, "a = " + '"' * 300_000])
def test_quotes_that_never_close_are_passed_over_once(text: str) -> None:
    assert len(TomlLines(text).items()) <= 1


words = st.sampled_from(["key", "other", "k3y", "Sp am", "a.b", "ä", '"', "#", "[x]", "", "line\nbreak"])
scalars = st.one_of(
    st.integers(-5, 5).map(str),
    st.sampled_from(["true", "1.5", "-inf", "1979-05-27T07:32:00Z", "'lit # [ eral'", "'''\n[x]\nkey = 1\n'''"]),
    st.text(max_size=8).map(lambda text: quoted(text)),
)


def quoted(text: str) -> str:
    """Return ``text`` as a basic string of TOML on one line."""
    return '"' + "".join(letter if letter.isalnum() else f"\\U{ord(letter):08x}" for letter in text) + '"'


def write_key(name: str) -> str:
    return name if name.isascii() and name.isalnum() else quoted(name)


inline_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[ {', '.join(items)} ]")
        | st.lists(inner, max_size=3).map(lambda items: "[ # [\n" + "".join(f"  {item}, # ]\n" for item in items) + "]")
    ),
    max_leaves=6,
)
tables = st.dictionaries(words, inline_values, max_size=4)


@given(st.dictionaries(words, tables | st.lists(tables, min_size=1, max_size=3), max_size=4), tables)
def test_whatever_tomllib_finds_is_on_a_line_that_has_its_key(
    sections: dict[str, dict[str, str] | list[dict[str, str]]], first: dict[str, str]
) -> None:
    text, expected = "", dict[Key, int]()

    def write(table: dict[str, str], key: Key) -> None:
        nonlocal text
        for name, value in table.items():
            expected[*key, name] = text.count("\n") + 1
            text += f"{write_key(name)} = {value} # comment\n"

    top = {name: value for name, value in first.items() if name not in sections}
    write(top, ())
    for name, section in sections.items():
        for number, table in enumerate([section] if isinstance(section, dict) else section):
            key: Key = (name,) if isinstance(section, dict) else (name, number)
            header = f"[{write_key(name)}]" if isinstance(section, dict) else f"[[{write_key(name)}]]"
            expected.setdefault((name,), text.count("\n") + 1)
            expected[key] = text.count("\n") + 1
            text += f"{header}\n"
            write(table, key)
    found = TomlLines(text)
    everything = set(keys_of(tomllib.loads(text)))
    assert everything == set(found.items())
    assert {key: found.line(key) for key in expected} == expected


@given(st.text(alphabet="ab.=[]{}\"'#\n ,1\\", max_size=60))
def test_any_text_is_read_without_an_error_and_whole_if_it_is_toml(text: str) -> None:
    found = TomlLines(text)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(keys_of(document)) == set(found.items())
