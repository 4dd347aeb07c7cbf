"""The page in a real browser: with a token, over a wire that is cut, of a replay; files that come and go."""

from __future__ import annotations

import hashlib
import io
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from browser import PageRun, Relay, Viewer, screenshot_folder
from captures import stins_messages, write_capture

pytest.importorskip("playwright", reason="no Playwright: it is in the development environment")

from playwright.sync_api import Browser, Dialog, expect

TOKEN = "twenty-random-letters"
GRID = np.add.outer(np.hanning(8), np.hanning(12)) * 40
CROSS = """(path) => {
    const screen = document.querySelector(`article.panel[data-paths="${path}"] .screen`);
    const { width, height, data } = screen.getContext("2d").getImageData(0, 0, screen.width, screen.height);
    let n = 0, x = 0, y = 0;
    for (let i = 0; i < width * height; i++) {
        if (data[4 * i] !== 255 || data[4 * i + 1] !== 77 || data[4 * i + 2] !== 79) continue;
        [n, x, y] = [n + 1, x + (i % width) + 0.5, y + Math.floor(i / width) + 0.5];
    }
    return n ? [x / n, y / n, width, height] : null;
}"""

ANALYSIS = """
import pathlib, threading, time
from glimt import IntParameter, parse

class Worker:
    @staticmethod
    def describe_parameters():
        return [IntParameter(name="factor", default=1)]
    def process_event(self, event, parameters):
        if event.event_number >= 200 and not pathlib.Path("go").exists():
            time.sleep(0.2)
        image = parse(event.streams["xrd"])
        return image.data * parameters["factor"].value if hasattr(image, "shape") else None

class Reducer:
    def __init__(self, **_):
        self.publish, self.publish_rlock = {}, threading.RLock()
    def process_result(self, result, parameters):
        if result.payload is not None:
            with self.publish_rlock:
                self.publish |= {"image": result.payload, "number": result.event_number, "mean": result.payload.mean()}
"""


def test_page_asks_for_the_token_and_keeps_it_out_of_the_address(browser: Browser, tmp_path: Path) -> None:
    run = PageRun(tmp_path, token=TOKEN)
    asked: list[str] = []
    given = ["not-the-token-at-all", TOKEN]
    try:
        run.start()
        viewer = Viewer(browser, "about:blank")

        def answer(dialog: Dialog) -> None:
            asked.append(dialog.message)
            dialog.accept(given[len(asked) - 1])

        viewer.page.on("dialog", answer)
        viewer.page.goto(run.url)
        viewer.panel("/image").wait_for(timeout=30_000)
        assert len(asked) == 2
        assert "needs the token" in asked[0]
        assert "not the token" in asked[1]
        assert viewer.page.title().startswith("test-run")
        viewer.page.reload()
        viewer.panel("/image").wait_for(timeout=30_000)
        assert len(asked) == 2, "a reload asks no more"

        for link, may_change in ((f"{run.url}/#api_key={TOKEN}", True), (run.link(), False)):
            other = Viewer(browser, link)
            other.panel("/image").wait_for(timeout=30_000)
            assert other.page.url == f"{run.url}/", "the token does not stay in the address"
            with other.page.expect_download() as saved:
                other.menu("/grid", "Data as CSV")
            assert "key" not in saved.value.url
            other.dock("parameters")
            box = other.page.locator('[data-parameter="gain"] input[type="number"]')
            expect(box).to_be_enabled(enabled=may_change)
            assert other.page.evaluate("history.length") <= 2
            other.close()
            assert other.errors == []
        stranger = Viewer(browser, "about:blank")
        stranger.page.on("dialog", lambda dialog: dialog.dismiss())
        stranger.page.goto(run.url)
        expect(stranger.page.locator("#notice")).to_contain_text("needs a token", timeout=10_000)
        stranger.close()
    finally:
        run.stop()


def test_file_arrives_in_the_worker_byte_for_byte_and_one_too_large_is_told(
    look: Callable[..., Viewer], tmp_path: Path
) -> None:
    viewer = look()
    content = bytes(range(256)) + random.Random(1).randbytes(3_000_000)
    (tmp_path / "small.bin").write_bytes(content)
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate((64 << 20) + 1)
    viewer.dock("parameters")
    field = viewer.page.locator('[data-parameter="calibration"]')
    field.locator("input").set_input_files(tmp_path / "small.bin")
    expect(field.locator("output")).to_contain_text("applied from event", timeout=20_000)
    viewer.panel("/calibration_seen").scroll_into_view_if_needed()
    told = f"{len(content)} bytes, {hashlib.sha256(content).hexdigest()}"
    expect(viewer.panel("/calibration_seen").locator("pre")).to_have_text(told, timeout=20_000)
    expect(viewer.page.locator("#changes tbody tr").first).to_contain_text("(bytes)")
    field.locator("input").set_input_files(tmp_path / "large.bin")
    expect(field.locator("output")).to_contain_text("longer than 67108864 bytes", timeout=20_000)
    viewer.errors[:] = [error for error in viewer.errors if "413" not in error]
    expect(viewer.panel("/calibration_seen").locator("pre")).to_have_text(told)


def test_replay_shows_values_progress_and_its_end(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "analysis.py").write_text(ANALYSIS)
    write_capture(tmp_path / "a.cbors", stins_messages(400))
    run = PageRun(tmp_path)
    try:
        files = ("-w", "analysis:Worker", "-r", "analysis:Reducer", "-f", "a.cbors")
        run.begin("live view on", "replay", *files, "--port", "0", "--keep-alive")
        viewer = Viewer(browser, run.url)
        viewer.wait_for_more("/number", 199)
        state, fresh = viewer.page.locator("#run-state"), viewer.page.locator("#freshness")
        expect(state).to_have_text(re.compile(r"replay [1-9]\d %"), timeout=10_000)
        viewer.dock("parameters")
        factor = viewer.page.locator('[data-parameter="factor"]')
        factor.locator("input").fill("3")
        factor.locator("input").press("Enter")
        expect(factor.locator("output")).to_contain_text("applied from event", timeout=10_000)
        (tmp_path / "go").touch()
        viewer.wait_for_tile("/number", "400")
        expect(state).to_have_text("replay 100 %", timeout=10_000)
        expect(fresh).to_have_text("ended", timeout=10_000)
        viewer.panel("/image").locator(".screen[data-event]").wait_for()
        viewer.page.evaluate("window.endedAt = performance.now()")
        viewer.wait_for("performance.now() - window.endedAt > 6500")  # longer than after what a value is called stale
        expect(viewer.panel("/image").locator("header .pill")).to_contain_text("ended")
        factor.locator("input").fill("5")
        factor.locator("input").press("Enter")
        expect(factor.locator("output")).to_contain_text("the replay has ended", timeout=10_000)
        expect(viewer.page.locator(".is-stale")).to_have_count(0)
        viewer.dock("health")
        expect(viewer.page.locator(".dock")).to_contain_text("100 %")
        viewer.page.screenshot(path=screenshot_folder(tmp_path) / "replay.png")
        assert viewer.errors == []
        viewer.close()
    finally:
        run.stop()


def test_grid_scan_has_its_center_in_its_box_and_names_column_and_row(look: Callable[..., Viewer]) -> None:
    viewer = look()
    screen = viewer.panel("/grid").locator(".screen[data-event]")
    screen.scroll_into_view_if_needed()
    x, y, width, height = viewer.wait_until(lambda: viewer.page.evaluate(CROSS, "/grid"), "the center is marked")
    scale = min(width / 12, height / 8)
    left, top = (width - 12 * scale) / 2, (height - 8 * scale) / 2
    assert [(x - left) / scale, (y - top) / scale] == pytest.approx([6.2, 4.1], abs=0.05)
    box = screen.bounding_box()
    assert box is not None
    viewer.page.mouse.move(box["x"] + left + 7.5 * scale, box["y"] + top + 2.5 * scale)
    expect(viewer.panel("/grid").locator(".cursor")).to_have_text(f"row 2  column 7  {GRID[2, 7]:.4f}")


def test_pictures_and_data_are_what_is_on_the_screen(look: Callable[..., Viewer], tmp_path: Path) -> None:
    viewer = look()
    viewer.panel("/intensity").locator("canvas").first.wait_for()
    for path in ("/image", "/intensity"):
        viewer.panel(path).locator("canvas").first.scroll_into_view_if_needed()
        viewer.panel("/image").locator(".screen[data-event]").wait_for()
        size = viewer.panel(path).locator("canvas").first.evaluate("(canvas) => [canvas.width, canvas.height]")
        picture = np.asarray(Image.open(io.BytesIO(saved(viewer, path, "Picture as PNG", tmp_path))).convert("RGB"))
        assert picture.shape[:2] == (size[1] + 28, size[0])
        n_colors = len(np.unique(picture[28:].reshape(-1, 3), axis=0))
        assert n_colors > 20, "it is not blank"
    lines = saved(viewer, "/grid", "Data as CSV", tmp_path).decode().split()[1:]
    np.testing.assert_array_equal(np.array([line.split(",") for line in lines], float), GRID)
    with h5py.File(io.BytesIO(saved(viewer, "/grid", "Data as HDF5", tmp_path))) as file:
        arrays: list[Any] = []
        file.visititems(lambda _, item: arrays.append(item[()]) if isinstance(item, h5py.Dataset) else None)
    np.testing.assert_array_equal(next(array for array in arrays if np.shape(array) == (8, 12)), GRID)
    rows = np.loadtxt(io.BytesIO(saved(viewer, "/intensity", "Data as CSV", tmp_path)), delimiter=",", skiprows=1)
    np.testing.assert_allclose(rows[:, 0], np.linspace(0.1, 4.0, 1000))


def saved(viewer: Viewer, path: str, entry: str, folder: Path) -> bytes:
    with viewer.page.expect_download() as download:
        viewer.menu(path, entry)
    download.value.save_as(folder / "saved")
    return (folder / "saved").read_bytes()


def test_layout_goes_by_name_to_another_browser_and_too_many_plots_are_told(
    look: Callable[..., Viewer], run: PageRun
) -> None:
    panels = [{"kind": "curve", "paths": ["/intensity"], "w": 1, "h": 2, "settings": {}} for _ in range(70)]
    one, other = look(), look()
    run.put("/api/v1/page/layout", {"panels": panels})
    one.wait_for("document.querySelectorAll('article.panel').length === 70")
    left_out = "document.querySelectorAll('article.panel .problem:not([hidden])').length"
    one.wait_for(f"{left_out} === 6")
    assert "only 64 plots" in one.page.locator(".problem:not([hidden])").first.inner_text()
    one.page.locator("article.panel").first.focus()
    for _ in range(6):
        one.page.locator("article.panel").first.press("Delete")
    one.wait_for(f"{left_out} === 0")
    one.page.on("dialog", lambda dialog: dialog.accept("sixty-four"))
    one.page.locator('button[title^="Save, load"]').click()
    one.page.locator('.menu button:has-text("Save under a name")').click()
    one.wait_for("document.getElementById('toast').textContent === 'layout saved'")
    other.page.locator('button[title^="Save, load"]').click()
    other.page.locator('.menu button:has-text("sixty-four")').click()
    other.wait_for("document.querySelectorAll('article.panel').length === 64")
    run.put("/api/v1/page/layout", {"panels": []})


def test_page_that_lost_the_server_says_so_and_comes_back_with_all_its_history(
    look: Callable[..., Viewer], run: PageRun
) -> None:
    relay = Relay(run.url)
    viewer = look(relay.url)
    viewer.menu("/number_of_event", "Show as curve")
    last = viewer.number("/number_of_event")
    relay.cut()
    notice = viewer.page.locator("#notice")
    expect(notice).to_contain_text("Connection lost", timeout=10_000)
    expect(viewer.page.locator("#freshness")).to_have_text("no connection")
    viewer.wait_until(lambda: run.newest("/number_of_event") > last + 80, "the run goes on")
    back = int(run.newest("/number_of_event"))
    relay.is_cut = False
    viewer.wait_for_more("/number_of_event", back)
    expect(notice).to_be_hidden()
    chart = viewer.page.locator('article.panel.history[data-paths="/number_of_event"]')
    chart.locator(".u-over").scroll_into_view_if_needed()
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    shown = set()
    for x in np.linspace(2, box["width"] - 2, 250):
        viewer.page.mouse.move(box["x"] + x, box["y"] + box["height"] / 2)
        shown.add(chart.locator(".u-value").first.inner_text())
    events = {int(text.replace("\u2009", "")) for text in shown if text[:1].isdigit()}
    assert any(last + 20 < event < back - 20 for event in events), f"{last} to {back} are missing in {sorted(events)}"
    viewer.page.goto("about:blank")  # it complains of the wire no more
    relay.close()
    viewer.errors[:] = [error for error in viewer.errors if "ERR_" not in error and "WebSocket" not in error]
