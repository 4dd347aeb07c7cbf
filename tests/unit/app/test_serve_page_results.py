"""Grid scans and other collections as the page of `glimt serve` shows them, from a real database."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from glimt.app.serve_page_plots import results_tree
from glimt.app.serve_page_records import N_COLLECTIONS, N_GRIDS
from glimt.app.serve_page_results import ResultsLook
from glimt.app.serve_page_tree import ServeTree
from glimt.kernels.centering import find_center_2d
from glimt.kernels.centering_grid import ScanGrid
from glimt.model.errors import ResultsDatabaseError
from glimt.services.ispyb import IspybService
from glimt.services.service import ServiceSetup
from glimt.stores.collections_db_registration import RegisteredCollection, RegisteredGrid, register_collection
from glimt.stores.results_db import ResultsDatabase, prepare_results
from glimt.stores.results_rows import insert_row
from glimt.stores.results_schema import results_table
from glimt.web.page_feed import LocalFeed
from service_steps import step_for

_NUMBERS = itertools.count(1)
GRID = RegisteredGrid(steps_x=3, steps_y=2, is_snaked=True)


class Site:
    """A results database with the service that writes to it, and the page's look at it."""

    def __init__(self, folder: Path) -> None:
        self.url = f"sqlite:///{folder}/results.sqlite"
        prepare_results(self.url)
        self.service = IspybService(ServiceSetup({}, roots=(folder,), state_folder=folder, results_url=self.url))
        self.database = ResultsDatabase(self.url)
        self.page = ResultsLook(self.url)

    def enter(self, template: str = "thau_1_####.cbf", n_images: int = 6, **keys: Any) -> int:
        with self.database.transaction() as session:
            return register_collection(session, RegisteredCollection("/data", template, n_images, **keys))

    def group_of(self, dcid: int) -> int:
        made = results_table("DataCollection")
        chosen = sa.select(made.c.dataCollectionGroupId).where(made.c.dataCollectionId == dcid)
        with self.database.reading() as session:
            return int(session.execute(chosen).scalar_one())

    def run(self, command: str, payload: Any, **parameters: Any) -> None:
        step = step_for({"ispyb_command": command, **parameters}, payload, 2, message_id=f"m-{next(_NUMBERS)}")
        self.service.handle(step)

    def analyse(self, dcid: int, spots: dict[int, float], **more: Any) -> None:
        for number, n in spots.items():
            message = {"file-number": number, "n_spots_total": n, "estimated_d_min": 2.0 if n else -1.0, **more}
            self.run("store_per_image_analysis_results", message, dcid=dcid)

    def center(self, dcid: int, kind: str, *places: tuple[float, ...]) -> None:
        results = [{"centre_of_mass": list(place), "n_voxels": 4, "total_count": 9.0} for place in places]
        message = {"status": "success", "type": kind, "results": results}
        self.run("insert_xray_centring", message, dcgid=self.group_of(dcid))

    def tree(self) -> dict[str, Any]:
        return results_tree(self.page.read())

    def close(self) -> None:
        self.page.close()
        self.service.close()
        self.database.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.close()


def test_grid_scan_is_a_heat_map_on_its_snaked_grid_with_gaps_where_nothing_is_analysed(site: Site) -> None:
    dcid = site.enter(grid=GRID, experiment_type="Mesh")
    site.analyse(dcid, {1: 10, 2: 20, 4: 40, 6: 0}, total_intensity=7.5)
    group = site.tree()["grid_scan"]

    nan = math.nan
    np.testing.assert_array_equal(group["spots"], [[10, 20, nan], [0, nan, 40]])
    np.testing.assert_array_equal(group["resolution"], [[2, 2, nan], [nan, nan, 2]])
    np.testing.assert_array_equal(group["intensity"], [[7.5, 7.5, nan], [7.5, nan, 7.5]])
    assert "dozor_score" not in group, "no image has one"
    told = group["spots_attrs"]
    assert told["grid"] == {"steps_x": 3, "steps_y": 2, "data_collection": dcid}
    assert told["title"] == f"grid scan {dcid} · spots · thau_1_####.cbf"
    assert [group[f"{name}_attrs"]["plot"] for name in ("spots", "resolution", "intensity")] == [
        "image",
        "image",
        "none",
    ]
    assert group["resolution_attrs"]["colors"] == "viridis inverted"  # the best resolution is the lowest
    assert "colors" not in told


def test_center_of_a_scan_is_where_the_kernel_found_it(site: Site) -> None:
    dcid = site.enter(grid=GRID, experiment_type="Mesh")
    counts = np.array([0, 3, 9, 8, 2, 0.0])
    site.analyse(dcid, dict(enumerate(counts, 1)))
    found = find_center_2d(counts, ScanGrid((3, 2), snaked=True)).center_of_mass
    assert found is not None
    site.center(dcid, "2d", found)
    tree = site.tree()

    assert tree["grid_scan"]["spots_attrs"]["grid"]["center"] == list(found)
    column, row = (int(place) for place in found)
    assert tree["grid_scan"]["spots"][row, column] >= 8
    (listed,) = tree["centering"]
    assert (listed["kind"], listed["status"], listed["boxes in it"]) == (b"2d", b"success", 4)
    assert tree["collections"]["center, boxes"].tolist() == [f"{found[0]:.2f}, {found[1]:.2f}".encode()]


def test_newest_centering_counts_and_its_first_region(site: Site) -> None:
    dcid = site.enter(grid=GRID, experiment_type="Mesh")
    site.center(dcid, "2d", (0.5, 0.5))
    site.center(dcid, "2d", (1.5, 1.0), (2.5, 0.5))
    tree = site.tree()

    assert tree["grid_scan"]["spots_attrs"]["grid"]["center"] == [1.5, 1.0]
    assert len(tree["centering"]) == 3
    assert np.isnan(tree["grid_scan"]["spots"]).all(), "centred before its images were seen here"


def test_pair_of_scans_has_its_center_in_space_on_both(site: Site) -> None:
    first = site.enter(grid=GRID, experiment_type="Mesh3D")
    second = site.enter("thau_2_####.cbf", grid=GRID, group_id=site.group_of(first))
    site.center(first, "3d", (2.5, 1.0, 0.5))
    tree = site.tree()

    assert tree["grid_scan"]["spots_attrs"]["grid"] == {
        "steps_x": 3, "steps_y": 2, "data_collection": second, "center": [2.5, 0.5],
    }  # fmt: skip
    assert tree["grid_scan_2"]["spots_attrs"]["grid"]["center"] == [2.5, 1.0]


def test_center_in_the_plane_of_a_group_of_two_is_put_on_neither(site: Site) -> None:
    first = site.enter(grid=GRID, experiment_type="Mesh")
    site.enter(grid=GRID, group_id=site.group_of(first))
    site.center(first, "2d", (0.5, 0.5))
    tree = site.tree()

    assert "center" not in tree["grid_scan"]["spots_attrs"]["grid"]
    assert "center" not in tree["grid_scan_2"]["spots_attrs"]["grid"]
    assert tree["centering"]["data collections"].tolist() == [f"{first}, {first + 1}".encode()]


def test_other_scans_are_curves_against_the_image(site: Site) -> None:
    dcid = site.enter("rot_1_####.cbf", 100)
    site.analyse(dcid, {1: 5, 2: 6, 4: 8})
    group = site.tree()["rotation"]

    np.testing.assert_array_equal(group["image"], [1, 2, 3, 4])
    np.testing.assert_array_equal(group["spots"], [5, 6, math.nan, 8])
    assert group["spots_attrs"]["x"] == "image"
    assert site.tree()["collections"]["analysed"].tolist() == [3]


@pytest.mark.parametrize(("numbers", "why"), [((101, 102), "file numbers"), ((1, 2), "images in a container")])
def test_scan_that_does_not_begin_at_1_begins_in_the_first_box(site: Site, numbers: tuple[int, int], why: str) -> None:
    dcid = site.enter(grid=GRID, experiment_type="Mesh", first_image=101)
    site.analyse(dcid, dict(zip(numbers, (3, 4), strict=True)))

    assert site.tree()["grid_scan"]["spots"][0].tolist()[:2] == [3, 4], why


def test_rewritten_rows_are_read_anew(site: Site) -> None:
    dcid = site.enter(grid=GRID, experiment_type="Mesh")
    site.analyse(dcid, {1: 10, 2: 20})
    site.tree()
    site.analyse(dcid, {2: 21})

    assert site.tree()["grid_scan"]["spots"][0].tolist()[:2] == [10, 21]


def test_number_of_collections_and_of_heat_maps_is_limited(site: Site) -> None:
    dcids = [site.enter(grid=GRID, experiment_type="Mesh") for _ in range(N_COLLECTIONS + 3)]
    tree = site.tree()

    assert tree["collections"]["data collection"].tolist() == dcids[3:], "newest last"
    assert sum(name.startswith("grid_scan") for name in tree) == N_GRIDS
    assert tree["grid_scan"]["spots_attrs"]["grid"]["data_collection"] == dcids[-1]
    assert tree["grid_scan_2"]["spots_attrs"]["plot"] == "image"


def test_grid_that_makes_no_sense_leaves_curves(site: Site) -> None:
    dcid = site.enter("thau_1_####.cbf")
    with site.database.transaction() as session:
        nonsense = {"dataCollectionId": dcid, "steps_x": 1e9, "steps_y": -2.0, "snaked": 1}
        insert_row(session, "GridInfo", nonsense)
    site.analyse(dcid, {1: 10})
    tree = site.tree()

    assert tree["rotation"]["spots"].tolist() == [10]
    assert tree["grid_scan"] is None


def test_grid_of_a_group_is_that_of_its_collection(site: Site) -> None:
    dcid = site.enter("thau_1_####.cbf")
    with site.database.transaction() as session:
        of_group = {"dataCollectionGroupId": site.group_of(dcid), "steps_x": 2.0, "steps_y": 3.0, "snaked": 0}
        insert_row(session, "GridInfo", {**of_group, "orientation": "vertical"})
    site.analyse(dcid, {1: 1, 2: 2, 3: 3, 4: 4})

    np.testing.assert_array_equal(site.tree()["grid_scan"]["spots"], [[1, 4], [2, math.nan], [3, math.nan]])


def test_image_far_outside_its_grid_is_left_out(site: Site) -> None:
    dcid = site.enter(grid=GRID, experiment_type="Mesh")
    site.analyse(dcid, {1: 1, 7: 7, 8_000_000: 8})

    assert np.nansum(site.tree()["grid_scan"]["spots"]) == 1


def test_everything_can_be_shown_on_the_page(site: Site) -> None:
    grid, rotation = site.enter(grid=GRID, experiment_type="Mesh"), site.enter("a\x1b_1_####.cbf")
    site.analyse(grid, {1: 1})
    site.analyse(rotation, {1: 1, 2: 4})
    site.center(grid, "2d", (0.5, 0.5))
    tree = ServeTree()
    tree.put(site.tree())
    reading = LocalFeed(tree).read({"/grid_scan/spots": None, "/rotation/spots": None, "/collections": None})

    assert reading.problems == []
    nodes = {node.path: node for node in reading.nodes}
    assert nodes["/grid_scan/spots"].plot == "image"
    assert nodes["/grid_scan/spots"].attributes["grid"]["center"] == [0.5, 0.5]
    assert nodes["/rotation/spots"].plot == "curve"
    assert nodes["/collections"].plot == nodes["/centering"].plot == "table"
    assert "\x1b" not in nodes["/rotation/spots"].attributes["title"]
    assert reading.values["/grid_scan/spots"].shape == (2, 3)


def test_file_that_is_away_is_said(tmp_path: Path) -> None:
    page = ResultsLook(f"sqlite:///{tmp_path}/none.sqlite")
    with pytest.raises(ResultsDatabaseError, match="no such file"):
        page.read()


def test_empty_database_gives_empty_tables(site: Site) -> None:
    tree = site.tree()
    assert {name: len(part) for name, part in tree.items() if part is not None} == {"collections": 0, "centering": 0}


def test_a_slot_never_keeps_a_scan_that_is_no_longer_among_the_newest(site: Site) -> None:
    page = ServeTree()
    for _ in range(2):
        site.analyse(site.enter(grid=GRID), {1: 3.0})
    page.put(site.tree())
    for _ in range(N_COLLECTIONS - 1):
        site.enter()
    newest = site.enter(grid=GRID)
    site.analyse(newest, {1: 3.0})
    page.put(site.tree())
    shown = page.tree()[0]
    assert shown["grid_scan"]["spots_attrs"]["grid"]["data_collection"] == newest
    assert shown["grid_scan_2"] is None
