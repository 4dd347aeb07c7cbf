"""``glimt simulate``: detectors that are not there."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from glimt.cli.amounts import parse_shape, size_text
from glimt.cli.stop_signals import stop_on_signals

simulate = typer.Typer(
    name="simulate", help="Simulate a detector on the real wire protocol.", no_args_is_help=True, rich_markup_mode=None
)


@simulate.callback()
def _simulate() -> None:
    """Simulate a detector on the real wire protocol."""


@simulate.command()
def stins(
    address: Annotated[str, typer.Option(help="ZeroMQ address.")] = "tcp://127.0.0.1:9999",
    connect: Annotated[
        bool, typer.Option("--connect", help="Connect to a receiver that is bound there, instead of binding.")
    ] = False,
    shape: Annotated[str, typer.Option(help="Rows x columns [px].", metavar="ROWSxCOLUMNS")] = "512x512",
    rate: Annotated[float, typer.Option(help="Frames a second [Hz]; 0 is as fast as they are received.", min=0)] = 10.0,
    frames: Annotated[int, typer.Option(help="Frames of a series; 0 goes on until Ctrl-C.", min=0)] = 100,
    dtype: Annotated[str, typer.Option(help="Element type, such as uint8, uint16, uint32, float32.")] = "uint16",
    compression: Annotated[str, typer.Option(help="none, lz4 or bslz4.")] = "none",
    filename: Annotated[str, typer.Option(help="What the header says where raw data go; nothing is written.")] = "",
    seed: Annotated[int, typer.Option(help="The same seed gives the same frames.", min=0)] = 0,
    series: Annotated[int, typer.Option(help="How many series; 0 repeats until Ctrl-C.", min=0)] = 1,
    timeout: Annotated[float | None, typer.Option(help="Give up if nobody receives for so long [s].")] = None,
) -> None:
    """Send series of frames over ZeroMQ PUSH: a powder ring that moves, rings that stay, spots, and photon noise.

    It waits until somebody receives, sends header, frames and end of each series, and ends. Ctrl-C ends the series.
    """
    from glimt.sim.stins import StinsDetector, StinsSimulator  # Numba, which no other command should wait for

    detector = StinsDetector(
        shape=parse_shape(shape),
        dtype=dtype,
        rate_hz=rate,
        n_frames=frames,
        compression=compression,
        filename=filename,
        seed=seed,
        n_series=series,
        timeout_s=timeout,
    )
    with stop_on_signals() as stop, StinsSimulator(detector, address=address, bind=not connect) as simulator:
        simulator.draw()
        pace = f"{rate:g} frames/s" if rate else "as fast as possible"
        print(f"simulate: {shape} {dtype}, {compression}, {pace}, PUSH on {simulator.address}", file=sys.stderr)
        report = simulator.run(stop)
    achieved = f", {report.n_frames / report.elapsed_s:,.1f} frames/s" if report.elapsed_s > 0 else ""
    print(
        f"simulate: {report.n_frames:,} frames in {report.n_series} series sent, {size_text(report.n_bytes)}{achieved}",
        file=sys.stderr,
    )
