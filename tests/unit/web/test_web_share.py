"""How large the browser page and its server may become: glimt processes data, and shows it besides."""

from __future__ import annotations

from pathlib import Path

import glimt

SOURCES = Path(glimt.__file__).parent
WEB = SOURCES / "web"
CODE = {".py", ".ts", ".css"}
LARGEST_SHARE = 0.1

# Built from other files, or fetched; and tests, which stand beside the sources here and outside of them in Python.
NOT_COUNTED = [WEB / "static", *(WEB / "frontend" / name for name in ("node_modules", "build", "test"))]


def n_lines(folder: Path) -> int:
    """Return the lines of code of a folder, Python, TypeScript and CSS."""
    total = 0
    for path in folder.rglob("*"):
        if path.suffix in CODE and path.is_file() and not any(path.is_relative_to(each) for each in NOT_COUNTED):
            total += path.read_bytes().count(b"\n")
    return total


def test_web_is_at_most_a_tenth_of_the_code() -> None:
    web, everything = n_lines(WEB), n_lines(SOURCES)
    assert n_lines(WEB / "frontend") > 1000, "the page's sources were not found"
    assert web <= LARGEST_SHARE * everything, (
        f"web/ has {web:,} of {everything:,} lines, {web / everything:.1%}; at most {LARGEST_SHARE:.0%} may be. "
        "What is neither HTTP nor browser belongs in another room: kernels, pipeline, model, stores"
    )
