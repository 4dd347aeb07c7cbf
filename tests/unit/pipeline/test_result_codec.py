from __future__ import annotations

import dataclasses
from collections import OrderedDict
from typing import Any

import msgspec
import numpy as np
import pytest

from glimt.codecs.stins import StinsStart
from glimt.model.errors import ResultError
from glimt.pipeline.result_codec import decode_result, encode_result, transfer


@dataclasses.dataclass
class Start:
    filename: str
    radial_axis: Any


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    values: tuple[int, ...]


@dataclasses.dataclass
class WithState:
    x: int

    def __getstate__(self) -> dict[str, int]:
        return {"x": self.x + 1}


class Peak(msgspec.Struct):
    fs: float
    ss: float


class Plain:
    def __init__(self) -> None:
        self.x = 1


def assert_same(left: Any, right: Any) -> None:
    assert type(left) is type(right)
    if isinstance(left, np.ndarray):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, other in zip(left, right, strict=True):
            assert_same(one, other)
    elif isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            assert_same(left[key], right[key])
    elif dataclasses.is_dataclass(left):
        for field in dataclasses.fields(left):
            assert_same(getattr(left, field.name), getattr(right, field.name))
    elif isinstance(left, Plain):
        assert left.x == right.x
    else:
        assert left == right


PLAIN = [
    1,
    -2.5,
    "text",
    b"bytes",
    None,
    True,
    (1, (2, [3])),
    [1, (2.0, "x")],
    {"a": (1,), "b": {"c": b"x"}},
    {1: 2, (1, 2): 3},
    np.float64(9.25),
    np.float32(1),
    np.bool_(True),
    np.arange(6).reshape(2, 3)[:, ::2],
    np.array(3.5),
    np.zeros((2, 0), np.uint8),
    np.array(["a", "bc"]),
    np.array(["2026-11-21"], "M8[s]"),
    Start("x.h5", np.linspace(0, 1, 4)),
    Frozen((1, 2)),
    Peak(1.0, 2.0),
    [Start("a", None), (Peak(0.0, 1.0),)],
]
PICKLED = [2**80, {1, 2}, OrderedDict(a=1), np.zeros(2, [("a", "f4")]), complex(1, 2), Plain(), "\ud800", float]


@pytest.mark.parametrize("payload", PLAIN, ids=lambda p: type(p).__name__)
def test_plain_payloads_keep_their_types_without_pickle(payload: Any) -> None:
    data = encode_result(payload)
    assert data[:1] == b"m"
    assert_same(payload, decode_result(data))


@pytest.mark.parametrize("payload", PICKLED, ids=lambda p: type(p).__name__)
def test_other_payloads_are_pickled(payload: Any) -> None:
    data = encode_result(payload)
    assert data[:1] == b"p"
    assert_same(payload, decode_result(data))


def test_a_dataclass_with_a_state_of_its_own_keeps_it() -> None:
    assert decode_result(encode_result(WithState(1))).x == 2


def test_a_parsed_packet_can_be_a_result() -> None:
    start = StinsStart(msg_number=1, filename="a.h5")
    assert transfer(start) == start


def test_dicts_with_odd_keys_and_masked_arrays_survive() -> None:
    masked = np.ma.masked_array([1, 2], [False, True])
    assert transfer(masked).mask.tolist() == [False, True]
    assert transfer({None: 1, 2.5: 2}) == {None: 1, 2.5: 2}


def test_what_arrives_shares_nothing_with_the_worker() -> None:
    buffer = np.zeros(3)
    for payload in (buffer, {"a": buffer}, (1, buffer), Start("x", buffer)):
        arrived = transfer(payload)
        buffer[0] += 1
        inner = arrived if isinstance(arrived, np.ndarray) else None
        inner = arrived["a"] if isinstance(arrived, dict) else inner
        inner = arrived[1] if isinstance(arrived, tuple) else inner
        inner = arrived.radial_axis if isinstance(arrived, Start) else inner
        assert inner is not None
        assert inner[0] == buffer[0] - 1
        assert inner.flags.writeable


@pytest.mark.parametrize("payload", [lambda: None, [open], (x for x in "ab")], ids=["function", "list", "generator"])
def test_what_cannot_be_sent_is_named_by_type(payload: Any) -> None:
    if payload == [open]:
        payload = [(x for x in "ab")]
    with pytest.raises(
        ResultError, match=r"a result of type builtins\.\w+ cannot be sent to the reducer .*return numb"
    ):
        encode_result(payload)


def test_a_local_class_is_named_by_type() -> None:
    @dataclasses.dataclass
    class Local:
        x: int

    with pytest.raises(ResultError, match="Local"):
        encode_result(Local(1))


def test_deep_and_cyclic_payloads_do_not_crash() -> None:
    cyclic: list[Any] = []
    cyclic.append(cyclic)
    again = decode_result(encode_result(cyclic))
    assert again[0] is again
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ResultError):
        encode_result(deep)


@pytest.mark.parametrize("data", [b"", b"m", b"m\xc1", b"p", b"pxx", b"q", b"m\xc7\x01\x04\x00"])
def test_damaged_bytes_are_a_result_error(data: bytes) -> None:
    with pytest.raises(ResultError):
        decode_result(data)
