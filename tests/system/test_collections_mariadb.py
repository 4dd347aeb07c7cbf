"""Data collections entered in and read from a real MariaDB."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from glimt.services.collection_context import IspybContext
from glimt.services.collection_names import FolderTemplates
from glimt.stores.collections_db import read_collection
from glimt.stores.collections_db_registration import RegisteredCollection, RegisteredGrid, register_collection
from glimt.stores.results_db import ResultsDatabase, prepare_results
from glimt.stores.results_schema import results_table
from mariadb_server import mariadb_server, why_no_mariadb

pytestmark = pytest.mark.skipif(bool(why_no_mariadb()), reason=why_no_mariadb() or "MariaDB is here")


@pytest.fixture(scope="module")
def database() -> Iterator[ResultsDatabase]:
    # The path of a socket may have 107 characters, and pytest's folders are long.
    with tempfile.TemporaryDirectory(prefix="maria") as folder, mariadb_server(Path(folder)) as running:
        url = running.new_database()
        prepare_results(url)
        made = ResultsDatabase(url)
        yield made
        made.close()


def test_collection_has_the_same_names_on_mariadb_as_on_sqlite(database: ResultsDatabase, tmp_path: Path) -> None:
    embedded = ResultsDatabase(f"sqlite:///{tmp_path / 'results.sqlite'}")
    embedded.prepare()
    told = RegisteredCollection(
        "/data/i03/mx12345-6/thau",
        "thau_2_####.cbf",
        126,
        experiment_type="Mesh3D",
        beamline="i03",
        visit="mx12345-6",
        grid=RegisteredGrid(14, 9, dx_mm=0.04, dy_mm=0.03, microns_per_pixel_x=0.438, snapshot_offset_x_px=396.2),
        exposure_s=0.01,
        wavelength_angstrom=0.9763,
    )
    found = []
    for one in (database, embedded):
        with one.transaction() as session:
            dcid = register_collection(session, told)
        context = IspybContext(one, FolderTemplates())
        parameters = {"ispyb_dcid": str(dcid), "ispyb_wait_for_runstatus": "1"}
        assert context.is_ready(parameters)
        names = context.find_names(parameters, guid="run-1").parameters
        del names["ispyb_dc_info"]["gridinfo"]["recordTimeStamp"]
        found.append(json.loads(json.dumps(names)))
    embedded.close()
    assert found[0] == found[1]


def test_two_processes_that_enter_the_same_visit_share_it(database: ResultsDatabase) -> None:
    told = RegisteredCollection("/data/new", "a_1_###.cbf", 5, visit="cm99999-1")
    with database.transaction() as first:
        first.execute(sa.select(results_table("Proposal"))).all()  # from here on this transaction sees nothing new
        with database.transaction() as second:
            other = register_collection(second, told)
        mine = register_collection(first, told)
    with database.reading() as session:
        found = [read_collection(session, dcid) for dcid in (other, mine)]
    assert len({facts.session["sessionId"] for facts in found if facts}) == 1
