"""How old is what is on the screen: from ``publish`` to the pixel, in a real browser.

The processes of ``benchmarks/page.py`` publish and serve ten times a second: ten tiles, a curve of 1,000 points and a
2048 x 2048 uint16 image. Chromium shows all of it in 1500 x 950 pixels and notes, after the frame in which an image was
drawn, which event it was. Further viewers only receive; or are browsers as well, which share the two cores.

    python benchmarks/page_browser.py [--browsers 1 5] [--receivers 0 4] [--seconds 15]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from page import ask, look, publish, serve

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = "/usr/bin/chromium"
WARM_UP_S = 4.0

NOTE_WHAT_IS_DRAWN = """() => {
    window.drawn = [];
    const screen = document.querySelector('article.panel[data-paths="/image"] .screen');
    // The second animation frame begins when the first, with the picture in it, has been handed over to be shown.
    new MutationObserver(() => {
        const event = Number(screen.dataset.event);
        requestAnimationFrame(() => requestAnimationFrame(() => window.drawn.push([event, Date.now() / 1000])));
    }).observe(screen, { attributeFilter: ["data-event"] });
}"""


def open_page(browser: Browser, url: str) -> Page:
    """Open the page in a profile of its own and wait until it draws the image."""
    page = browser.new_context(viewport={"width": 1500, "height": 950}).new_page()
    page.goto(url)
    page.locator('article.panel[data-paths="/image"] .screen[data-event]').wait_for()
    return page


def measure(browser: Browser, url: str, n_browsers: int, n_receivers: int, seconds: float) -> list[list[Any]]:
    """Return for each browser which events it drew, and when."""
    pages = [open_page(browser, url) for _ in range(n_browsers)]
    receivers = threading.Thread(
        target=lambda: asyncio.run(look(url, n_receivers, seconds + WARM_UP_S)) if n_receivers else None
    )
    receivers.start()
    pages[0].wait_for_timeout(WARM_UP_S * 1000)
    for page in pages:
        page.evaluate(NOTE_WHAT_IS_DRAWN)
    pages[0].wait_for_timeout(seconds * 1000)
    drawn = [list(page.evaluate("window.drawn")) for page in pages]
    receivers.join()
    for page in pages:
        page.context.close()
    return drawn


def main() -> None:
    """Measure and print."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--browsers", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--receivers", type=int, nargs="+", default=[0, 4])
    parser.add_argument("--seconds", type=float, default=15.0)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    reducer, its_end = context.Pipe()
    context.Process(target=publish, args=(its_end,), daemon=True).start()
    view_url = reducer.recv()
    hub, its_end = context.Pipe()
    context.Process(target=serve, args=(its_end, view_url), daemon=True).start()
    url = hub.recv()
    print("browsers  receivers  drawn [1/s]  median ms   95 % ms  CPU page  CPU reducer")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for n_browsers in options.browsers:
            for n_receivers in options.receivers if n_browsers == 1 else [0]:
                before, began = (ask(hub), ask(reducer)), time.monotonic()
                drawn = measure(browser, url, n_browsers, n_receivers, options.seconds)
                elapsed = time.monotonic() - began
                cpu = [(after - start) / elapsed for after, start in zip((ask(hub), ask(reducer)), before, strict=True)]
                reducer.send("sent")
                sent = reducer.recv()
                ages = [1000 * (when - sent[int(event)]) for events in drawn for event, when in events]
                rate = statistics.mean((len(events) - 1) / (events[-1][1] - events[0][1]) for events in drawn)
                print(
                    f"{n_browsers:8}  {n_receivers:9}  {rate:11.1f}  {statistics.median(ages):9.0f}"
                    f"  {np.percentile(ages, 95):8.0f}  {cpu[0]:8.1%}  {cpu[1]:11.1%}",
                    flush=True,
                )
        browser.close()
    for connection in (hub, reducer):
        connection.send(None)


if __name__ == "__main__":
    main()
