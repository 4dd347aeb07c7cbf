"""Regions on the page: kept, measured at full resolution, divided, split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from glimt.model.errors import UsageError
from glimt.web.page_feed import PageNode
from glimt.web.page_plot import Held
from glimt.web.page_region import PageRegion, region_from
from glimt.web.page_region_curves import Now, RegionCurves
from glimt.web.page_store import FILE_NAME, PageStore

BOX = {"name": "box", "kind": "rectangle", "image": "/image", "bounds": [1, 3, 2, 5]}


class Page:
    """What a hub would hold."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}
        self.numbers: dict[str, float] = {}
        self.version = 0
        self.excluded: npt.NDArray[np.bool_] | None = None
        self.curves = RegionCurves()

    def show(self, event: int, **content: Any) -> None:
        self.version += 1
        for name, value in content.items():
            array = np.asarray(value)
            if array.shape == ():
                self.numbers[f"/{name}"] = float(array)
            node = PageNode(f"/{name}", "dataset", {}, shape=array.shape, dtype=str(array.dtype))
            self.held[f"/{name}"] = Held(array, node, self.version, float(self.version), event)

    def measure(self) -> bool:
        now = Now(self.held, self.numbers, lambda _: self.excluded, float(self.version), None)
        return self.curves.measure(now, histograms=True)

    def follow(self, **region: Any) -> str:
        made = region_from({**BOX, "id": "r1", **region})
        self.curves.use([made])
        return made.id

    @property
    def point(self) -> dict[str, Any]:
        return self.curves.curves["r1"].point

    @property
    def values(self) -> list[float]:
        return [float(value) for value in self.curves.curves["r1"].series.points[:, 2]]


def test_each_version_of_an_image_is_a_point_divided_by_the_number_of_the_same_reading() -> None:
    page = Page()
    page.follow(denominator="/i0")
    image = np.arange(100, dtype=np.uint16).reshape(10, 10)
    page.show(4, image=image, i0=2.0)
    assert page.measure()
    assert not page.measure()
    page.show(5, image=image * 2, i0=4.0)
    page.measure()
    total = image[1:3, 2:5].sum()
    assert page.values == [total / 2.0, total * 2 / 4.0]
    assert page.point["sum"] == total * 2
    assert page.point["n_pixels"] == 6
    assert page.point["event_number"] == 5
    assert sum(page.point["histogram"]["counts"]) == 6
    assert page.curves.curves["r1"].series.points[:, 1].tolist() == [4, 5]


def test_a_denominator_that_is_zero_or_missing_gives_no_value_and_says_so() -> None:
    page = Page()
    page.follow(denominator="/i0")
    page.show(1, image=np.ones((10, 10)), i0=0.0)
    page.measure()
    assert page.point["value"] is None
    page.follow(denominator="/nothing")
    page.measure()
    assert page.point["value"] is None
    assert "no number /nothing" in page.point["problem"]


def test_masked_pixels_are_left_out() -> None:
    page = Page()
    page.follow(quantity="mean")
    image = np.ones((10, 10), np.uint16)
    image[1, 2] = 65535
    page.excluded = image == 65535
    page.show(1, image=image)
    page.measure()
    assert (page.point["value"], page.point["n_pixels"]) == (1.0, 5)


def test_a_region_that_moves_begins_a_new_curve_and_one_that_is_renamed_does_not() -> None:
    page = Page()
    page.follow()
    page.show(1, image=np.ones((10, 10)))
    page.measure()
    page.follow(name="other", color="#000000")
    assert len(page.values) == 1
    page.follow(bounds=[0, 1, 0, 1])
    assert page.values == []
    page.measure()
    assert page.values == [1.0]


@pytest.mark.parametrize("image", [np.zeros(5), np.array(3.0), np.zeros((0, 0)), np.array([["a"]], object)])
def test_a_region_on_what_is_no_image_says_so(image: npt.NDArray[Any]) -> None:
    page = Page()
    page.follow()
    page.show(1, image=image)
    page.measure()
    assert page.point["problem"]


def test_a_value_is_followed_from_point_to_point_and_split_by_another() -> None:
    page = Page()
    split = {"on": "/laser", "above": 0.5}
    page.follow(kind="value", bounds=None, image="/signal", split=split)
    for i in range(6):
        page.show(i, signal=float(i), laser=float(i % 2))
        page.measure()
    assert page.values == [0, 1, 2, 3, 4, 5]
    assert page.point["split"]["on"]["mean"] == 3.0
    assert page.point["split"]["off"]["mean"] == 2.0


def test_a_curve_of_one_value_an_event_is_divided_and_binned_event_by_event() -> None:
    page = Page()
    split = {"on": "/laser", "delay": "/delay", "low": 0, "high": 2, "n_bins": 2}
    page.follow(
        kind="value", bounds=None, image="/signal", denominator="/i0", events="/number", split=split
    )  # fmt: skip
    page.show(
        9,
        signal=[2.0, 4.0, 9.0, 8.0], i0=[1.0, 2.0, 3.0, 0.0], laser=[1, 1, 1, 1], delay=[0.5, 0.5, 1.5, 1.5],
        number=[11, 12, 13, 14],
    )  # fmt: skip
    page.measure()
    np.testing.assert_array_equal(page.values, [2.0, 2.0, 3.0, np.nan])
    assert page.curves.curves["r1"].series.points[:, 1].tolist() == [11, 12, 13, 14]
    assert page.point["split"]["bins"]["on"]["mean"] == [2.0, 3.0]
    page.show(10, i0=[1.0])
    page.measure()
    assert "/i0 has to be 4 numbers" in page.point["problem"]


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""}, {"name": "x" * 61}, {"kind": "blob"}, {"bounds": [1, 2, 3]}, {"bounds": None}, {"color": "red"},
        {"color": "#12345g"}, {"image": ""}, {"id": "../etc"}, {"denominator": ""}, {"bounds": [1, 2, 3, 10**9]},
        {"kind": "value"}, {"split": {"low": 1.0, "high": 1.0}}, {"split": {"n_bins": 0}}, {"split": {"what": 1}},
        {"kind": "polygon", "bounds": None, "vertices": [[0, 0]] * 1001},
    ],
)  # fmt: skip
def test_what_is_no_region_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="not a region"):
        region_from(BOX | change)


# Kept ---------------------------------------------------------------------------------------------------------------


def test_regions_and_layouts_are_there_again_after_a_restart(tmp_path: Path) -> None:
    store = PageStore(tmp_path / FILE_NAME)
    assert not store.has_regions
    made = store.put(region_from(BOX), who="Ada")
    store.save_layout({"panels": [1]})
    store.save_layout({"panels": [2]}, "night shift")
    again = PageStore(tmp_path / FILE_NAME)
    assert again.regions == [made]
    assert again.regions[0].changed_by == "Ada"
    assert (again.layout(), again.layout("night shift")) == ({"panels": [1]}, {"panels": [2]})
    again.remove(made.id)
    assert PageStore(tmp_path / FILE_NAME).has_regions


def test_names_are_unique_and_numbers_bounded() -> None:
    store = PageStore()
    store.put(region_from(BOX))
    with pytest.raises(UsageError, match="two regions have the name 'box'"):
        store.put(region_from(BOX))
    with pytest.raises(UsageError, match="at most 200"):
        store.replace([region_from(BOX | {"name": str(i)}) for i in range(201)])
    for i in range(100):
        store.save_layout({}, f"{i}")
    for name in ("../x", "", "x" * 61, "one more"):
        with pytest.raises(UsageError):
            store.save_layout({}, name)
    with pytest.raises(KeyError):
        store.remove("nothing")
    with pytest.raises(KeyError):
        store.save_layout(None, "nothing")


def test_only_the_region_that_changed_has_a_new_version() -> None:
    store = PageStore()
    one, two = (store.put(region_from(BOX | {"name": name})) for name in ("one", "two"))
    store.put(region_from(BOX | {"name": "uno", "id": one.id}))
    assert [region.name for region in store.regions] == ["uno", "two"]
    assert store.region(two.id).version == two.version
    assert store.region(one.id).version > two.version


@pytest.mark.parametrize("content", ["{", "[]", '{"regions": [{"name": "a"}]}', "\udcff"])
def test_a_damaged_file_is_kept_aside_and_said(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / FILE_NAME
    file.write_text(content, errors="surrogateescape")
    store = PageStore(file)
    assert store.regions == []
    assert "is not read" in caplog.text
    store.put(region_from(BOX))
    assert (tmp_path / f"{FILE_NAME}.damaged").exists()
    assert len(PageStore(file).regions) == 1


def test_a_folder_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = PageStore(tmp_path / "nowhere" / FILE_NAME)
    store.put(region_from(BOX))
    store.put(region_from(BOX | {"name": "other"}))
    assert len(store.regions) == 2
    assert caplog.text.count("cannot be kept") == 1


def test_a_region_tells_all_that_the_page_needs() -> None:
    told = region_from(BOX).told()
    assert told["split"] is None
    assert told["quantity"] == "sum"
    assert told["denominator"] is None
    assert "vertices" not in told
    assert isinstance(region_from(told), PageRegion)
