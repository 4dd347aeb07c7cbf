"""``glimt simulate``: devices that are not there."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from glimt.cli.amounts import parse_shape, size_text
from glimt.cli.simulate.choices import parse_choice, parse_stall
from glimt.cli.simulate.collection import simulate_collection
from glimt.cli.stop_signals import stop_on_signals
from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from glimt.sim.report import SimulationReport


class _DeviceOrCommand(TyperGroup):
    """A command with an argument, some values of which are commands of their own."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        command = self.commands.get(args[0]) if args else None
        if command is None:
            return super().make_context(info_name, args, parent, **extra)
        return command.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)


simulate = typer.Typer(
    name="simulate",
    cls=_DeviceOrCommand,
    help="Simulate a device on its real wire protocol.",
    no_args_is_help=True,
    rich_markup_mode=None,
    # One command with an argument, not a group of commands: options may follow the protocol.
    invoke_without_command=True,
    subcommand_metavar="",
    context_settings={"allow_interspersed_args": True},
)


@simulate.callback()
def simulate_device(  # one argument an option
    protocol: Annotated[str, typer.Argument(help="What the device speaks, such as stins.", metavar="PROTOCOL")],
    address: Annotated[str, typer.Option(help="Where it sends; the usual address of such a device if empty.")] = "",
    connect: Annotated[
        bool, typer.Option("--connect", help="Connect to a receiver that is bound there, instead of binding.")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write what was really sent, and which frames faults touched, as JSON.")
    ] = None,
    shape: Annotated[str | None, typer.Option(help="Rows x columns [px].", metavar="ROWSxCOLUMNS")] = None,
    dtype: Annotated[str | None, typer.Option(help="Element type, such as uint8, uint16, uint32, float32.")] = None,
    compression: Annotated[str | None, typer.Option(help="none, lz4 or bslz4.")] = None,
    header_detail: Annotated[str | None, typer.Option(help="DECTRIS: none, basic or all.")] = None,
    appendix: Annotated[bool, typer.Option("--appendix", help="DECTRIS V1: header and images have one.")] = False,
    channels: Annotated[int | None, typer.Option(help="Channels: thresholds, elements, traces.", min=1)] = None,
    split: Annotated[bool, typer.Option("--split", help="Xspress3: three messages an image.")] = False,
    frames_per_message: Annotated[int | None, typer.Option(help="PandABox: triggers sent together.", min=1)] = None,
    filename: Annotated[str, typer.Option(help="Where headers say raw data go; nothing is written.")] = "",
    seed: Annotated[int, typer.Option(help="The same seed gives the same frames, beam and faults.", min=0)] = 0,
    beam_period: Annotated[
        int, typer.Option(help="The beam drifts and jitters, and repeats after so many frames; 0 is steady.", min=0)
    ] = 0,
    stamp: Annotated[bool, typer.Option("--stamp", help="Messages of frames say when they were sent.")] = False,
    rate: Annotated[float, typer.Option(help="Frames a second [Hz]; 0 is as fast as they are received.", min=0)] = 10.0,
    frames: Annotated[int, typer.Option(help="Frames of a series; 0 goes on until Ctrl-C.", min=0)] = 100,
    series: Annotated[int, typer.Option(help="How many series; 0 repeats until Ctrl-C.", min=0)] = 1,
    first_series: Annotated[int, typer.Option(help="Number of the first series.", min=0)] = 1,
    series_gap: Annotated[float, typer.Option(help="Pause between series [s].", min=0)] = 0.0,
    start_at: Annotated[
        float | None, typer.Option(help="Time of the first trigger [s since 1970]; devices that share it are in step.")
    ] = None,
    trigger_delay: Annotated[float, typer.Option(help="Send so long after the trigger [s].", min=0)] = 0.0,
    timeout: Annotated[float | None, typer.Option(help="Give up if nobody receives for so long [s].")] = None,
    drop: Annotated[str, typer.Option(help="Frames that are lost: 0.01, or 3,7,10-12, or all.")] = "",
    duplicate: Annotated[str, typer.Option(help="Frames sent twice.")] = "",
    truncate: Annotated[str, typer.Option(help="Frames of which half a header comes.")] = "",
    garbage: Annotated[str, typer.Option(help="Frames replaced by bytes without meaning.")] = "",
    reorder: Annotated[int, typer.Option(help="Frames change places, by so many at most.", min=0)] = 0,
    stale: Annotated[int, typer.Option(help="Frames of the series before that follow the header.", min=0)] = 0,
    no_header: Annotated[str, typer.Option(help="Series (from 0) without header: 0,2, or 0.5, or all.")] = "",
    repeat_header: Annotated[str, typer.Option(help="Series with two headers.")] = "",
    no_end: Annotated[str, typer.Option(help="Series without end.")] = "",
    abort_after: Annotated[int | None, typer.Option(help="Series break off after so many frames.", min=0)] = None,
    abort: Annotated[str, typer.Option(help="Which series --abort-after means.")] = "all",
    jitter_ms: Annotated[float, typer.Option(help="Frames are late by up to so much [ms].", min=0)] = 0.0,
    stall: Annotated[str, typer.Option(help="In each series, pause once.", metavar="FRAMES:SECONDS")] = "",
    fault_seed: Annotated[int | None, typer.Option(help="Seed of the faults alone.")] = None,
) -> None:
    """Simulate a device on its real wire protocol.

    It waits until somebody receives, sends header, frames and end of each series, and ends. Ctrl-C ends the series.
    Protocols: stins, dectris-v1, dectris-v2, eiger-legacy, contrast, xspress3, albaem, pandabox, pandabox-text,
    lecroy, sardana.
    """
    # Numba, which no other command should wait for.
    from glimt.sim.devices import device_kind, make_device, make_transport
    from glimt.sim.faults import Faults
    from glimt.sim.plan import SimulationPlan
    from glimt.sim.simulation import Simulation

    if report is not None and not report.parent.is_dir():
        raise UsageError(f"cannot write {report}: there is no directory {report.parent}")
    stall_after, stall_s = parse_stall(stall)
    faults = Faults(
        drop=parse_choice(drop, "--drop"),
        duplicate=parse_choice(duplicate, "--duplicate"),
        truncate=parse_choice(truncate, "--truncate"),
        garbage=parse_choice(garbage, "--garbage"),
        reorder=reorder,
        stale=stale,
        missing_header=parse_choice(no_header, "--no-header"),
        repeated_header=parse_choice(repeat_header, "--repeat-header"),
        missing_end=parse_choice(no_end, "--no-end"),
        abort_after=abort_after,
        abort=parse_choice(abort, "--abort"),
        jitter_ms=jitter_ms,
        stall_after=stall_after,
        stall_s=stall_s,
        seed=seed if fault_seed is None else fault_seed,
    )
    plan = SimulationPlan(
        n_frames=frames,
        n_series=series,
        rate_hz=rate,
        start_at=start_at,
        trigger_delay_s=trigger_delay,
        series_gap_s=series_gap,
        first_series=first_series,
        timeout_s=timeout,
    )
    given = {
        "shape": parse_shape(shape) if shape is not None else None,
        "dtype": dtype,
        "compression": compression,
        "header_detail": header_detail,
        "appendix": appendix or None,
        "channels": channels,
        "split": split or None,
        "frames_per_message": frames_per_message,
        "filename": filename or None,
        "seed": seed,
        "beam_period": beam_period,
        "stamp": stamp or None,
    }
    device = make_device(protocol, **{name: value for name, value in given.items() if value is not None})
    with stop_on_signals() as stop:
        transport = make_transport(protocol, device, address=address, bind=not connect)
        with Simulation(device, transport, plan=plan, faults=faults) as simulation:
            draw = getattr(device, "draw", None)
            if draw is not None:
                draw(frames)
            pace = f"{rate:g} frames/s" if rate else "as fast as possible"
            kind = device_kind(protocol).transport.upper()
            print(f"simulate: {_described(device)}, {pace}, {kind} on {transport.address}", file=sys.stderr)
            try:
                simulation.run(stop)
            finally:
                if report is not None:
                    _write(report, simulation.report)
    print(f"simulate: {_summary(simulation.report)}", file=sys.stderr)


def _described(device: object) -> str:
    shape = getattr(device, "shape", None)
    name = str(getattr(device, "protocol", ""))
    if shape is None:
        return name
    words = [name, "x".join(map(str, shape)), str(getattr(device, "dtype", ""))]
    return f"{' '.join(words)}, {getattr(device, 'compression', '')}"


def _summary(report: SimulationReport) -> str:
    achieved = f", {report.n_frames / report.elapsed_s:,.1f} frames/s" if report.elapsed_s > 0 else ""
    text = f"{report.n_frames:,} frames in {report.n_series} series sent, {size_text(report.n_bytes)}{achieved}"
    touched = {
        "lost": sum(len(series.missing) for series in report.series),
        "sent twice": sum(len(series.duplicated) for series in report.series),
        "out of order": sum(len(series.reordered) for series in report.series),
        "stale": sum(len(series.stale) for series in report.series),
        "refused by the receiver": report.n_refused,
    }
    return "; ".join([text, *(f"{count:,} {what}" for what, count in touched.items() if count)])


def _write(path: Path, report: SimulationReport) -> None:
    try:
        path.write_bytes(report.to_json())
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


simulate.command("collection")(simulate_collection)
