"""What a beamline scientist sees of `glimt serve --port`: a grid scan as it runs, in Debian's Chromium."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from browser import Viewer, screenshot_folder
from glimt.app.open_broker import open_broker
from glimt.brokers.broker import Outgoing
from grid_scan_rig import GLIMT, GridScanSite, grid_scan_site

pytest.importorskip("playwright", reason="no Playwright: it is in the development environment")

from playwright.sync_api import Browser, expect

N_IMAGES = 20

COUNT_RED = """path => {
    const screen = document.querySelector(`article.panel[data-paths="${path}"] canvas.screen`);
    const { data } = screen.getContext('2d').getImageData(0, 0, screen.width, screen.height);
    let x = 0, y = 0, n = 0;
    for (let i = 0; i < data.length; i += 4) {
        if (data[i] - data[i + 1] > 70) {  // no color of the map is as red
            x += i / 4 % screen.width; y += Math.floor(i / 4 / screen.width); n++;
        }
    }
    return { n, x: x / n / screen.width, y: y / n / screen.height, ratio: screen.width / screen.height };
}"""


def page_of(site: GridScanSite) -> str:
    found = site.wait_for(lambda: re.search(r"see it in a browser: (http://127\.0\.0\.1:\d+)", site.log), "the page")
    return str(found[1])


def rows(viewer: Viewer, path: str) -> list[list[str]]:
    """Return a table as it is on the screen."""
    texts: list[list[str]] = (
        viewer.panel(path)
        .locator("tbody")
        .evaluate("body => [...body.rows].map(row => [...row.cells].slice(1).map(cell => cell.textContent))")
    )
    return texts


def spots(url: str) -> Any:
    with urllib.request.urlopen(f"{url}/json/grid_scan/spots", timeout=10) as answer:
        return json.loads(answer.read())


@pytest.mark.slow
def test_grid_scan_is_seen_as_it_runs_with_its_center_and_a_dead_letter(tmp_path: Path, browser: Browser) -> None:
    with grid_scan_site(tmp_path / "site") as site:
        site.serve("--port", "0")
        url = page_of(site)
        viewer = Viewer(browser, url, viewport={"width": 1500, "height": 1500})
        site.wait_for(lambda: "process " in site.log and len(site.processes()) == 8, "all processes")
        viewer.panel("/services").locator("tbody tr").first.wait_for(timeout=30_000)
        site.wait_for(lambda: all(row[3] for row in rows(viewer, "/services")), "the page knows all processes")
        services = {row[0]: row for row in rows(viewer, "/services")}
        assert len(services) == 8
        assert {int(row[3]) for row in services.values()} == set(site.processes())
        for name, row in services.items():
            assert f"{name}: process {row[3]}" in site.log

        site.wait_for(
            lambda: {row[0]: row for row in rows(viewer, "/services")}["per_image_analysis"][1] == "idle",
            "kernels are compiled",
        )
        folder = site.images / "scan"
        folder.mkdir()
        shape = ("--grid", "5x4")
        run, dcid = site.go("per-image-analysis-gridscan", "--images", str(folder / "scan_7_#####.cbf"), *shape)
        site.simulate(folder, "--name", "scan_7", "--images", str(N_IMAGES), "--rate", "2", "--shape", "256x256")
        # While it runs: a part of the boxes has values, the others have none yet.
        heat_map = viewer.panel("/grid_scan/spots")
        heat_map.locator(".screen[data-event]").wait_for(timeout=120_000)
        partly = site.wait_for(
            lambda: (n := sum(value is not None for row in spots(url) for value in row)) and n < N_IMAGES and n,
            "a part of the scan",
        )
        assert 0 < partly < N_IMAGES
        site.wait_for_scan(dcid, run, N_IMAGES)

        expect(heat_map.locator("h2")).to_contain_text("center", timeout=15_000)
        table = site.wait_for(lambda: rows(viewer, "/collections"), "the list of collections")
        assert (table[0][0], table[0][1], table[0][3], table[0][5]) == (str(dcid), "scan_7_#####.cbf", "5 x 4", "20")
        values = [row[1] for row in site.indicators(dcid)]
        lines = [values[i : i + 5] for i in range(0, N_IMAGES, 5)]
        assert spots(url) == [line[:: -1 if i % 2 else 1] for i, line in enumerate(lines)], "snaked"

        # The cross is where the database has the center.
        ((*_, x, y, _z, _, _, _, _n, _total),) = site.centers(dcid)
        found = viewer.page.evaluate(COUNT_RED, "/grid_scan/spots")
        width = min(1.0, 5 / 4 / found["ratio"])  # of the picture, which is as high as the screen
        assert found["n"] > 20
        assert found["x"] == pytest.approx((1 - width) / 2 + width * x / 5, abs=0.01)
        assert found["y"] == pytest.approx(y / 4, abs=0.02)

        # A message that makes no sense.
        broker = open_broker(site.broker_url)
        broker.send([Outgoing(b"nonsense", queue="per_image_analysis")])
        broker.close()
        viewer.wait_for_tile("/dead_letters", "1")
        (dead,) = site.wait_for(lambda: rows(viewer, "/newest_dead_letters"), "the dead letter")
        assert dead[1] == "per_image_analysis"
        assert "no header workflows-recipe" in dead[2]
        viewer.dock("health")
        expect(viewer.page.locator(".log")).to_contain_text("per_image_analysis: message")
        expect(viewer.page.locator(".dock")).not_to_contain_text("backlog")
        viewer.page.locator('[data-dock="health"]').click()  # closed again
        viewer.page.wait_for_timeout(500)
        viewer.page.screenshot(path=screenshot_folder(tmp_path) / "serve_page.png")

        # A service that is killed has another process, and the page says so.
        victim = int({row[0]: row for row in rows(viewer, "/services")}["images"][3])
        os.kill(victim, signal.SIGKILL)
        site.wait_for(
            lambda: {row[0]: row for row in rows(viewer, "/services")}["images"][3] not in {"", str(victim)},
            "the service comes back",
        )
        assert {row[0]: row for row in rows(viewer, "/services")}["images"][-1] == "2", "starts"
        assert viewer.errors == []
        viewer.close()
        assert site.stop() == 0
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(url, timeout=2)
        assert "Traceback" not in site.log


@pytest.mark.slow
def test_port_that_is_taken_is_said_and_no_service_is_started(tmp_path: Path) -> None:
    with grid_scan_site(tmp_path / "site") as site, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [*GLIMT, "serve", "--site", str(site.file), "--port", port]
        done = subprocess.run(command, cwd=site.folder, capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == (
            f"glimt: port {port} is taken by another program; choose another, or 0 for any free one"
        )
        assert "process" not in done.stderr


def test_nothing_of_the_page_is_loaded_without_a_port(tmp_path: Path) -> None:
    code = (
        "import sys, glimt.cli.main, glimt.cli.serve, glimt.app.serve, glimt.app.site_file, glimt.app.serve_process\n"
        "print([name for name in sys.modules if name.startswith(('glimt.web', 'fastapi', 'uvicorn', 'starlette'))"
        " or 'serve_page' in name])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


def test_missing_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('[broker]\nurl = "sqlite:b.sqlite"\n[paths]\nstate = "state"\n')
    code = (
        "import sys\nsys.modules['fastapi'] = None\nfrom glimt.cli.main import main\n"
        "main(['serve', 'images', '--site', 'site.toml', '--port', '0'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 1
    assert "--port needs the package fastapi: pip install glimt[view]" in done.stderr


def test_list_names_services_that_only_the_site_file_names(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('[services."my_package.services:Thumbnails"]\nsize_px = 400\n')
    done = subprocess.run([*GLIMT, "serve", "--list"], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "my_package.services:Thumbnails: not here:" in done.stdout
    assert done.stdout.startswith("dispatcher [processing_recipe]")
