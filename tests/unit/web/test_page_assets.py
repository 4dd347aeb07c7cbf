"""The built page belongs to its sources, and loads nothing from elsewhere; checked without Node."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import glimt.web

WEB = Path(glimt.web.__file__).parent
FRONTEND, STATIC = WEB / "frontend", WEB / "static"
BUILT = ["app.css", "app.js", "index.html", "uPlot-LICENSE.txt"]


def hash_of_sources() -> str:
    """Return what ``frontend/build.mjs`` writes into what it builds."""
    names = ["package-lock.json", "index.html", *(f"src/{path.name}" for path in sorted((FRONTEND / "src").iterdir()))]
    found = hashlib.sha256()
    for name in names:
        found.update(f"{name}\0".encode() + (FRONTEND / name).read_bytes() + b"\0")
    return found.hexdigest()


def test_built_files_are_made_of_the_present_sources() -> None:
    told = f"/* glimt page; sources {hash_of_sources()} */"
    for name in ("app.js", "app.css"):
        first = (STATIC / name).read_text().partition("\n")[0]
        assert first == told, f"{name} is not built from these sources: run ./x page"
    assert (STATIC / "index.html").read_bytes() == (FRONTEND / "index.html").read_bytes()


def test_nothing_is_loaded_from_elsewhere() -> None:
    for name in ("app.js", "app.css", "index.html"):
        addresses = set(re.findall(r"(?:https?|wss?):?//[^\s\"'`)]+", (STATIC / name).read_text()))
        # The name space of SVG, and where uPlot says what it is.
        assert addresses <= {"http://www.w3.org/2000/svg", "https://github.com/leeoniya/uPlot"}, name


def test_page_has_no_script_or_style_of_its_own() -> None:
    text = (STATIC / "index.html").read_text()
    assert re.findall(r"<script[^>]*>", text) == ['<script src="static/app.js" defer>']
    assert "<style" not in text
    assert not re.search(r"\son\w+=|style=", text)


def test_no_published_text_can_become_html() -> None:
    for path in (FRONTEND / "src").glob("*.ts"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", path.read_text()), (
            path.name
        )


def test_the_only_library_is_uplot_and_its_licence_is_shipped() -> None:
    package = json.loads((FRONTEND / "package.json").read_text())
    assert list(package["dependencies"]) == ["uplot"]
    assert sorted(path.name for path in STATIC.iterdir()) == BUILT
    assert "Permission is hereby granted, free of charge" in (STATIC / "uPlot-LICENSE.txt").read_text()


def test_lock_file_names_no_host() -> None:
    lock = json.loads((FRONTEND / "package-lock.json").read_text())
    assert not [name for name, entry in lock["packages"].items() if "resolved" in entry]
    assert all("integrity" in entry for name, entry in lock["packages"].items() if name)
