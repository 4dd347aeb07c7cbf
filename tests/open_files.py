"""Which files, pipes and sockets this process has open."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def open_files() -> set[str]:
    """Return the paths of all open files, and the numbers of all open pipes and sockets."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile, or what lists the folder
            found.add(str(link.readlink()))
    return found


def open_below(folder: Path) -> list[str]:
    """Return the paths below a folder that are open."""
    return sorted(path for path in open_files() if path.startswith(f"{folder}/"))
