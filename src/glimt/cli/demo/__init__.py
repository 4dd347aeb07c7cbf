"""``glimt demo``: a simulated detector, looked at live; or recorded, analyzed and drawn."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glimt.cli.amounts import parse_shape, size_text
from glimt.cli.demo.desktop import open_on_desktop
from glimt.cli.stop_signals import stop_on_signals

if TYPE_CHECKING:
    from glimt.app.demo import DemoPaths
    from glimt.cli.demo.picture import Region

WORKER = "glimt.cli.demo.analysis:PowderWorker"
REDUCER = "glimt.cli.demo.analysis:PowderReducer"
LIVE_WORKER = "glimt.cli.demo.live_analysis:LiveWorker"
LIVE_REDUCER = "glimt.cli.demo.live_analysis:LiveReducer"
STRONG_COUNTS = 60
RATE_HZ = 100.0
_LONGEST_S = 3.0
_RECORDED_FRAMES, _LIVE_FRAMES = 200, 3000


def demo(
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Record a series, analyze the recording and draw what was found.")
    ] = False,
    frames: Annotated[
        int | None, typer.Option(help="Frames of a series: 200 if recorded, else 3000.", min=1, show_default=False)
    ] = None,
    shape: Annotated[str, typer.Option(help="Rows x columns of the detector [px].", metavar="ROWSxCOLUMNS")] = (
        "512x512"
    ),
    folder: Annotated[Path, typer.Option(help="Where the files go.")] = Path("demo"),
    rate: Annotated[float, typer.Option(help="Live: triggers a second [Hz].", min=0.1)] = RATE_HZ,
    workers: Annotated[int, typer.Option(help="Live: worker processes.", min=1)] = 2,
    scans: Annotated[int | None, typer.Option(help="Live: end after so many scans.", min=1)] = None,
    port: Annotated[int, typer.Option(help="Live: port of control; 0 is any free one.", min=0, max=65535)] = 5000,
    view_port: Annotated[
        int, typer.Option(help="Live: port of the live view; 0 is any free one.", min=0, max=65535)
    ] = 5001,
    open_picture: Annotated[
        bool, typer.Option("--open/--no-open", help="Show the page, or the picture, if there is a desktop.")
    ] = True,
) -> None:
    """Simulate a detector and a beam monitor, and look at them live until Ctrl-C.

    With --recorded, simulate a detector, record it over the network, analyze the recording and draw what was found.
    Only its own files in its own folder are written: beamline.toml and glimt-page.json; or powder.cbors,
    powder_parameters.json, powder_processed.h5 and powder.png.
    """
    detector_shape = parse_shape(shape)
    region = _region_on_ring(detector_shape)
    if recorded:
        _recorded_demo(folder, detector_shape, frames or _RECORDED_FRAMES, region, open_picture=open_picture)
        return
    from glimt.cli.demo.live import LiveDemo, run_live

    live = LiveDemo(folder, detector_shape, rate, frames or _LIVE_FRAMES, workers, scans, port, view_port)
    values = {name: value for name, value in _values(detector_shape, region).items() if not name.startswith("region")}
    live_classes = {"worker": LIVE_WORKER, "reducer": LIVE_REDUCER}
    if not run_live(live, **live_classes, values=values, region=region, open_page=open_picture):
        raise typer.Exit(1)


def _recorded_demo(folder: Path, shape: tuple[int, int], frames: int, region: Region, *, open_picture: bool) -> None:
    from glimt.app.demo import DemoPaths, analyze

    began = time.monotonic()
    paths = DemoPaths(folder)
    _record(paths, shape, frames, region)
    report = analyze(paths, worker=WORKER, reducer=REDUCER)
    rate = report.n_events / report.elapsed_s if report.elapsed_s > 0 else 0.0
    _say(
        "analyze",
        f"{report.n_results:,} results at {rate:,.0f} events/s, {report.n_failures} failed: {paths.processed}",
    )
    if report.is_whole:
        _draw(paths, region, open_picture=open_picture)
    print(f"\nDone in {time.monotonic() - began:.1f} s. {_NEXT}\n")
    print(f"  {replay_command(paths)}\n")
    if not report.is_whole:
        raise typer.Exit(1)


_NEXT = (
    "The same analysis again, with its live view in a browser (and a copy of\n"
    "glimt/cli/demo/analysis.py is where your own begins):"
)


def replay_command(paths: DemoPaths) -> str:
    """Return what a user types to run the example again."""
    if shutil.which("glimt"):
        program = "glimt"
    elif Path("x").is_file() and Path(sys.prefix).parent == Path.cwd():
        program = "./x glimt"
    else:
        program = f"{shlex.quote(sys.executable)} -m glimt"
    return (
        f"{program} replay -w {WORKER} -r {REDUCER} -f {shlex.quote(str(paths.capture))} "
        f"-p {shlex.quote(str(paths.parameters))} --port 5000 --keep-alive"
    )


def _say(step: str, text: str) -> None:
    print(f"{step:9} {text}", flush=True)


def _region_on_ring(shape: tuple[int, int]) -> Region:
    """Return a small region that the moving ring passes, on the longer axis of the detector."""
    from glimt.cli.demo.picture import Region
    from glimt.sim.scattering import MOVING_RING, Setup

    setup = Setup(shape)
    longer = 0 if shape[0] > shape[1] else 1
    center = list(setup.beam_center_px)
    center[longer] += setup.radius_px(sum(MOVING_RING) / 2)
    half = [max(1, n // 43 // 2) if axis == longer else max(1, n // 25 // 2) for axis, n in enumerate(shape)]
    low = [max(0, int(at) - reach) for at, reach in zip(center, half, strict=True)]
    high = [min(n, int(at) + reach) for at, reach, n in zip(center, half, shape, strict=True)]
    return Region(low[0], high[0], low[1], high[1])


def _values(shape: tuple[int, int], region: Region) -> dict[str, int]:
    """Return values of the analysis's parameters that suit a detector."""
    values = {f"region_{name}": value for name, value in asdict(region).items()}
    return values | {"strong_counts": STRONG_COUNTS, "n_bins": min(1000, max(8, max(shape) * 15 // 32))}


def _record(paths: DemoPaths, shape: tuple[int, int], frames: int, region: Region) -> None:
    from glimt.app.demo import Simulation, record_simulation, write_parameters
    from glimt.cli.demo.analysis import STREAM
    from glimt.codecs.stins import PROTOCOL

    write_parameters(paths.parameters, _values(shape, region))
    simulation = Simulation(shape, frames, max(RATE_HZ, frames / _LONGEST_S))
    rows, columns = shape
    _say(
        "simulate", f"{frames:,} frames of {rows} x {columns} uint16 at {simulation.rate_hz:.0f} Hz, in its own process"
    )
    with stop_on_signals() as stop:
        recording = record_simulation(simulation, PROTOCOL, paths, stream=STREAM, should_stop=stop.is_set)
    rate = frames / recording.elapsed_s if recording.elapsed_s > 0 else 0.0
    _say(
        "record",
        f"{recording.account.n_events:,} events over ZeroMQ, {size_text(recording.n_bytes)}, {rate:,.0f} frames/s: "
        f"{paths.capture}",
    )
    for remark in recording.account.remarks():
        _say("", remark)


def _draw(paths: DemoPaths, region: Region, *, open_picture: bool) -> None:
    from glimt.cli.demo.analysis import STREAM
    from glimt.cli.demo.picture import SIZE_PX, draw, read_found

    try:
        found = read_found(paths.capture, paths.processed, stream=STREAM)
        draw(found, region, paths.picture, strong_counts=STRONG_COUNTS)
    except ModuleNotFoundError as error:
        _say("draw", f"no picture, for {error.name} is not installed: pip install glimt[plot]")
        return
    _say("draw", f"{SIZE_PX[0]} x {SIZE_PX[1]} pixels: {paths.picture}")
    if open_picture:
        open_on_desktop(str(paths.picture))
