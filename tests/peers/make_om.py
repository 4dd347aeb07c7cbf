"""Make an environment with OM (OnDA Monitor), which glimt's peaks are compared with; prints its Python.

    python tests/peers/make_om.py [FOLDER]

OM is under the GPL: it is installed from the package registry into an environment of its own, run there as a program,
and neither imported by glimt nor part of it. Its source distribution takes a C++ compiler and, because it is of 2023, a
Python up to 3.12 and the tools of that year. An environment that is there already is used as it is.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "build" / "peer-om"
STEPS = (
    ["numpy<2", "cython<3", "setuptools<70", "wheel"],
    ["--no-build-isolation", "ondamonitor==23.8.3"],
)


def has_om(python: Path) -> bool:
    """Tell whether a Python can import OM."""
    wanted = [str(python), "-W", "ignore", "-c", "import om.algorithms.crystallography"]
    return python.exists() and subprocess.run(wanted, capture_output=True, timeout=300).returncode == 0


def make(folder: Path = FOLDER) -> Path:
    """Return the Python of the environment, made if need be.

    Raises
    ------
    RuntimeError
        It cannot be made here; the text has the end of what pip said.
    """
    python = folder / "bin" / "python"
    if has_om(python):
        return python
    venv.create(folder, with_pip=True, clear=True)
    for step in STEPS:
        wanted = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *step]
        done = subprocess.run(wanted, capture_output=True, text=True, timeout=1800)
        if done.returncode:
            raise RuntimeError(f"OM cannot be installed into {folder}: {done.stderr.strip()[-800:]}")
    return python


def main() -> None:
    try:
        sys.stdout.write(f"{make(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)}\n")
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
