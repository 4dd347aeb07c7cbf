"""A live run as a process of its own, and a real browser that looks at its page."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
LIMIT_S = 60.0

BEAMLINE = """
name = "test-run"
[pipeline]
worker = "page_analysis:Worker"
reducer = "page_analysis:Reducer"
[streams.i0]
transport = "zmq-sub"
address = "tcp://127.0.0.1:*"
bind = true
protocol = "albaem"
[engine]
use = "local:2"
[control]
port = 0
view_port = 0
"""


class PageRun:
    """A run with its page; `start` and `stop` it, also more than once."""

    def __init__(self, folder: Path, *, rate_hz: float = 20.0, token: str = "") -> None:
        self.folder, self.rate_hz, self.token = folder, rate_hz, token
        self.url = ""
        self._processes: list[subprocess.Popen[bytes]] = []
        shutil.copy(Path(__file__).with_name("page_analysis.py"), folder)

    def start(self) -> None:
        """Start it, and a device that sends without end; it has the port that it had before."""
        port = self.url.rpartition(":")[2] or "0"
        text = BEAMLINE.replace("\nport = 0", f"\nport = {port}") + (f'token = "{self.token}"\n' if self.token else "")
        (self.folder / "beamline.toml").write_text(text)
        printed = self.begin("control on", "run", "beamline.toml")
        address = self._until(self._address, printed.read_text)
        options = [
            "--address",
            address,
            "--connect",
            "--series",
            "0",
            "--frames",
            "100000",
            "--rate",
            str(self.rate_hz),
        ]
        self._processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "glimt", "simulate", "albaem", *options],
                cwd=self.folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )

    def begin(self, said: str, *command: str) -> Path:
        """Start a command of glimt and wait until it says its address; return the file with what it prints."""
        printed = self.folder / "run.txt"
        with printed.open("wb") as out:
            begun = subprocess.Popen([sys.executable, "-m", "glimt", *command], cwd=self.folder, stdout=out, stderr=out)
        self._processes.append(begun)
        pattern = said + r" (http://127\.0\.0\.1:\d+)"
        self.url = self._until(lambda: re.search(pattern, printed.read_text()), printed.read_text)[1]
        return printed

    def stop(self) -> None:
        """End all."""
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def _address(self) -> str:
        address = str(self.get("/api/v1/sources").get("i0", {}).get("address", ""))
        return "" if address.endswith("*") else address  # no port is taken yet

    def get(self, route: str) -> Any:
        """Return what a route answers, from JSON."""
        request = urllib.request.Request(self.url + route, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def put(self, route: str, content: object) -> None:
        """Send JSON to a route."""
        body = json.dumps(content).encode()
        request = urllib.request.Request(
            self.url + route, method="PUT", data=body, headers={"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()

    def link(self) -> str:
        """Return a new view-only link."""
        headers = {"Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(self.url + "/api/v1/page/view-link", method="POST", data=b"", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(json.loads(answer.read())["url"])

    def regions(self) -> list[dict[str, Any]]:
        """Return the regions that all viewers share."""
        return list(self.get("/api/v1/page/regions")["regions"])

    def newest(self, path: str) -> float:
        """Return the newest value of a published number."""
        with urllib.request.urlopen(f"{self.url}/api/v1/page/history{path}.csv", timeout=10) as answer:
            return float(answer.read().decode().strip().splitlines()[-1].split(",")[-1])

    @staticmethod
    def _until(found: Any, about: Any) -> Any:
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            try:
                if answer := found():
                    return answer
            except OSError:
                pass
            time.sleep(0.05)
        pytest.fail(f"the run does not start: {about()}")


class Relay:
    """A wire between browser and server that can be cut and mended."""

    def __init__(self, url: str) -> None:
        self._to = "127.0.0.1", int(url.rpartition(":")[2])
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self._lock = threading.Lock()
        self.is_cut = False
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End all connections; new ones are closed at once."""
        with self._lock:
            self.is_cut = True
            for end in self._ends:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self._ends.clear()

    def close(self) -> None:
        """End it."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                with self._lock:
                    if self.is_cut:
                        near.close()
                        continue
                    far = socket.create_connection(self._to)
                    self._ends += near, far
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    @staticmethod
    def _pass(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while part := source.recv(1 << 16):
                sink.sendall(part)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)
        source.close()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium; skip the test where it is missing."""
    if not CHROMIUM.exists():
        pytest.skip(f"no browser: {CHROMIUM} is not installed (apt install chromium)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


class Viewer:
    """One page in a browser of its own profile; `errors` has all that its console complained about."""

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        options.setdefault("viewport", {"width": 1500, "height": 950})
        self.context = browser.new_context(**options)
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on(
            "console",
            lambda message: self.errors.append(message.text) if message.type in {"error", "warning"} else None,
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)

    def panel(self, path: str) -> Any:
        """Return the plot of a path."""
        return self.page.locator(f'article.panel[data-paths="{path}"]').first

    def tile(self, path: str) -> str:
        """Return what the tile of a number says."""
        return str(self.panel(path).locator(".tile b").inner_text()).replace("\u2009", "")

    def number(self, path: str) -> int:
        """Return what the tile of a whole number says, as soon as it says something."""
        place = json.dumps(f'article.panel[data-paths="{path}"] .tile b')
        self.wait_for(f"/\\d/.test(document.querySelector({place})?.textContent)")
        return int(self.tile(path))

    def wait_for_more(self, path: str, number: int) -> None:
        """Wait until the tile of a whole number says more than that."""
        end = time.monotonic() + 20.0
        while self.number(path) <= number:
            assert time.monotonic() < end, f"{path} stays at {self.tile(path)}, not above {number}; {self.errors}"
            self.page.wait_for_timeout(50)

    def wait_for(self, expression: str, timeout_s: float = 20.0) -> None:
        """Wait until an expression of JavaScript is true."""
        # Playwright's own way of waiting needs eval, which the page's policy forbids.
        end = time.monotonic() + timeout_s
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"not in {timeout_s:g} s: {expression}; {self.errors}"
            self.page.wait_for_timeout(25)

    def wait_until(self, found: Callable[[], Any], about: str) -> Any:
        """Wait for something that is true, outside the browser too; return it."""
        end = time.monotonic() + 20.0
        while not (answer := found()):
            assert time.monotonic() < end, f"not in 20 s: {about}; {self.errors}"
            self.page.wait_for_timeout(50)
        return answer

    def wait_for_tile(self, path: str, text: str, timeout_s: float = 20.0) -> None:
        """Wait until the tile of a number says so."""
        place = json.dumps(f'article.panel[data-paths="{path}"] .tile b')
        self.wait_for(f"document.querySelector({place})?.textContent === {json.dumps(text)}", timeout_s)

    def drag(self, x: float, y: float, to_x: float, to_y: float) -> None:
        """Pull the mouse over the image; places are parts of its width and height."""
        screen = self.panel("/image").locator(".screen[data-event]")  # it is drawn
        screen.scroll_into_view_if_needed()
        box = screen.bounding_box()
        assert box is not None
        at = [(box["x"] + a * box["width"], box["y"] + b * box["height"]) for a, b in ((x, y), (to_x, to_y))]
        self.page.mouse.move(*at[0])
        self.page.mouse.down()
        self.page.mouse.move(*at[1], steps=6)
        self.page.mouse.up()

    def tool(self, name: str) -> None:
        """Choose a tool of the image."""
        self.panel("/image").locator(f'.tools [title^="{name}"]').click()

    def touch(self, *paths: list[tuple[float, float]]) -> None:
        """Touch the screen with a finger a path, all at once; places in pixels of the page's window."""
        session = self.context.new_cdp_session(self.page)

        def send(kind: str, step: int) -> None:
            points = [{"x": path[step][0], "y": path[step][1], "id": finger} for finger, path in enumerate(paths)]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        send("touchStart", 0)
        for step in range(1, len(paths[0])):
            send("touchMove", step)
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        session.detach()

    def menu(self, path: str, entry: str) -> None:
        """Choose an entry of the menu of a plot."""
        self.panel(path).locator("header button").click()
        self.page.locator(f'.menu [role="menuitem"]:has-text("{entry}")').click()

    def dock(self, name: str) -> None:
        """Open a page of the dock."""
        tab = self.page.locator(f'[data-dock="{name}"]')
        if tab.get_attribute("aria-pressed") != "true":
            tab.click()

    def close(self) -> None:
        """Close it."""
        self.context.close()


@contextmanager
def looking(browser: Browser, run: PageRun) -> Iterator[Callable[..., Viewer]]:
    """Give a function that begins a viewer of a run; in the end all are closed, and none may have complained."""
    viewers: list[Viewer] = []

    def begin(url: str = "", **options: Any) -> Viewer:
        viewers.append(Viewer(browser, url or run.url, **options))
        viewers[-1].panel("/image").wait_for(timeout=30_000)
        viewers[-1].wait_for("document.querySelectorAll('article.panel').length > 5")
        return viewers[-1]

    run.put("/api/v1/page/regions", {"regions": []})
    yield begin
    for viewer in viewers:
        viewer.close()
        assert viewer.errors == []


def screenshot_folder(fallback: Path) -> Path:
    """Return where pictures go: ``$GLIMT_SCREENSHOTS``, else the test's own folder."""
    folder = Path(os.environ.get("GLIMT_SCREENSHOTS") or fallback)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
