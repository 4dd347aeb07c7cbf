"""The live half of ``glimt demo``: a detector and an electrometer that are not there, and a run that looks at them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from glimt.cli.demo.desktop import open_on_desktop
from glimt.cli.stop_signals import stop_on_signals
from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from glimt.cli.demo.picture import Region

_LEAD_S = 1.5
_EXIT_S = 5.0
_ALONE_S = 60
"""A device ends if nobody receives for so long [s]: a demonstration that was killed leaves nothing behind."""
_BEAM_PERIOD = 97

_BEAMLINE = """\
# Written by `glimt demo`: what it runs. Copy it, and write your own classes in place of these.
name = "demo"

[pipeline]
worker = "{worker}"
reducer = "{reducer}"

[streams.detector]                      # a DECTRIS detector; it connects to us, so that any free port will do
transport = "zmq-pull"
address = "tcp://127.0.0.1:*"
bind = true
protocol = "dectris-v1"

[streams.i0]                            # an electrometer: how strong the beam is
transport = "zmq-sub"
address = "tcp://127.0.0.1:*"
bind = true
protocol = "albaem"

[engine]
use = "local:{n_workers}"

[parameters]
{parameters}

[control]
port = {port}
view_port = {view_port}
"""


@dataclass(frozen=True, slots=True)
class LiveDemo:
    """What the live demonstration does.

    Attributes
    ----------
    folder : Path
        Where its beamline file goes.
    shape : (int, int)
        Rows and columns of the detector [px].
    rate_hz : float
        Triggers a second.
    n_frames : int
        Of each series.
    n_workers : int
        Worker processes.
    n_scans : int or None
        End after so many; without it, go on until Ctrl-C.
    port, view_port : int
        Of control and live view; 0 is any free one.
    """

    folder: Path
    shape: tuple[int, int]
    rate_hz: float
    n_frames: int
    n_workers: int
    n_scans: int | None
    port: int
    view_port: int


def run_live(
    demo: LiveDemo, *, worker: str, reducer: str, values: Mapping[str, int], region: Region, open_page: bool = False
) -> bool:
    """Run it; tell whether all went well.

    With ``open_page`` the page is opened in a browser, if there is a desktop and this is a terminal.

    Raises
    ------
    UsageError
        A file cannot be written, a port is taken, or a simulator does not run.
    """
    from glimt.app.beamline_file import load_beamline
    from glimt.app.live.session import LiveSession
    from glimt.cli.run import StatusLines, print_account
    from glimt.web.page_store import FILE_NAME

    path = demo.folder / "beamline.toml"
    text = _BEAMLINE.format(
        worker=worker,
        reducer=reducer,
        n_workers=demo.n_workers,
        parameters="\n".join(f"{name} = {value}" for name, value in values.items()),
        port=demo.port,
        view_port=demo.view_port,
    )
    try:
        demo.folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        _draw_region(demo.folder / FILE_NAME, region)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}; choose another --folder") from None
    session = LiveSession(load_beamline(path))
    with stop_on_signals() as stop, session:
        addresses = {stream["name"]: stream["address"] for stream in session.run.report["streams"]}
        rows, columns = demo.shape
        print(f"demo: a {rows} x {columns} detector and an electrometer at {demo.rate_hz:g} Hz", file=sys.stderr)
        area = f"rows {region.slow_min} to {region.slow_max - 1}, columns {region.fast_min} to {region.fast_max - 1}"
        print(f"demo: {demo.n_workers} workers follow a powder ring where it moves, {area}", file=sys.stderr)
        print(f"demo: what is run is in {path}; Ctrl-C ends it", file=sys.stderr)
        print(f"demo: look at it on {session.url}/", file=sys.stderr, flush=True)
        if open_page and sys.stdout.isatty():
            open_on_desktop(f"{session.url}/")
        lines = StatusLines(session)
        with _simulators(demo, addresses):
            for _ in session.watch(stop.is_set, n_scans=demo.n_scans):
                lines.show()
        return print_account(session)


def _draw_region(file: Path, region: Region) -> None:
    """Let a region be there from the beginning, unless somebody has drawn others before."""
    if file.exists():
        return
    from glimt.web.page_region import PageRegion
    from glimt.web.page_store import PageStore

    bounds = (region.slow_min, region.slow_max, region.fast_min, region.fast_max)
    drawn = PageRegion(
        name="moving ring", kind="rectangle", image="/image", color="#22b8cf", denominator="/i0", bounds=bounds
    )
    PageStore(file).put(drawn, who="demo")


@contextmanager
def _simulators(demo: LiveDemo, addresses: Mapping[str, str]) -> Iterator[None]:
    """Let the two devices run, in step, each in a process of its own."""
    shared = [
        "--connect", "--series", "0", "--series-gap", "2", "--frames", str(demo.n_frames),
        "--rate", str(demo.rate_hz), "--beam-period", str(_BEAM_PERIOD), "--start-at", str(time.time() + _LEAD_S),
        "--timeout", str(_ALONE_S),
    ]  # fmt: skip
    detector = ["--shape", "{}x{}".format(*demo.shape), "--compression", "bslz4", "--header-detail", "all"]
    processes = [
        _start(["dectris-v1", "--address", addresses["detector"], *shared, *detector]),
        _start(["albaem", "--address", addresses["i0"], *shared]),
    ]
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(timeout=_EXIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


# Linux ends it with the demonstration: an electrometer publishes whether somebody listens or not, for ever.
_DEVICE = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)
if os.getppid() == int(sys.argv.pop(1)):
    from glimt.cli import main
    main()
"""


def _start(arguments: list[str]) -> subprocess.Popen[bytes]:
    # In a session of its own: Ctrl-C is for the demonstration, which ends its devices after what they sent is counted.
    return subprocess.Popen(
        [sys.executable, "-c", _DEVICE, str(os.getpid()), "simulate", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
