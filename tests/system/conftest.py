"""What tests in a real browser share: the browser, a live run with a page, and viewers of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from browser import PageRun, Viewer, chromium, looking

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def run(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageRun]:
    """Give a run that is looked at, in processes of its own."""
    run = PageRun(tmp_path_factory.mktemp("page"))
    try:
        run.start()
        yield run
    finally:
        run.stop()


@pytest.fixture
def look(browser: Browser, run: PageRun) -> Iterator[Callable[..., Viewer]]:
    """Give what opens another viewer of the run."""
    with looking(browser, run) as begin:
        yield begin
