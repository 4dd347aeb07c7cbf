"""Recipes as a new user runs them: `glimt serve` in one terminal, `glimt go` in another, and a detector that writes."""

from __future__ import annotations

import bz2
import json
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from glimt.kernels.centering import find_center_2d
from glimt.kernels.centering_grid import ScanGrid
from grid_scan_rig import BEAMLINE, GridScanSite, analysed, grid_scan_site
from mariadb_server import mariadb_server, why_no_mariadb
from rabbitmq_server import RabbitServer, rabbitmq, why_no_rabbitmq

__all__ = ["rabbitmq"]

BOX = {"box_size_px": (20.0, 20.0), "snaked": True}
N_IMAGES = 40


@pytest.fixture(scope="module")
def thaumatin(shared_data: Path) -> list[bytes]:
    """The 19 images of a real grid scan, on a Pilatus 6M."""
    folder = shared_data / "gridscan_thaumatin_pilatus6m"
    return [bz2.decompress(path.read_bytes()) for path in sorted(folder.glob("*.cbf.bz2"))]


@pytest.fixture(scope="module")
def mariadb_url() -> Iterator[str]:
    missing = why_no_mariadb()
    if missing:
        pytest.skip(missing)
    with tempfile.TemporaryDirectory(prefix="glimt-db-") as folder, mariadb_server(Path(folder)) as server:
        yield server.new_database()


@pytest.mark.slow
def test_real_grid_scan_on_sqlite_with_nothing_installed(tmp_path: Path, thaumatin: list[bytes]) -> None:
    with grid_scan_site(tmp_path / "site") as site:
        _real_grid_scan(site, thaumatin)


@pytest.mark.slow
def test_real_grid_scan_on_rabbitmq_and_mariadb(tmp_path: Path, thaumatin: list[bytes], request: Any) -> None:
    missing = why_no_rabbitmq() or why_no_mariadb()
    if missing:
        pytest.skip(missing)
    server: RabbitServer = request.getfixturevalue("rabbitmq")
    results = request.getfixturevalue("mariadb_url")
    with grid_scan_site(tmp_path / "site", broker_url=server.new_vhost("grid"), results_url=results) as site:
        _real_grid_scan(site, thaumatin)


def _real_grid_scan(site: GridScanSite, contents: list[bytes]) -> None:
    site.serve()
    template = str(site.images / "thau_3_2_####.cbf")
    run, dcid = site.go(
        "per-image-analysis-gridscan", "--images", template, "--last", "19", "--grid", "19x1", "--visit", "mx1-1"
    )
    files = [site.images / f"thau_3_2_{number:04}.cbf" for number in range(1, 20)]
    for path, content in zip(files, contents, strict=True):
        path.write_bytes(content)  # in place, as a detector without renaming does
        time.sleep(0.1)
    site.wait_for_scan(dcid, run, 19)
    expected = analysed(files, "disable_parallax_correction=true")
    assert [row["image_number"] for row in expected] == list(range(1, 20))
    outcome = site.outcome(dcid, run, site.images)

    # Rows of ImageQualityIndicators: what `glimt analyse` prints, to the last digit that the columns keep.
    assert len(outcome.rows) == 19
    for row, image in zip(outcome.rows, expected, strict=True):
        number, total, in_resolution, no_ice, method_1, method_2, intensity, *_ = row
        assert (number, total, in_resolution, no_ice) == (
            image["image_number"], image["n_spots_total"], image["n_spots_total"], image["n_spots_no_ice"],
        )  # fmt: skip
        assert [method_1, method_2] == pytest.approx([image["estimated_d_min"]] * 2, rel=_digits(site))
        assert intensity == pytest.approx(image["total_intensity"], rel=_digits(site))
    assert outcome.rows[2][1] > 1000
    assert outcome.rows[18][1] == 0

    # Lines to GDA: exactly those values, each image once.
    assert sorted(site.lines) == sorted(
        f"PIA:{dcid}:{image['image_number']}:{image['n_spots_total']}:{image['n_spots_no_ice']}"
        f":{image['estimated_d_min']}:{image['total_intensity']}"
        for image in expected
    )

    # Pictures for the user portal, of the first image.
    picture, thumbnail = (files[0].with_suffix(ending) for ending in (".jpeg", ".thumb.jpeg"))
    with Image.open(picture) as large, Image.open(thumbnail) as small:
        assert (large.format, small.format) == ("JPEG", "JPEG")
        assert large.width > 500
        assert small.width <= 400
        assert np.ptp(np.asarray(large.convert("L"))) > 100

    # The centre: that of the kernel, in the file, at the beamline and in the database.
    counts = np.array([image["n_spots_total"] for image in expected], np.float64)
    center = find_center_2d(counts, ScanGrid((19, 1), **BOX))
    assert json.loads(outcome.result) == json.loads(center.as_json())
    assert center.center_px is not None
    assert f"centre_x,centre_y={center.center_px[0]},{center.center_px[1]}" in outcome.log
    assert outcome.message == {"results": _sent(center.as_message()), "status": "success", "type": "2d"}
    assert [each.recipe_id for each in site.centred] == [run]
    link = site.images / "processed" / "thau_3_2" / "xray-centering"
    assert link.is_symlink()
    assert (link / "Dials5AResults.json").read_text() == outcome.result
    ((kind, status, result_status, _, x, y, z, *_),) = outcome.centers
    assert (kind, status, result_status) == ("2d", "success", "success")
    assert (x, y, z) == pytest.approx((*(center.center_of_mass or ()), z))

    assert site.dead_letters() == []
    assert site.stop() == 0
    assert "Traceback" not in site.log
    assert "per_image_analysis: 19 handled" in site.log


def _sent(result: dict[str, Any]) -> Any:
    """Return a result as it is when it comes out of a message."""
    return [json.loads(json.dumps(result))]


def _digits(site: GridScanSite) -> float:
    """Return how exact a column of ISPyB is: FLOAT has 4 bytes on MariaDB."""
    return 1e-12 if site.results_url.startswith("sqlite") else 1e-5


@pytest.mark.slow
def test_every_recipe_that_comes_with_glimt_runs_while_a_detector_writes(tmp_path: Path) -> None:
    """All at once, each on a collection of its own; two of them wait for a minute after the end, as at Diamond."""
    size = f"{N_IMAGES}"
    hdf5 = {"eiger-rotation": "nxmx-links", "eiger-gridscan": "nxmx-vds"}
    swmr = {"rotation-swmr": "nxmx-vds", "gridscan-swmr": "nxmx-vds"}
    with grid_scan_site(tmp_path / "site") as site:
        site.serve()
        runs: dict[str, tuple[Path, Path, str, int]] = {}
        for kind in (*hdf5, *swmr, "gridscan", "rotation"):
            folder = site.images / kind
            words = ["--name", "scan_7", "--images", size, "--rate", "20", "--shape", "256x256", "--seed", "3"]
            if kind in swmr:
                first = folder / "scan_7.nxs"
                words += ["--form", swmr[kind], "--master", first.name, "--images-per-file", "25"]
            elif kind in hdf5:
                first = folder / "scan_7_master.h5"
                words += ["--form", hdf5[kind], "--images-per-file", "25", "--master-delay", "1"]
            else:
                first = folder / "scan_7_#####.cbf"
            folder.mkdir()
            grid = ("--grid", "8x5") if "gridscan" in kind else ()
            run, dcid = site.go(f"per-image-analysis-{kind}", "--images", str(first), "--last", size, *grid)
            runs[kind] = (folder, first, run, dcid)
            site.simulate(folder, *words)

        def is_done(kind: str) -> bool:
            _, _, run, dcid = runs[kind]
            is_centred = "gridscan" not in kind or run in {each.recipe_id for each in site.centred}
            return site.n_indicators(dcid) == N_IMAGES and is_centred

        # Those that follow the detector have begun before the one that waits for a minute after its end.
        followers = [dcid for kind, (*_, dcid) in runs.items() if "eiger" not in kind]
        site.wait_for(lambda: all(map(site.n_indicators, followers)), "the recipes that follow the detector")
        assert site.n_indicators(runs["eiger-rotation"][3]) == 0
        site.wait_for(lambda: all(map(is_done, runs)), "all recipes")
        for kind, (folder, first, run, dcid) in runs.items():
            files = sorted(folder.glob("*.cbf")) if first.suffix == ".cbf" else [first]
            expected = analysed(files, "disable_parallax_correction=true")
            assert len(expected) == N_IMAGES
            assert [row[:4] for row in site.indicators(dcid)] == [
                (number, image["n_spots_total"], image["n_spots_total"], image["n_spots_no_ice"])
                for number, image in enumerate(expected, 1)
            ], kind
            assert min(image["n_spots_total"] for image in expected) > 20
            n_lines = Counter(line.split(":")[1] for line in site.lines)[str(dcid)]
            assert n_lines == (N_IMAGES if "gridscan" in kind else 0), kind
            assert len(list(folder.glob("*.jpeg"))) == 2, kind
            if "gridscan" not in kind:
                continue
            center = find_center_2d(
                np.array([image["n_spots_total"] for image in expected], np.float64), ScanGrid((8, 5), **BOX)
            )
            outcome = site.outcome(dcid, run, folder)
            assert json.loads(outcome.result) == json.loads(center.as_json())
            assert outcome.message["results"] == _sent(center.as_message())
            assert len(outcome.centers) == 1
        assert site.dead_letters() == []
        waiting = {each.name: each.n_ready for each in site.broker_status() if each.n_ready or each.n_delayed}
        assert waiting == {}, f"left over in the queues of {BEAMLINE}: {waiting}"
        assert site.stop() == 0
        assert "Traceback" not in site.log
