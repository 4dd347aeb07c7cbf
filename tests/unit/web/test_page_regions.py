"""Regions on the page: checked and kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glimt.model.errors import UsageError
from glimt.web.page_region import PageRegion, region_from
from glimt.web.page_store import FILE_NAME, MAX_LAYOUT_DEPTH, PageStore

BOX = {"name": "box", "kind": "rectangle", "image": "/image", "bounds": [1, 3, 2, 5]}


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


def test_a_layout_that_is_nested_without_end_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    store = PageStore(tmp_path / FILE_NAME)
    layout: dict[str, Any] = {}
    for _ in range(MAX_LAYOUT_DEPTH):
        layout = {"a": [], "b": layout}
    with pytest.raises(UsageError, match=f"at most {MAX_LAYOUT_DEPTH} lists and objects inside each other"):
        store.save_layout(layout, "deep")
    store.save_layout(layout["b"], "good")
    assert PageStore(tmp_path / FILE_NAME).layout_names() == ["good"]
