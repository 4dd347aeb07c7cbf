"""What the page reads of a reducer, in its process and as bytes."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glimt.model.errors import DecodeError
from glimt.web.page_feed import LocalFeed, fingerprint
from glimt.web.page_feed_wire import reading_from_bytes, reading_to_parts, request_from_bytes


class Published:
    def __init__(self, **publish: Any) -> None:
        self.publish: dict[str, Any] = publish
        self.newest_event = 7

    def tree(self) -> tuple[dict[str, Any], Any]:
        return self.publish, contextlib.nullcontext()


def test_numbers_come_always_and_arrays_when_they_are_wanted() -> None:
    image = np.arange(12, dtype=np.uint16).reshape(3, 4)
    reading = LocalFeed(Published(n=3, flag=True, z=3 + 4j, image=image, group={"x": 1.5})).read({"/image": None})
    assert reading.numbers == {"/n": 3.0, "/flag": 1.0, "/z": 5.0, "/group/x": 1.5}
    assert reading.event_number == 7
    np.testing.assert_array_equal(reading.values["/image"], image)
    assert {node.path: node.plot for node in reading.nodes} == {
        "/": "none", "/n": "number", "/flag": "number", "/z": "number", "/image": "image", "/group": "none",
        "/group/x": "number",
    }  # fmt: skip


def test_an_array_that_is_known_does_not_come_again_until_one_element_differs() -> None:
    image = np.zeros((300, 400), np.uint16)
    feed = LocalFeed(Published(image=image))
    known = feed.read({"/image": None}).prints
    assert feed.read({"/image": known["/image"]}).values == {}
    image[299, 399] = 1  # in place: the object is the same
    assert [*feed.read({"/image": known["/image"]}).values] == ["/image"]


def test_what_is_read_does_not_change_when_the_reducer_goes_on() -> None:
    image = np.zeros((3, 3))
    found = LocalFeed(Published(image=image)).read({"/image": None}).values["/image"]
    image[:] = 5
    assert found.max() == 0


def test_of_three_axes_the_last_plane_comes() -> None:
    cube = np.arange(24).reshape(2, 3, 4)
    reading = LocalFeed(Published(cube=cube)).read({"/cube": None})
    np.testing.assert_array_equal(reading.values["/cube"], cube[-1])
    assert next(node for node in reading.nodes if node.path == "/cube").shape == (2, 3, 4)


def test_waiting_ends_when_something_is_replaced() -> None:
    published = Published(n=1)
    feed = LocalFeed(published)
    first = feed.read({})
    published.publish["n"] = 2
    again = feed.read({}, sign=first.sign, wait_s=5.0)
    assert again.sign != first.sign
    assert again.numbers == {"/n": 2.0}


def test_attributes_say_how_it_is_drawn_also_in_a_dict() -> None:
    attributes = {"units": "counts", "plot": "table", "geometry": {"dist": 0.1, "rot": np.float64(2)}}
    reading = LocalFeed(Published(curve=np.arange(5.0), curve_attrs=attributes)).read({})
    node = reading.nodes[1]
    assert node.plot == "table"
    assert node.attributes == {"units": "counts", "plot": "table", "geometry": {"dist": 0.1, "rot": 2.0}}
    assert reading.problems == []


def test_what_cannot_be_shown_is_a_problem_and_the_rest_is_there() -> None:
    reading = LocalFeed(Published(bad=object(), good=1)).read({"/bad": None})
    assert reading.numbers == {"/good": 1.0}
    assert [path for path, _ in reading.problems] == ["/bad"]


ARRAYS = {
    "/u16": np.arange(12, dtype=np.uint16).reshape(3, 4),
    "/empty": np.zeros((0, 3)),
    "/text": np.array(["Å", "b"], object),
    "/scalar": np.array(2.5),
    "/struct": np.array([(1, 2.5, b"a", [1, 2])], [("n", "i4"), ("x", "f8"), ("s", "S3"), ("v", "i2", (2,))]),
}


def test_a_reading_is_the_same_after_the_wire() -> None:
    reading = LocalFeed(Published(**{name[1:]: array for name, array in ARRAYS.items()})).read(dict.fromkeys(ARRAYS))
    found = reading_from_bytes(b"".join(reading_to_parts(reading)))
    assert found.nodes == reading.nodes
    assert found.numbers == reading.numbers
    assert found.prints == reading.prints
    for path, array in reading.values.items():
        assert found.values[path].dtype == array.dtype, path
        np.testing.assert_array_equal(found.values[path], array)


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_message_is_a_decode_error(tail: bytes, place: int, value: int) -> None:
    reading = LocalFeed(Published(u16=ARRAYS["/u16"], s=ARRAYS["/struct"])).read({"/u16": None, "/s": None})
    whole = bytearray(b"".join(reading_to_parts(reading)))
    whole[place % len(whole)] = value
    for data in (tail, bytes(whole), bytes(whole[: place % len(whole)])):
        with contextlib.suppress(DecodeError):
            reading_from_bytes(data)
        with contextlib.suppress(DecodeError):
            request_from_bytes(data)


def test_a_shape_that_does_not_fit_its_bytes_is_refused() -> None:
    reading = LocalFeed(Published(u16=ARRAYS["/u16"])).read({"/u16": None})
    whole = b"".join(reading_to_parts(reading))
    with pytest.raises(DecodeError, match="no reading"):
        reading_from_bytes(whole[:-1])


def test_fingerprints_tell_shapes_and_types_apart() -> None:
    one = np.zeros(4, np.uint16)
    assert len({fingerprint(one), fingerprint(one.reshape(2, 2)), fingerprint(one.view(np.int16))}) == 3


@pytest.mark.parametrize("geometry", [{"dist": 10**30}, '{"dist": ' + "1" * 30 + "}", '{"a":' * 500 + "1" + "}" * 500])
def test_an_attribute_that_does_not_go_over_the_wire_stays_text(geometry: Any) -> None:
    reading = LocalFeed(Published(image=np.zeros((2, 2)), image_attrs={"geometry": geometry})).read({"/image": None})
    back = reading_from_bytes(b"".join(reading_to_parts(reading)))
    assert back.nodes == reading.nodes
    assert isinstance(back.nodes[1].attributes["geometry"], str | dict)
