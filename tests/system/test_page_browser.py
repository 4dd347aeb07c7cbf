"""The page in a real browser, on a real run: Debian's Chromium looks at processes of their own."""

from __future__ import annotations

import csv
import io
import os
import re
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import h5py
import pytest

from browser import PageRun, Viewer, screenshot_folder

pytest.importorskip("playwright", reason="no Playwright: it is in the development environment")

from playwright.sync_api import Browser, expect


@pytest.fixture
def viewer(browser: Browser, run: PageRun) -> Iterator[Viewer]:
    run.put("/api/v1/page/regions", {"regions": []})
    viewer = Viewer(browser, run.url)
    viewer.panel("/image").wait_for(timeout=30_000)
    yield viewer
    viewer.close()
    assert viewer.errors == []


FIRST_VALUE = """() => {
    delete window.tookMs;
    const values = () => [...document.querySelectorAll('article[data-region] output')];
    const isThere = () => values().some(output => /[0-9]/.test(output.textContent));
    addEventListener('pointerup', () => {
        const began = performance.now();
        const look = () => isThere() ? (window.tookMs = performance.now() - began) : requestAnimationFrame(look);
        look();
    }, { once: true, capture: true });
}"""


def points_of(run: PageRun, region: str) -> list[dict[str, str]]:
    with urllib.request.urlopen(f"{run.url}/api/v1/page/regions/{region}.csv", timeout=10) as answer:
        return list(csv.DictReader(io.StringIO(answer.read().decode())))


def test_everything_published_is_drawn_without_code(viewer: Viewer) -> None:
    for path in ("/i0", "/hit_rate", "/intensity", "/image", "/grid", "/peaks", "/note"):
        viewer.panel(path).wait_for()
    viewer.panel("/intensity").locator("canvas").wait_for()
    assert viewer.panel("/i0").locator("small").inner_text() == "nA"
    viewer.panel("/note").scroll_into_view_if_needed()
    expect(viewer.panel("/note").locator("pre")).to_have_text("aligned <b>twice</b> & checked")
    viewer.panel("/peaks").scroll_into_view_if_needed()
    expect(viewer.panel("/peaks").locator("tbody tr")).to_have_count(2)
    viewer.wait_for_more("/number_of_event", viewer.number("/number_of_event"))


def test_region_drawn_with_the_mouse_is_followed_within_a_second_and_reaches_the_workers(
    viewer: Viewer, run: PageRun
) -> None:
    # The machine may be busy with other tests: what counts is that it can be done.
    took_s = []
    while not took_s or (min(took_s) >= 1 and len(took_s) < 4):
        run.put("/api/v1/page/regions", {"regions": []})
        viewer.wait_for("document.querySelectorAll('article[data-region]').length === 0")
        viewer.page.evaluate(FIRST_VALUE)
        viewer.tool("Draw a rectangle")
        viewer.drag(0.4, 0.4, 0.5, 0.5)
        viewer.wait_for("window.tookMs !== undefined")
        took_s.append(viewer.page.evaluate("window.tookMs") / 1000)
    assert min(took_s) < 1, f"from releasing the mouse to the first value: {took_s} s"
    card = viewer.page.locator("article[data-region]").last
    viewer.panel("region:*").locator("canvas").wait_for()
    region = run.get("/api/v1/page/regions")["regions"][-1]
    slow_min, slow_max, fast_min, fast_max = region["bounds"]
    assert 600 < slow_min < slow_max < 1400
    assert 600 < fast_min < fast_max < 1400
    viewer.wait_for_tile("/n_regions_seen", "1")
    point = points_of(run, region["id"])[-1]
    n_masked = max(0, min(slow_max, 1040) - max(slow_min, 1020)) * (fast_max - fast_min)
    assert float(point["n_pixels"]) == (slow_max - slow_min) * (fast_max - fast_min) - n_masked

    name = card.locator('input[aria-label="name"]')
    name.fill("<i>ring</i>")
    name.press("Enter")
    card.locator('select[aria-label="divided by"]').select_option("/i0")
    viewer.wait_for_tile("/n_regions_seen", "1")
    viewer.panel("/names_seen").scroll_into_view_if_needed()
    expect(viewer.panel("/names_seen").locator("pre")).to_have_text("<i>ring</i>", timeout=10_000)
    changed = next(each for each in run.get("/api/v1/page/regions")["regions"] if each["id"] == region["id"])
    assert (changed["name"], changed["denominator"]) == ("<i>ring</i>", "/i0")

    viewer.drag(0.45, 0.45, 0.55, 0.45)  # inside: it moves
    viewer.wait_for("document.querySelector('article.card.selected') !== null")
    viewer.page.wait_for_timeout(600)
    moved = next(each for each in run.get("/api/v1/page/regions")["regions"] if each["id"] == region["id"])
    assert moved["bounds"][2] > fast_min
    assert moved["bounds"][1] - moved["bounds"][0] == slow_max - slow_min

    viewer.panel("/image").locator(".screen").press("Delete")
    viewer.wait_for("document.querySelectorAll('article[data-region]').length === 0")
    viewer.wait_for_tile("/n_regions_seen", "0")


def test_polygon_and_ring_are_drawn_and_pump_probe_splits_them(viewer: Viewer, run: PageRun) -> None:
    viewer.tool("Draw a ring")
    viewer.drag(0.5, 0.46, 0.6, 0.46)
    viewer.wait_for("document.querySelectorAll('article[data-region]').length === 1")
    viewer.tool("Draw a polygon")
    box = viewer.panel("/image").locator(".screen").bounding_box()
    assert box is not None
    for x, y in ((0.45, 0.3), (0.55, 0.3), (0.5, 0.4)):
        viewer.page.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
    viewer.page.keyboard.press("Enter")
    viewer.wait_for("document.querySelectorAll('article[data-region]').length === 2")
    kinds = {region["kind"]: region for region in run.get("/api/v1/page/regions")["regions"]}
    assert len(kinds["polygon"]["vertices"]) == 3
    assert 0 < kinds["ring"]["r_min"] < kinds["ring"]["r_max"]

    card = viewer.page.locator(f'article[data-region="{kinds["ring"]["id"]}"]')
    card.locator("summary").click()
    card.locator('select[aria-label="laser on by"]').select_option("/laser")
    viewer.wait_for("document.querySelectorAll('article.card dl.facts dd').length >= 3")
    card.locator('select[aria-label="delay"]').select_option("/delay")
    viewer.page.wait_for_timeout(1500)
    card.locator('select[aria-label="divided by"]').select_option("/i0")
    viewer.page.wait_for_timeout(1500)
    card.locator('button:has-text("Three figures")').click()
    region = f"region:{kinds['ring']['id']}"
    for kind in ("scatter", "delay", "history"):
        viewer.page.locator(f'article.panel.{kind}[data-paths^="{region}"] canvas').first.wait_for()
    folder = screenshot_folder(run.folder)
    viewer.page.screenshot(path=folder / "pump-probe.png")


def test_changed_parameter_changes_the_data_from_a_told_event_on(viewer: Viewer) -> None:
    viewer.dock("parameters")
    gain = viewer.page.locator('[data-parameter="gain"]')
    gain.locator('input[type="number"]').fill("3")
    gain.locator('input[type="number"]').press("Enter")
    expect(gain.locator("output")).to_contain_text("applied from event", timeout=10_000)
    told, scan = map(int, re.findall(r"\d+", gain.locator("output").inner_text()))
    assert scan == 1
    expect(viewer.page.locator("#scan")).to_have_text("scan 1")
    viewer.wait_for_tile("/gain_seen", "3")
    assert viewer.number("/number_of_event") >= told - 1
    row = viewer.page.locator("#changes tbody tr").first
    assert row.locator("td").nth(1).inner_text() == "gain"
    assert row.locator("td").nth(3).inner_text() == f"scan 1 #{told}"
    gain.locator('input[type="number"]').fill("99")
    gain.locator('input[type="number"]').press("Enter")
    expect(gain.locator("output")).to_contain_text("at most 10", timeout=10_000)
    expect(gain.locator('input[type="number"]')).to_have_value("3", timeout=10_000)
    expect(gain.locator("output")).to_contain_text("Not changed: ")
    expect(gain.locator("output")).not_to_have_class(re.compile("bad"))
    gain.locator('input[type="number"]').fill("98")
    gain.locator('input[type="number"]').press("Tab")
    expect(gain.locator("output")).to_contain_text("98", timeout=10_000)
    gain.locator('input[type="number"]').fill("97")  # mended before the old value is back: it stays
    viewer.page.wait_for_timeout(5000)
    assert gain.locator('input[type="number"]').input_value() == "97"
    viewer.errors[:] = [error for error in viewer.errors if "400" not in error]  # what the browser says of each refusal
    gain.locator('input[type="number"]').fill("1")
    gain.locator('input[type="number"]').press("Enter")
    viewer.wait_for_tile("/gain_seen", "1")


def test_two_viewers_see_the_same(viewer: Viewer, browser: Browser, run: PageRun) -> None:
    other = Viewer(browser, run.url)
    other.panel("/image").wait_for()
    other.dock("regions")
    viewer.tool("Draw a rectangle")
    viewer.drag(0.4, 0.6, 0.5, 0.7)
    other.page.locator("article[data-region]").first.wait_for(timeout=3000)
    other.dock("parameters")
    viewer.dock("parameters")
    box = viewer.page.locator('[data-parameter="laser"] input')
    was = box.is_checked()
    box.click()
    shown = other.page.locator('[data-parameter="laser"] input')
    expect(shown).to_be_checked(checked=not was, timeout=5000)
    expect(other.page.locator("#viewers")).to_have_text("2 viewers")
    viewer.dock("regions")
    viewer.page.locator('article[data-region] [title="Remove the region"]').click()
    viewer.wait_for("document.querySelectorAll('article[data-region]').length === 0")
    other.close()
    assert other.errors == []


def test_zoom_goes_to_the_pixel(viewer: Viewer) -> None:
    screen = viewer.panel("/image").locator(".screen")
    box = screen.bounding_box()
    assert box is not None
    viewer.page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.3)
    cursor = viewer.panel("/image").locator(".cursor")
    expect(cursor).to_contain_text("largest of")
    for _ in range(16):
        viewer.page.mouse.wheel(0, -400)
    expect(cursor).not_to_contain_text("largest of", timeout=5000)
    expect(cursor).to_contain_text("Å⁻¹")
    screen.press("0")
    expect(cursor).to_contain_text("largest of", timeout=5000)


def test_data_and_pictures_are_downloads(viewer: Viewer, tmp_path: Path) -> None:
    for entry, ending in (("Picture as PNG", "png"), ("Data as HDF5", "h5"), ("Data as CSV", "csv")):
        viewer.panel("/intensity").locator("header button").click()
        with viewer.page.expect_download() as download:
            viewer.page.locator(f'.menu [role="menuitem"]:has-text("{entry}")').click()
        path = tmp_path / f"data.{ending}"
        download.value.save_as(path)
        assert path.stat().st_size > 1000
    with h5py.File(tmp_path / "data.h5") as file:
        found: list[h5py.Dataset] = []
        file.visititems(lambda _, item: found.append(item) if isinstance(item, h5py.Dataset) else None)
        assert (1000,) in {item.shape for item in found}


def test_curves_of_all_regions_are_a_file_and_each_has_a_color_of_its_own(
    viewer: Viewer, run: PageRun, tmp_path: Path
) -> None:
    first = {"name": "first", "kind": "ring", "image": "/image", "center": [900, 900], "r_min": 0, "r_max": 50}
    run.put("/api/v1/page/regions", {"regions": [first | {"color": "#22b8cf"}]})
    viewer.panel("region:*").locator("canvas").wait_for()
    viewer.tool("Draw a rectangle")
    viewer.drag(0.4, 0.4, 0.5, 0.5)
    regions = viewer.wait_until(lambda: len(run.regions()) == 2 and run.regions(), "the region is drawn")
    assert regions[1]["color"] not in {"#22b8cf", regions[0]["color"]}
    viewer.wait_until(lambda: len(points_of(run, regions[1]["id"])) > 3, "both have points")

    def saved(entry: str, name: str) -> bytes:
        with viewer.page.expect_download() as download:
            viewer.menu("region:*", entry)
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
        return (tmp_path / name).read_bytes()

    rows = list(csv.DictReader(io.StringIO(saved("Data as CSV", "regions.csv").decode())))
    assert [*rows[0]] == ["time_s", "event_number", "first", regions[1]["name"]]
    at = {row["event_number"]: row[regions[1]["name"]] for row in rows}
    alone = {row["event_number"]: row["value"] for row in points_of(run, regions[1]["id"])}
    known = {event: value for event, value in at.items() if value != "nan"}
    assert len(known) > 3
    assert known.items() <= alone.items()
    with h5py.File(io.BytesIO(saved("Data as HDF5", "regions.h5"))) as file:
        assert {"event_number", "first", regions[1]["name"]} <= set(file)
        assert len({dataset.shape for dataset in file.values()}) == 1
    assert saved("Picture as PNG", "Regions.png").startswith(b"\x89PNG")


def test_layout_is_arranged_by_keys_saved_and_there_for_the_next_viewer(
    viewer: Viewer, browser: Browser, run: PageRun
) -> None:
    viewer.wait_for("document.querySelectorAll('article.panel').length > 5")  # the layout grows until all is published
    panel = viewer.panel("/intensity")
    panel.wait_for()
    before = panel.bounding_box()
    panel.focus()
    panel.press("Shift+ArrowDown")
    panel.press("ArrowRight")
    viewer.page.locator('button[title^="Save, load"]').click()
    viewer.page.locator('.menu button:has-text("Save for everybody")').click()
    viewer.wait_for("document.getElementById('toast').textContent === 'layout saved'")
    other = Viewer(browser, run.url)
    other.panel("/intensity").wait_for()
    other.wait_for("document.querySelectorAll('article.panel').length > 5")
    assert before is not None
    other.wait_until(  # panels are made anew while the layout comes
        lambda: (box := other.panel("/intensity").bounding_box()) and box["height"] > before["height"] + 20,
        "the plot is as high for the next viewer",
    )
    other.close()


def test_view_only_link_lets_look_and_change_nothing(viewer: Viewer, browser: Browser, run: PageRun) -> None:
    link = run.link()
    assert "#api_key=view-" in link
    guest = Viewer(browser, link)
    guest.panel("/image").wait_for()
    guest.dock("parameters")
    expect(guest.page.locator('[data-parameter="gain"] input[type="number"]')).to_be_disabled()
    expect(guest.panel("/image").locator('.tools [title^="Draw a rectangle"]')).to_be_hidden()
    guest.close()
    assert guest.errors == []


def test_slow_viewer_slows_neither_the_other_nor_the_run(viewer: Viewer, browser: Browser, run: PageRun) -> None:
    def rate() -> float:
        first = viewer.number("/number_of_event"), time.monotonic()
        viewer.page.evaluate("window.frames_seen = 0")
        viewer.page.evaluate(
            """() => new MutationObserver(() => window.frames_seen++).observe(
                document.querySelector('article.panel[data-paths="/number_of_event"] .tile b'), { childList: true })"""
        )
        viewer.page.wait_for_timeout(4000)
        seen = viewer.page.evaluate("window.frames_seen")
        events = viewer.number("/number_of_event") - first[0]
        assert events / (time.monotonic() - first[1]) > 0.8 * run.rate_hz
        return float(seen) / 4

    alone = rate()
    slow = Viewer(browser, "about:blank")
    session = slow.context.new_cdp_session(slow.page)
    third_generation = {"offline": False, "latency": 300, "downloadThroughput": 50_000, "uploadThroughput": 25_000}
    session.send("Network.enable")
    session.send("Network.emulateNetworkConditions", third_generation)
    slow.page.goto(run.url)
    slow.panel("/image").wait_for(timeout=60_000)
    beside = rate()
    slow.close()
    assert slow.errors == []
    # Over its link come about 1 picture a second: who waited for it would be far below; the second browser costs some.
    assert beside > 0.4 * alone, f"{alone:.1f} Hz alone, {beside:.1f} Hz beside a slow viewer"


def test_page_comes_back_after_the_reducer_was_killed(viewer: Viewer, run: PageRun) -> None:
    viewer.wait_for("document.querySelectorAll('article.panel').length > 5")
    pid = int(run.newest("/reducer_pid"))
    seen = viewer.number("/number_of_event")
    os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 40
    while int(run.newest("/reducer_pid")) == pid and time.monotonic() < end:
        viewer.page.wait_for_timeout(200)
    assert int(run.newest("/reducer_pid")) != pid
    viewer.wait_for_more("/number_of_event", seen)
    expect(viewer.page.locator("#freshness")).to_have_text("live", timeout=15_000)
    expect(viewer.page.locator("#notice")).to_be_hidden()


def test_pictures_of_each_view(viewer: Viewer, browser: Browser, run: PageRun) -> None:
    folder = screenshot_folder(run.folder)
    viewer.tool("Draw a rectangle")
    viewer.drag(0.4, 0.3, 0.55, 0.4)
    viewer.page.wait_for_timeout(2000)
    viewer.page.screenshot(path=folder / "regions.png")
    for name in ("parameters", "health"):
        viewer.dock(name)
        viewer.page.wait_for_timeout(700)
        viewer.page.screenshot(path=folder / f"{name}.png")
    assert viewer.page.locator("article.stream").count() == 1
    cut = "[...document.querySelectorAll('.dock, .dock .wide')].filter((each) => each.scrollWidth > each.clientWidth)"
    assert viewer.page.evaluate(f"{cut}.map((each) => each.innerText)") == []
    viewer.page.locator('[data-dock="health"]').click()
    viewer.page.wait_for_timeout(500)
    viewer.page.screenshot(path=folder / "light.png")
    sizes = {"dark": {"color_scheme": "dark"}, "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True}}
    for name, options in sizes.items():
        other = Viewer(browser, run.url, **options)
        other.panel("/image").wait_for()
        other.page.wait_for_timeout(2000)
        other.page.screenshot(path=folder / f"{name}.png")
        width = other.page.evaluate("document.documentElement.scrollWidth")
        assert width <= other.page.viewport_size["width"], f"{name}: the page is wider than the screen"
        other.close()
        assert other.errors == []
    assert all((folder / f"{name}.png").stat().st_size > 20_000 for name in ("light", "dark", "phone", "health"))
