"""Compiled code on disk is not used after one of the files that it was made of has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CALLER = """
from glimt.model.compiled_code import compiled
from called import step

@compiled
def total(n):
    found = 0
    for i in range(n):
        found += step(i)
    return found
"""

CALLED = """
from glimt.model.compiled_code import compiled

@compiled
def step(i):
    return {}
"""


def run(folder: Path) -> tuple[int, int]:
    """Return the total, and how many times compiled code was found on disk."""
    program = "import caller; print(caller.total(4), sum(caller.total.stats.cache_hits.values()))"
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    total, n_hits = map(int, done.stdout.split())
    return total, n_hits


def test_a_change_in_a_called_file_is_seen_and_without_one_nothing_is_compiled_again(tmp_path: Path) -> None:
    (tmp_path / "caller.py").write_text(CALLER)
    (tmp_path / "called.py").write_text(CALLED.format("i"))
    assert run(tmp_path) == (6, 0)
    assert run(tmp_path) == (6, 1)
    (tmp_path / "called.py").write_text(CALLED.format("i * 10"))
    later = (tmp_path / "caller.py").stat().st_mtime + 10
    os.utime(tmp_path / "called.py", (later, later))
    assert run(tmp_path) == (60, 0)
