"""The page in a real browser, by fingers on a phone and by keys alone."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from browser import PageRun, Viewer, screenshot_folder

pytest.importorskip("playwright", reason="no Playwright: it is in the development environment")

from playwright.sync_api import expect

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
FOCUSABLE = 'button:not(:disabled), a[href], input:not(:disabled), select:not(:disabled), summary, [tabindex="0"]'
NAMELESS = f"""() => [...document.querySelectorAll('{FOCUSABLE}')].filter((each) => each.checkVisibility() && ![
    each.getAttribute("aria-label"), each.title, ...[...(each.labels ?? [])].map((label) => label.textContent),
    /BUTTON|A|SUMMARY/.test(each.tagName) ? each.textContent : ""].some((name) => name?.trim())
).map((each) => each.outerHTML.slice(0, 150))"""
UNREACHED = f"""() => [...document.querySelectorAll('{FOCUSABLE}')]
    .filter((each) => each.checkVisibility() && !each.wasReached).map((each) => each.outerHTML.slice(0, 150))"""
REACHED = """() => {
    const at = document.activeElement;
    if (!at || at === document.body) return null;
    at.wasReached = true;
    const style = getComputedStyle(at);
    const isSeen = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1
        && at.checkVisibility({ checkOpacity: true });
    return isSeen ? "" : at.outerHTML.slice(0, 150);
}"""


def path_of(viewer: Viewer, *places: tuple[float, float], steps: int = 8) -> list[tuple[float, float]]:
    """Return a way over the image, in pixels of the window, from places that are parts of it."""
    box = viewer.panel("/image").locator(".screen[data-event]").bounding_box()
    assert box is not None
    ways = np.concatenate([np.linspace(a, b, steps) for a, b in pairwise(places)])
    return [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in ways.tolist()]


def row_under_finger(viewer: Viewer, x: float, y: float) -> int:
    """Return the row that the image names while a finger is there."""
    session = viewer.context.new_cdp_session(viewer.page)
    for kind, place in zip(("touchStart", "touchMove"), path_of(viewer, (x, y), (x, y + 0.005), steps=2), strict=True):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": place[0], "y": place[1]}]})
    said = viewer.wait_until(viewer.panel("/image").locator(".cursor").inner_text, "the image says where the finger is")
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    return int(said.split()[1])


def test_fingers_draw_move_zoom_and_scroll_on_a_phone(look: Callable[..., Viewer], run: PageRun) -> None:
    phone = look(**PHONE)
    screen = phone.panel("/image").locator(".screen")
    screen.scroll_into_view_if_needed()
    phone.tool("Draw a rectangle")
    phone.touch(path_of(phone, (0.4, 0.4), (0.6, 0.6)), path_of(phone, (0.6, 0.7), (0.7, 0.8)))
    assert run.regions() == [], "two fingers draw nothing"
    phone.touch(path_of(phone, (0.4, 0.4), (0.6, 0.6)))
    (drawn,) = phone.wait_until(lambda: run.regions(), "a region is drawn")
    expect(phone.page.locator(".dock")).to_be_hidden()
    phone.wait_for_tile("/n_regions_seen", "1")

    phone.touch(path_of(phone, (0.5, 0.5), (0.7, 0.5)))
    moved = phone.wait_until(lambda: [each for each in run.regions() if each["bounds"] != drawn["bounds"]], "it moves")
    assert moved[0]["bounds"][0] == drawn["bounds"][0]
    assert moved[0]["bounds"][2] > drawn["bounds"][2] + 100

    top = "document.querySelector('.grid').scrollTop"

    def scrolled() -> bool:  # one gesture does it; one that comes while the layout still grows may miss the image
        before = phone.page.evaluate(top)
        phone.touch(path_of(phone, (0.15, 0.9), (0.15, 0.6)))
        phone.page.wait_for_timeout(500)
        return bool(phone.page.evaluate(top) > before + 20)

    phone.wait_until(scrolled, "a finger on the image scrolls the page")
    assert run.regions()[0]["bounds"] == moved[0]["bounds"]

    screen.scroll_into_view_if_needed()
    row = row_under_finger(phone, 0.5, 0.25)
    phone.touch(path_of(phone, (0.5, 0.4), (0.5, 0.1)), path_of(phone, (0.5, 0.6), (0.5, 0.9)))
    nearer = row_under_finger(phone, 0.5, 0.25)
    assert nearer > row + 200, f"two fingers zoom: row {row}, then {nearer}"
    phone.touch(path_of(phone, (0.2, 0.3), (0.2, 0.6)))
    assert row_under_finger(phone, 0.5, 0.25) < nearer - 50, "one finger pans what is zoomed"


def test_docks_menus_and_dialogs_fit_on_a_phone(look: Callable[..., Viewer], run: PageRun) -> None:
    phone = look(**PHONE)
    off_screen = """() => [...document.querySelectorAll(
        "button, input, select, h3, article, th, td, dt, dd"
    )].filter((each) => {
        const { left, right, width } = each.getBoundingClientRect();
        return width && each.checkVisibility() && (left < -1 || right > innerWidth + 1);
    }).map((each) => each.outerHTML.slice(0, 100))"""
    phone.page.screenshot(path=screenshot_folder(run.folder) / "phone-plots.png")
    for name in ("regions", "parameters", "health"):
        phone.page.locator(f'[data-dock="{name}"]').tap()
        expect(phone.page.locator(f'[data-dock="{name}"]')).to_have_attribute("aria-pressed", "true")
        assert phone.page.evaluate(off_screen) == []
        phone.page.screenshot(path=screenshot_folder(run.folder) / f"phone-{name}.png")
    phone.page.locator('[data-dock="parameters"]').tap()
    last = phone.page.locator("article.panel").last
    phone.page.evaluate("document.querySelector('.grid').scrollTo(0, 1e6)")
    box, dock = last.bounding_box(), phone.page.locator(".dock").bounding_box()
    assert box is not None
    assert dock is not None
    assert box["y"] + box["height"] <= dock["y"], "the last plot can be looked at above the dock"
    mode = phone.page.locator('[data-parameter="mode"]')
    mode.locator("select").select_option("careful")
    expect(mode.locator("output")).to_contain_text("applied from event", timeout=10_000)
    phone.page.locator('[data-dock="parameters"]').tap()
    phone.panel("/image").locator("header button").tap()
    menu = phone.page.locator(".menu").bounding_box()
    assert menu is not None
    assert min(menu["x"], menu["y"]) >= 0
    assert menu["x"] + menu["width"] <= 390
    assert menu["y"] + menu["height"] <= 844
    assert phone.page.evaluate("document.documentElement.scrollWidth") == 390


def test_keys_alone_reach_every_control_and_each_has_a_name(look: Callable[..., Viewer], run: PageRun) -> None:
    viewer = look()
    press = viewer.page.keyboard.press
    viewer.tool("Draw a ring")
    viewer.panel("/image").locator(".screen").press("Enter")
    (ring,) = viewer.wait_until(lambda: run.regions(), "Enter places a region")
    for name in ("parameters", "health", "regions"):
        viewer.dock(name)
        assert viewer.page.evaluate(NAMELESS) == []
    viewer.wait_for("document.querySelector('article.card') !== null")
    viewer.page.evaluate("getSelection().removeAllRanges() ?? document.activeElement.blur()")
    for _ in range(300):
        press("Tab")
        unseen = viewer.page.evaluate(REACHED)
        if unseen is None:
            break
        assert unseen == "", "it has the focus, and nothing shows it"
    press("Tab")  # the dock's button that was clicked is where the first round began
    while viewer.page.evaluate(REACHED) is not None and viewer.page.evaluate(UNREACHED):
        press("Tab")
    assert viewer.page.evaluate(UNREACHED) == []

    viewer.panel("/image").locator(".screen").focus()
    press("ArrowRight")
    press("Shift+ArrowDown")
    place = [ring["center"][0] + 10, ring["center"][1] + 1]
    viewer.wait_until(lambda: run.regions()[0]["center"] == place, "arrows move the region")
    card = viewer.page.locator("article[data-region]")
    card.locator('select[aria-label="quantity"]').focus()
    press("m")
    viewer.wait_until(lambda: run.regions()[0]["quantity"] == "mean", "the choice is made by its letter")
    expect(card.locator('select[aria-label="quantity"]')).to_be_focused()

    viewer.panel("/image").focus()
    press("Enter")
    menu = viewer.page.locator('[role="menu"]')
    expect(menu.locator('[role="menuitem"]').first).to_be_focused()
    for key in ("Escape", "Tab"):
        press(key)
        expect(menu).to_have_count(0)
        button = viewer.page.locator('button[title^="Save, load"]')
        if key == "Escape":
            expect(viewer.panel("/image")).to_be_focused()
            button.press("Enter")
            expect(menu).to_have_count(1)
    viewer.page.locator('button[title="Add a plot"]').press("Enter")
    expect(viewer.page.locator("dialog")).to_be_visible()
    press("Escape")
    expect(viewer.page.locator("dialog")).to_have_count(0)
