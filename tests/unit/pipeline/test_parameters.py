from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import cbor2
import pytest

from glimt.model.errors import ParameterError, UsageError
from glimt.model.parameters import (
    BinaryParameter,
    BoolParameter,
    FloatParameter,
    IntParameter,
    StrParameter,
    WorkParameter,
)
from glimt.pipeline.parameter_changes import ParameterChanges
from glimt.pipeline.parameter_file import parse_parameters, read_parameters
from glimt.pipeline.parameter_set import ParameterSet, described_parameters


@pytest.mark.parametrize(
    ("parameter", "data", "value"),
    [
        (StrParameter(name="a"), b"caf\xc3\xa9", "café"),
        (IntParameter(name="a"), b"-12", -12),
        (FloatParameter(name="a"), b"1e-3", 0.001),
        (FloatParameter(name="a"), b"3", 3.0),
        (BoolParameter(name="a"), b"True", True),
        (BoolParameter(name="a"), b"true", True),
        (BoolParameter(name="a"), b"0", False),
        (BinaryParameter(name="a"), b"\x00\xff", b"\x00\xff"),
    ],
)
def test_data_becomes_the_typed_value(parameter: Any, data: bytes, value: Any) -> None:
    assert parameter.from_bytes(data) == value
    assert parameter.from_bytes(parameter.to_bytes(value)) == value


@pytest.mark.parametrize(
    ("parameter", "data", "says"),
    [
        (IntParameter(name="till_x"), b"4.5", "parameter 'till_x' takes a whole number, got b'4.5'"),
        (IntParameter(name="a", minimum=0), b"-1", "of at least 0, got -1"),
        (IntParameter(name="a", maximum=10), b"11", "of at most 10, got 11"),
        (FloatParameter(name="a"), b"nan", "takes a number, got nan"),
        (FloatParameter(name="a"), b"two", "got b'two'"),
        (BoolParameter(name="a"), b"maybe", "takes True or False"),
        (StrParameter(name="a"), b"\xff", "takes text"),
        (StrParameter(name="a", default="x", choices=["x", "y"]), b"z", "takes text, one of x, y, got 'z'"),
    ],
)
def test_what_does_not_fit_is_an_error_that_says_what_does(parameter: Any, data: bytes, says: str) -> None:
    with pytest.raises(ParameterError) as error:
        parameter.from_bytes(data)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: IntParameter(name="a", default=2.5),
        lambda: IntParameter(name="a", default=True),
        lambda: IntParameter(name=""),
        lambda: FloatParameter(name="a", default="1"),
        lambda: StrParameter(name="a", default=1),
        lambda: BinaryParameter(name="a", default="x"),
        lambda: IntParameter(name="a", default=5, maximum=3),
    ],
)
def test_a_default_of_the_wrong_type_is_refused_where_it_is_written(make: Any) -> None:
    with pytest.raises(ParameterError):
        make()


def test_defaults_fill_what_is_not_given_and_unknown_names_keep_their_bytes() -> None:
    parameters = ParameterSet(
        [IntParameter(name="till_x", default=2), IntParameter(name="from_y", default=8)],
        {"till_x": b"3", "other": b"raw"},
    )
    assert parameters.values["till_x"].value == 3
    assert (parameters.values["from_y"].value, parameters.values["from_y"].data) == (8, b"8")
    assert (parameters.values["other"].value, parameters.values["other"].data) == (None, b"raw")


def test_content_hash_depends_on_content_only() -> None:
    described = [IntParameter(name="a", default=1)]
    assert ParameterSet().content_hash == hashlib.sha256().hexdigest()
    assert ParameterSet(described).content_hash == ParameterSet(described, {"a": b"1"}).content_hash
    assert ParameterSet(described).content_hash != ParameterSet(described, {"a": b"2"}).content_hash
    assert ParameterSet((), {"a": b"bc"}).content_hash != ParameterSet((), {"ab": b"c"}).content_hash


def test_the_dict_that_hooks_hold_changes_in_place_and_a_bad_update_changes_nothing() -> None:
    parameters = ParameterSet([IntParameter(name="a", default=1)])
    held, before = parameters.values, parameters.content_hash
    parameters.update({"a": b"7"})
    assert held["a"].value == 7
    assert parameters.content_hash != before
    with pytest.raises(ParameterError):
        parameters.update({"b": b"1", "a": b"x"})
    assert held["a"].value == 7
    assert "b" not in held


def test_two_classes_must_agree_about_a_name() -> None:
    ParameterSet([IntParameter(name="a", default=1), IntParameter(name="a", default=1)])
    with pytest.raises(UsageError, match="described twice"):
        ParameterSet([IntParameter(name="a", default=1), FloatParameter(name="a", default=1.0)])


def test_descriptions_are_plain_values_sorted_by_name() -> None:
    described = ParameterSet(
        [FloatParameter(name="b", unit="mm", minimum=0), BinaryParameter(name="a", default=b"\xff")]
    ).describe()
    assert described == [
        {"name": "a", "description": None, "dtype": "binary", "default": "�"},
        {"name": "b", "description": None, "dtype": "float", "default": 0.0, "unit": "mm", "minimum": 0},
    ]


def test_classes_without_descriptions_describe_nothing_and_bad_ones_are_named() -> None:
    class Good:
        @staticmethod
        def describe_parameters() -> list[Any]:
            return [IntParameter(name="a")]

    class Raises:
        @staticmethod
        def describe_parameters() -> list[Any]:
            raise RuntimeError("no beam")

    class Odd:
        @staticmethod
        def describe_parameters() -> list[Any]:
            return ["till_x"]

    assert [p.name for p in described_parameters(object, Good)] == ["a"]
    with pytest.raises(UsageError, match=r"Raises\.describe_parameters raised RuntimeError: no beam"):
        described_parameters(Raises)
    with pytest.raises(UsageError, match="must return parameters such as IntParameter"):
        described_parameters(Odd)


FILE = [{"name": "till_x", "data": "3"}, {"name": "from_y", "data": "7"}]


def test_parameter_files_are_json_or_cbor() -> None:
    expected = {"till_x": b"3", "from_y": b"7"}
    assert (
        parse_parameters(b'[{"name": "till_x", "data": "3"}, {"name": "from_y", "data": "7"}]', where="x") == expected
    )
    assert parse_parameters(cbor2.dumps([{"name": "p", "data": b"\x00\xff"}]), where="x") == {"p": b"\x00\xff"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        b'[{"name": "a"}]',
        b'[{"name": "a", "data": 3}]',
        b'[{"name": "a", "data": "1"}, {"name": "a", "data": "2"}]',
        b"\xff\xff\xff",
        b"\x9f" * 5000 + b"\xff",
        cbor2.dumps([{"name": "p", "data": b"\xff"}]) + b"\x00",
        cbor2.dumps({"name": b"\xff"}),
    ],
)
def test_anything_else_is_an_error_that_names_the_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "params.json"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=r"params\.json"):
        read_parameters(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read parameter file .*none\.json: No such file"):
        read_parameters(tmp_path / "none.json")


def test_changes_are_taken_once_and_checked_at_once() -> None:
    described = [IntParameter(name="a", default=1)]
    changes = ParameterChanges(ParameterSet(described))
    assert not changes.are_waiting
    promised = changes.set("a", b"5")
    assert changes.are_waiting
    assert changes.get("a") == b"5"
    assert changes.take(3) == {"a": b"5"}
    assert changes.take(4) == {}
    assert promised == ParameterSet(described, {"a": b"5"}).content_hash
    with pytest.raises(ParameterError):
        changes.set("a", b"x")
    assert changes.get("a") == b"5"
    with pytest.raises(KeyError):
        changes.get("nope")


def test_long_values_are_printed_short() -> None:
    assert len(repr(WorkParameter("poni", b"x" * 10_000, b"x" * 10_000))) < 500
