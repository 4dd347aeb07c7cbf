"""Rows of a run are told from those of earlier ones, by time and by key."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from glimt.app.results_written import RowCounts, RowMark, count_rows, mark_rows, told_rows
from glimt.stores.results_db import prepare_results
from ispyb_rig import IspybRig

CENTRED = {"status": "success", "type": "2d", "results": [{"centre_of_mass": [1.5, 2.5], "n_voxels": 3}]}
IMAGE = {"n_spots_total": 10, "estimated_d_min": 1.5}


def test_rows_since_a_mark_are_counted_apart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/results.sqlite"
    prepare_results(url)
    rig = IspybRig(url, (tmp_path,))
    dcid, dcgid = rig.collection.dcid, rig.collection.dcgid
    rig.run("store_per_image_analysis_results", {**IMAGE, "file-number": 1}, dcid=dcid)
    rig.run("insert_xray_centring", CENTRED, dcgid=dcgid)
    mark = mark_rows(url)
    rig.run("insert_xray_centring", CENTRED, dcgid=dcgid)
    assert count_rows(url, dcid, mark)[1] == RowCounts("centring result", 1, 2)
    later = RowMark(mark.at + timedelta(days=1), mark.centring_id)
    assert count_rows(url, dcid, later)[0] == RowCounts("image", 0, 1)
    earlier = RowMark(mark.at - timedelta(minutes=1), 0)
    assert [one.n_new for one in count_rows(url, dcid, earlier)] == [1, 2]
    rig.close()


def test_database_that_is_not_there_is_not_made_and_has_no_rows_yet(tmp_path: Path) -> None:
    assert mark_rows(f"sqlite:///{tmp_path}/none.sqlite").centring_id == 0
    assert list(tmp_path.iterdir()) == []


def test_database_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.sqlite").write_text("no database, but long enough to be looked at as if it were one " * 20)
    mark = mark_rows(f"sqlite:///{tmp_path}/bad.sqlite")
    assert mark.centring_id is None
    counts = [RowCounts("image", 2, 2), RowCounts("centring result", None, 1)]
    assert told_rows(counts, 3) == (
        "the database has 2 images, 1 centring result of data collection 3 (glimt db show 3);"
        " rows of earlier runs may be among them"
    )


def test_words_tell_new_rows_from_others() -> None:
    assert mark_rows("sqlite:///nowhere/none.sqlite").at <= datetime.now()
    where = "data collection 3 (glimt db show 3)"
    new = [RowCounts("image", 20, 20), RowCounts("centring result", 1, 1)]
    assert told_rows(new, 3) == f"written since the run was sent: 20 images, 1 centring result of {where}"
    some = [RowCounts("image", 20, 20), RowCounts("centring result", 1, 2)]
    assert told_rows(some, 3).endswith("; with those of earlier runs the database has 20 images, 2 centring results")
    none = [RowCounts("image", 0, 20), RowCounts("centring result", 0, 1)]
    assert told_rows(none, 3).startswith(f"nothing was written since the run was sent, of {where}; with those of earl")
