"""The finder runs in a process of its own: this one must keep its import system."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> subprocess.CompletedProcess[str]:
    code = "from glimt.compat.aliases import install_aliases; install_aliases()\n" + code
    return subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "statement",
    [
        "from dranspose.middlewares.stream1 import parse",
        "from dranspose.middlewares import contrast, xspress, sardana, lecroy, pcap, eiger_legacy",
        "from dranspose.middlewares.positioncap import PositioncapParser",
        "from dranspose.data.stream1 import Stream1Data, Stream1Start, Stream1End",
        "from dranspose.data import contrast, xspress3, sardana, lecroy, pcap, positioncap, albaem, eiger_legacy",
        "from dranspose.event import EventData, StreamData, ResultData, InternalWorkerMessage",
        "from dranspose.parameters import StrParameter, IntParameter, FloatParameter, BoolParameter, BinaryParameter",
        "from dranspose.protocol import StreamName, WorkerName, ParameterName, WorkParameter, VirtualWorker",
        "from dranspose.helpers.h5dump import dump",
        "import azint; azint.detector.Detector; azint.Poni; azint.AzimuthalIntegrator",
        "import dranspose.data.stream1 as s, glimt.codecs.stins as c; assert s.Stream1Data is c.StinsImage",
        "import dranspose.event, glimt.compat.dranspose.event as ours; assert dranspose.event is ours",
        "import dranspose.event; assert dranspose.event.__spec__.name == 'glimt.compat.dranspose.event'",
    ],
)
def test_names_resolve_to_ours(statement: str) -> None:
    done = run(statement)
    assert done.returncode == 0, done.stderr


def test_unknown_submodules_are_not_found() -> None:
    done = run("import dranspose.nothing")
    assert "ModuleNotFoundError: No module named 'dranspose.nothing'" in done.stderr


def test_an_installed_package_of_the_name_comes_first() -> None:
    code = """
import sys, tempfile, pathlib
folder = pathlib.Path(tempfile.mkdtemp())
(folder / "dranspose").mkdir()
(folder / "dranspose" / "__init__.py").write_text("real = True")
sys.path.insert(0, str(folder))
import dranspose
assert dranspose.real
try:
    import dranspose.event
except ModuleNotFoundError:
    sys.exit(0)
sys.exit("ours was mixed into the real one")
"""
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_without_the_finder_there_is_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", "import glimt, dranspose"], capture_output=True, check=False)
    assert done.returncode != 0
