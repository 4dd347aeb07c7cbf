"""Opens a file or page for the user, where there is a desktop."""

from __future__ import annotations

import os
import shutil
import subprocess


def open_on_desktop(what: str) -> bool:
    """Open a file or address with the user's own program; tell whether there is a desktop to do it on."""
    viewer = shutil.which("xdg-open") or shutil.which("open")
    if not viewer or not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    quiet = subprocess.DEVNULL
    subprocess.Popen([viewer, what], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    return True
