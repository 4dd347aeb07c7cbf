"""Scalars of streams beside what is published, in the reducer's process and as bytes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from glimt.codecs.albaem import AlbaemData
from glimt.codecs.contrast import ContrastRunning
from glimt.codecs.record import Record
from glimt.model.event import EventData
from glimt.pipeline.kept_scalars import KeptScalars
from glimt.pipeline.stream_scalars import small_frames
from glimt.web.page_feed_wire import reading_from_bytes, reading_to_parts
from glimt.web.page_hub import PageHub, PageSource
from glimt.web.page_region import region_from
from glimt.web.page_streams import StreamFeed


class Published:
    def __init__(self, n_events: int = 10, **publish: Any) -> None:
        self.publish: dict[str, Any] = publish
        self.newest_event = n_events
        self.scalars = KeptScalars()
        for number in range(1, n_events + 1):
            keep(self.scalars, number, current=float(number))

    def tree(self) -> tuple[dict[str, Any], Any]:
        return self.publish, contextlib.nullcontext()


def keep(kept: KeptScalars, number: int, stream: str = "i0", **channels: float) -> None:
    data = AlbaemData(message_id=2, version=1, frame_number=0, timestamp=0.5, acquisition_timestamp=1, **channels)
    kept.keep(number, packed(stream, data))


def packed(stream: str, record: Record) -> bytes:
    found = small_frames(EventData(1, {stream: record.to_stream_data()}))
    assert found is not None
    return found


def test_scalars_are_numbers_of_the_page_behind_what_is_published() -> None:
    reading = StreamFeed(Published(n=3)).read({})
    assert reading.numbers == {"/n": 3.0, "/streams/i0/current": 10.0, "/stream_means/i0/current": 5.5}
    assert [(node.path, node.kind, node.plot) for node in reading.nodes] == [
        ("/", "group", "none"), ("/n", "dataset", "number"),
        ("/streams", "group", "none"), ("/streams/i0", "group", "none"),
        ("/stream_means", "group", "none"), ("/stream_means/i0", "group", "none"),
        ("/streams/i0/current", "dataset", "number"), ("/stream_means/i0/current", "dataset", "number"),
    ]  # fmt: skip


def test_nested_names_are_groups_in_groups() -> None:
    published = Published(0)
    point = ContrastRunning(dt=1.0, panda={"counter": 4.0})
    published.scalars.keep(1, packed("scan", point))
    nodes = {node.path: node.kind for node in StreamFeed(published).read({}).nodes}
    assert nodes["/streams/scan/panda"] == "group"
    assert nodes["/streams/scan/panda/counter"] == "dataset"


def test_an_image_comes_with_the_scalars_of_the_event_that_it_says() -> None:
    published = Published(image=np.zeros((2, 2)), image_attrs={"event_number": 4})
    reading = StreamFeed(published).read({"/image": None})
    assert reading.scalars == {4: {"/streams/i0/current": 4.0}, 10: {"/streams/i0/current": 10.0}}
    published = Published(image=np.zeros((2, 2)), _attrs={"event_number": 6})
    assert StreamFeed(published).read({"/image": None}).scalars[6] == {"/streams/i0/current": 6.0}


def test_an_event_without_a_scalar_has_nan_and_not_that_of_another_event() -> None:
    published = Published(image=np.zeros((2, 2)), image_attrs={"event_number": 99})
    assert math.isnan(StreamFeed(published).read({"/image": None}).scalars[99]["/streams/i0/current"])


def test_an_event_number_that_is_none_is_ignored() -> None:
    published = Published(image=np.zeros((2, 2)), image_attrs={"event_number": "four"}, _attrs={"event_number": True})
    assert set(StreamFeed(published).read({"/image": None}).scalars) == {10}


def test_a_scalar_can_be_wanted_as_a_value() -> None:
    published = Published()
    feed = StreamFeed(published)
    reading = feed.read({"/streams/i0/current": None})
    assert reading.values["/streams/i0/current"] == 10.0
    assert feed.read({"/streams/i0/current": reading.prints["/streams/i0/current"]}).values == {}
    keep(published.scalars, 11, current=20.0)
    assert feed.read({"/streams/i0/current": reading.prints["/streams/i0/current"]}).values


def test_what_the_reducer_publishes_comes_first() -> None:
    reading = StreamFeed(Published(streams={"i0": {"current": -1.0}})).read({})
    assert reading.numbers["/streams/i0/current"] == -1.0
    assert [node.path for node in reading.nodes].count("/streams/i0/current") == 1
    reading = StreamFeed(Published(streams=5)).read({})
    assert reading.numbers == {"/streams": 5.0, "/stream_means/i0/current": 5.5}


def test_while_no_stream_has_scalars_nothing_is_added() -> None:
    reading = StreamFeed(Published(0, n=3)).read({})
    assert (reading.numbers, reading.scalars, len(reading.nodes)) == ({"/n": 3.0}, {}, 2)


class Busy(Published):
    """Reduces another event while it is looked at for the first time."""

    n_looks = 0

    def tree(self) -> tuple[dict[str, Any], Any]:
        self.n_looks += 1
        if self.n_looks == 2:  # the first look finds out whether anything is new
            self.newest_event += 1
            self.publish["image"] = np.full((2, 2), self.newest_event)
            keep(self.scalars, self.newest_event, current=float(self.newest_event))
        return super().tree()


def test_an_image_that_is_replaced_while_it_is_read_has_the_scalars_of_its_own_event() -> None:
    reading = StreamFeed(Busy(image=np.full((2, 2), 10))).read({"/image": None})
    assert reading.event_number is not None
    assert reading.values["/image"][0, 0] == reading.event_number == 11
    assert reading.scalars[11] == {"/streams/i0/current": 11.0}


def test_a_reading_with_scalars_comes_through_as_bytes() -> None:
    reading = StreamFeed(Published(image=np.zeros((2, 2)), image_attrs={"event_number": 99})).read({"/image": None})
    back = reading_from_bytes(b"".join(reading_to_parts(reading)))
    assert back.scalars[10] == reading.scalars[10]
    assert math.isnan(back.scalars[99]["/streams/i0/current"])
    assert back.numbers == reading.numbers


def test_a_stream_that_is_not_in_every_event_comes_with_its_own_event() -> None:
    published = Published()
    keep(published.scalars, 7, stream="motor", x=5.0)
    reading = StreamFeed(published).read({"/streams/motor/x": None, "/streams/i0/current": None})
    assert reading.events == {"/streams/motor/x": 7, "/streams/i0/current": 10}
    assert reading.scalars[7] == {"/streams/motor/x": 5.0, "/streams/i0/current": 7.0}
    assert math.isnan(reading.scalars[10]["/streams/motor/x"])
    assert reading_from_bytes(b"".join(reading_to_parts(reading))).events == reading.events


def test_the_page_follows_such_a_stream_from_value_to_value() -> None:
    published = Published(0)
    hub = PageHub(PageSource("test", "run", StreamFeed(published), lambda: {}))
    hub.store.put(
        region_from({"name": "r", "kind": "value", "image": "/streams/motor/x", "denominator": "/streams/i0/current"})
    )
    for number in range(1, 31):
        keep(published.scalars, number, current=float(number))
        if number % 5 == 1:
            keep(published.scalars, number, stream="motor", x=2.0 * number)
        published.newest_event = number
        if number % 3 == 0:  # the page reads less often than events come
            hub._turn()
    (curve,) = hub.curves.curves.values()
    events = [1.0, 6.0, 11.0, 16.0, 21.0, 26.0]
    assert curve.series.points[:, [1, 2]].tolist() == [[event, 2.0] for event in events]


def test_each_of_very_many_images_has_the_scalars_of_its_event() -> None:
    publish: dict[str, Any] = {}
    for number in range(1, 101):
        publish |= {f"i{number}": np.zeros((2, 2)), f"i{number}_attrs": {"event_number": number}}
    reading = StreamFeed(Published(100, **publish)).read({f"/i{number}": None for number in range(1, 101)})
    assert all(reading.scalars[number] == {"/streams/i0/current": float(number)} for number in range(1, 101))


class Racing(dict[str, Any]):
    """What a reducer without a lock publishes, which reduces an event whenever it is looked at."""

    reducer: Published

    def items(self) -> Any:
        number = self.reducer.newest_event + 1
        keep(self.reducer.scalars, number, current=float(number))
        self["image"] = np.full((2, 2), number)
        self.reducer.newest_event = number
        return super().items()


def test_where_it_is_never_known_of_which_event_an_image_is_it_has_no_scalars() -> None:
    published = Published(image=np.full((2, 2), 10))
    published.publish = racing = Racing(published.publish)
    racing.reducer = published
    reading = StreamFeed(published).read({"/image": None})
    assert reading.event_number is not None
    assert math.isnan(reading.scalars[reading.event_number]["/streams/i0/current"])
    racing["image_attrs"] = {"event_number": 4}
    assert StreamFeed(published).read({"/image": None}).scalars[4] == {"/streams/i0/current": 4.0}


class Late(Published):
    """Has published the image of an event that counts as reduced only after the lock was given back."""

    n_looks = 0

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        self.n_looks += 1
        if self.n_looks == 2:  # the first look finds out whether anything is new
            self.publish["image"] = np.full((2, 2), 11)
            keep(self.scalars, 11, current=11.0)
        yield
        if self.n_looks == 2:
            self.newest_event = 11

    def tree(self) -> tuple[dict[str, Any], Any]:
        return self.publish, self.lock()


def test_an_image_whose_event_is_not_quite_over_has_the_scalars_of_its_own_event() -> None:
    reading = StreamFeed(Late(image=np.full((2, 2), 10))).read({"/image": None})
    assert reading.values["/image"][0, 0] == reading.event_number == 11
    assert reading.scalars[11] == {"/streams/i0/current": 11.0}
