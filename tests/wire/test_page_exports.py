"""Files of what the page shows: every row is of one reading, and what has no place in them is told."""

from __future__ import annotations

import contextlib
import csv
import io
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator

import h5py
import numpy as np
import pytest

from glimt.web.page_feed import Feed, LocalFeed
from glimt.web.page_remote_feed import RemoteFeed
from page_rig import BOX, Published, Served, serving

N_EXPORTS = 25
LENGTHS = [3, 400, 17, 2000, 1]
CURVE = {"id": "p1", "path": "/events/beam", "kind": "curve"}

_REDUCER = """
    import sys, threading, time
    import numpy as np
    from glimt.web.live_view import create_app
    from glimt.web.server import ViewServer

    class Published:
        publish, lock, newest_event = {}, threading.RLock(), 0
        def tree(self):
            return self.publish, self.lock

    published = Published()
    with ViewServer(create_app(published), port=0) as server:
        print(server.url, flush=True)
        for published.newest_event in range(1, 100000):
            numbers = np.arange(published.newest_event * 3, published.newest_event * 5 + 2)
            with published.lock:
                published.publish["events"] = {
                    "event_number": numbers, "beam": numbers * 2.0 + 1, "beam_attrs": {"x": "event_number"},
                }
            time.sleep(0.002)
"""


def renew(published: Published, step: int) -> None:
    numbers = np.arange(step, step + LENGTHS[step % len(LENGTHS)])
    events = {"event_number": numbers, "beam": numbers * 2.0 + 1, "beam_attrs": {"x": "event_number", "units": "nA"}}
    published.show(events=events)


@contextlib.contextmanager
def changing(published: Published) -> Iterator[None]:
    """Publish other events again and again, in a thread of its own."""
    stop = threading.Event()

    def go_on() -> None:
        step = 0
        while not stop.wait(0.001):
            step += 1
            renew(published, step)

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextlib.contextmanager
def here() -> Iterator[Served]:
    with serving() as served, changing(served.published):
        yield served


@contextlib.contextmanager
def elsewhere() -> Iterator[Served]:
    """A page whose reducer is another process, as in a live run."""
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(_REDUCER)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()

        def feed(_: Published) -> Feed:
            return RemoteFeed(lambda: url)

        with serving(feed) as served:
            yield served
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def page() -> Iterator[Served]:
    with serving(LocalFeed) as served:
        yield served


def table_of(answer_text: str) -> tuple[list[str], list[list[float]]]:
    head, *rows = csv.reader(io.StringIO(answer_text))
    return head, [[float(cell) for cell in row] for row in rows]


@pytest.mark.parametrize("where", [here, elsewhere])
@pytest.mark.parametrize("is_looked_at", [False, True])
def test_every_row_of_every_file_is_of_one_event(
    where: Callable[[], contextlib.AbstractContextManager[Served]], *, is_looked_at: bool
) -> None:
    seen = set()
    with where() as served, contextlib.ExitStack() as viewers:
        if is_looked_at:
            viewer = viewers.enter_context(served.look(plots=[CURVE]))
            viewer.until(lambda header, _: bool(header.get("plots")))
        for _ in range(N_EXPORTS):
            head, rows = table_of(served.rest.get("export/events/beam.csv").raise_for_status().text)
            assert head == ["event_number", "beam"]
            assert rows
            assert all(beam == 2 * number + 1 for number, beam in rows)
            seen.add((len(rows), rows[0][0]))
            content = served.rest.get("export/events/beam.h5").raise_for_status().content
            with h5py.File(io.BytesIO(content)) as file:
                np.testing.assert_array_equal(file["/events/beam"][()], file["/events/event_number"][()] * 2.0 + 1)
    assert len(seen) > N_EXPORTS / 2, "it did not change between the files"


def test_between_two_scans_the_file_has_the_x_values_of_what_is_on_the_screen(page: Served) -> None:
    renew(page.published, 6)
    with page.look(plots=[CURVE]) as viewer:
        viewer.until(lambda header, _: any(plot.get("x") for plot in header.get("plots", [])))
        with page.published.lock:
            del page.published.publish["events"]
        viewer.until(lambda *_: "/events/beam" not in {node["path"] for node in viewer.state["tree"]})
        for _ in range(3):
            answer = page.rest.get("export/events/beam.csv")
            assert answer.status_code == 200, answer.text
            head, rows = table_of(answer.text)
            assert head == ["event_number", "beam"]
            assert (len(rows), rows[0]) == (400, [6, 13])
        renew(page.published, 7)
        viewer.until(lambda *_: "/events/beam" in {node["path"] for node in viewer.state["tree"]})
        assert table_of(page.rest.get("export/events/beam.csv").text)[1][0] == [7, 15]


def test_x_values_of_another_length_are_refused_and_the_array_alone_is_not(page: Served) -> None:
    page.published.show(q=np.arange(4.0), curve=np.arange(3), curve_attrs={"x": "q"})
    for kind in ("csv", "h5"):
        answer = page.rest.get(f"export/curve.{kind}")
        assert answer.status_code == 400
        assert all(word in answer.json()["detail"] for word in ("/curve", "[3]", "/q", "[4]", "npy"))
    assert np.load(io.BytesIO(page.rest.get("export/curve.npy").content)).tolist() == [0, 1, 2]


def test_x_that_is_no_array_is_none(page: Served) -> None:
    page.published.show(group={"q": 3}, curve=np.arange(2), curve_attrs={"x": "group"})
    assert page.rest.get("export/curve.csv").text == "index,curve\r\n0,0\r\n1,1\r\n"


def test_curves_of_all_regions_are_one_table_and_those_of_one_region_another(page: Served) -> None:
    boxes = [
        BOX | {"name": name, "denominator": None, "bounds": [0, rows, 0, 2]} for name, rows in (("a/b", 1), ("c", 2))
    ]
    ids = [page.rest.post("regions", json=box).json()["region"]["id"] for box in boxes]
    with page.look() as viewer:
        for number in (5, 8):
            page.published.show(image=np.full((4, 4), number), image_attrs={"event_number": number})
            viewer.until(
                lambda *_: all(
                    [point[1] for point in viewer.series.get(f"region:{each}", [])][-1:] == [number]  # noqa: B023
                    for each in ids
                )
            )
    answer = page.rest.get("regions.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="regions.csv"'
    head, rows = table_of(answer.text)
    assert head == ["time_s", "event_number", "a/b", "c"]
    assert [row[1:] for row in rows] == [[5, 10, 20], [8, 16, 32]]
    with h5py.File(io.BytesIO(page.rest.get("regions.h5").content)) as file:
        assert {name: file[name][()].tolist() for name in ("event_number", "a_b", "c")} == {
            "event_number": [5, 8], "a_b": [10, 16], "c": [20, 32],
        }  # fmt: skip
        assert file["a_b"].attrs["name"] == "a/b"
    assert table_of(page.rest.get(f"regions.csv?ids={ids[1]}").text)[0][2:] == ["c"]
    with h5py.File(io.BytesIO(page.rest.get(f"regions/{ids[0]}.h5").content)) as file:
        assert file["value"][()].tolist() == [10, 16]
        assert file["n_pixels"][()].tolist() == [2, 2]
    for route, status in (("regions.xlsx", 400), ("regions.csv?ids=none", 404), (f"regions/{ids[0]}.exe", 400)):
        assert page.rest.get(route).status_code == status


def test_a_region_has_files_from_the_moment_it_is_made() -> None:
    with serving() as served:
        for number in range(30):
            made = served.rest.post("regions", json=BOX | {"name": f"box {number}"}).json()["region"]["id"]
            answer = served.rest.get(f"regions/{made}.csv")
            assert answer.status_code == 200, answer.text
            assert answer.text.startswith("time_s,event_number,value")
            columns = served.rest.get("regions.csv").text.splitlines()[0].split(",")
            assert columns[-1] == f"box {number}"
