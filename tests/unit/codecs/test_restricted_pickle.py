"""Plain data and arrays come out of pickles as they went in; nothing else does. Attacks are in test_hostile_wire."""

from __future__ import annotations

import datetime
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glimt.codecs.restricted_pickle import MAX_PICKLE_BYTES, dumps, load_from, loads
from glimt.model.errors import DecodeError
from raw_recordings import recorded_messages

PLAIN: list[Any] = [
    None,
    True,
    -1,
    255,
    65536,
    -(2**31),
    2**70,
    1.5,
    float("nan"),
    1 - 2j,
    "Grüße",
    "x" * 300,
    b"",
    b"\x00\xff",
    bytearray(b"ab"),
    [],
    [1, [2, []]],
    (),
    (1,),
    (1, 2, 3, 4),
    {"a": {"b": [1.0]}, 3: None},
    {1},
    frozenset({"x"}),
    OrderedDict(b=1, a=[2]),
    datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC),
    datetime.datetime(2026, 1, 2),
    datetime.date(2026, 1, 2),
    datetime.timedelta(days=-1, microseconds=5),
    datetime.timezone(datetime.timedelta(hours=2), "CEST"),
    np.float32(1.5),
    np.int64(-3),
    np.bool_(True),
    np.str_("abc"),
]

ARRAYS: list[np.ndarray[Any, Any]] = [
    np.arange(6, dtype="u2").reshape(2, 3),
    np.arange(6.0).reshape(2, 3).T,
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(10)[::3],
    np.arange(3, dtype=">i4"),
    np.array(2.5),
    np.zeros((0, 4), dtype="f4"),
    np.array([True, False]),
    np.array([1 + 2j]),
    np.array(["ab", "c"]),
    np.array([b"ab", b"c"]),
]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_data_come_back_with_their_types(value: Any, protocol: int) -> None:
    read = loads(pickle.dumps(value, protocol), where="test")
    assert type(read) is type(value)
    assert repr(read) == repr(value)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("array", ARRAYS, ids=repr)
def test_arrays_come_back_with_dtype_and_order(array: np.ndarray[Any, Any], protocol: int) -> None:
    read = loads(pickle.dumps([array, {"again": array}], protocol), where="test")
    assert type(read[0]) is np.ndarray
    assert (read[0].dtype, read[0].shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(read[0], array)
    assert read[1]["again"] is read[0]
    read[0][...] = read[0][...]  # writable, as pickle makes them


def test_arrays_pickled_by_numpy_1_are_read(shared_data: Path) -> None:
    messages = recorded_messages(shared_data / "dranspose" / "xspress3-dump.cbors")
    counters = loads(messages[3][0], where="test")
    assert b"numpy.core.multiarray" in messages[3][0]
    np.testing.assert_array_equal(counters[1], np.array([2, 0, 0, 3], dtype=np.uint32))


def test_every_recorded_pickle_reads_as_python_reads_it(shared_data: Path) -> None:
    messages = recorded_messages(shared_data / "dranspose" / "contrast-dump.cbors")
    assert len(messages) == 26
    with pytest.MonkeyPatch.context() as patch:
        # NumPy 2 warns of the old name of its module, which these pickles contain.
        import numpy._core.multiarray as multiarray

        patch.setitem(__import__("sys").modules, "numpy.core.multiarray", multiarray)
        expected = [pickle.loads(message[0]) for message in messages]
    assert [repr(loads(message[0], where="test")) for message in messages] == [repr(value) for value in expected]


def test_what_we_write_python_reads_and_we_read() -> None:
    value = {"status": "running", "x": [1, 2.5, None]}
    assert pickle.loads(dumps(value)) == value
    assert loads(dumps(value), where="test") == value


def test_pickles_one_after_the_other_are_read_by_offset() -> None:
    data = b"".join(pickle.dumps(value) for value in ({"a": 1}, [2], "three"))
    values, offset = [], 0
    while offset < len(data):
        value, offset = load_from(data, offset, where="test")
        values.append(value)
    assert values == [{"a": 1}, [2], "three"]
    with pytest.raises(DecodeError, match="bytes behind the end of the pickle"):
        loads(data, where="test")


class _Stream:
    """What an old capture holds: made by ``object.__new__`` and filled with a state."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def test_extra_names_are_made_by_the_callers_function() -> None:
    pickled = b"\x80\x02cold.module\nStream\n)\x81}(X\x03\x00\x00\x00typX\x05\x00\x00\x00STINSub."
    read = loads(pickled, where="test", extra_globals={("old.module", "Stream"): _Stream})
    assert isinstance(read, _Stream)
    assert (read.arguments, read.state) == ((), {"typ": "STINS"})
    with pytest.raises(DecodeError, match=r"names old\.module\.Stream"):
        loads(pickled, where="test")


def test_extra_names_stay_within_the_pickle_that_was_given_them() -> None:
    pickled = b"\x80\x02cold.module\nStream\n(cos\nsystem\nt\x81."
    with pytest.raises(DecodeError, match=r"names os\.system"):
        loads(pickled, where="test", extra_globals={("old.module", "Stream"): _Stream})


def test_the_state_of_an_extra_object_is_plain_data() -> None:
    pickled = b"\x80\x02cold.module\nStream\n)\x81}(X\x01\x00\x00\x00xcnumpy\nndarray\nub."
    with pytest.raises(DecodeError, match="which is not plain data"):
        loads(pickled, where="test", extra_globals={("old.module", "Stream"): _Stream})


def test_errors_name_what_and_the_byte() -> None:
    with pytest.raises(DecodeError) as caught:
        loads(b"\x80\x04\x8c\x02os\x8c\x06system\x93.", where="contrast, part 0")
    assert str(caught.value) == (
        "contrast, part 0: bad pickle at byte 15: names os.system; only arrays, plain containers and dates are accepted"
    )


def test_a_pickle_longer_than_allowed_is_not_looked_at() -> None:
    with pytest.raises(DecodeError, match="at most 10 are accepted"):
        loads(pickle.dumps("x" * 100), where="test", max_bytes=10)
    assert MAX_PICKLE_BYTES == 64 << 20


def test_any_buffer_is_read() -> None:
    for data in (memoryview(pickle.dumps([1])), bytearray(pickle.dumps([1]))):
        assert loads(data, where="test") == [1]
