"""``glimt record``: a live stream into a capture."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from glimt.app.record import Recording, RecordingEnd, RecordOptions
from glimt.cli.amounts import count_text, size_text
from glimt.cli.progress import ProgressDisplay
from glimt.cli.stop_signals import stop_on_signals
from glimt.model.errors import UsageError
from glimt.sources.source_options import DEFAULT_QUEUE_MESSAGES
from glimt.sources.zmq_socket import SocketKind
from glimt.stores.capture import WriteMode


def record(
    protocol: Annotated[str, typer.Argument(help="What the stream speaks, such as stins.", metavar="PROTOCOL")],
    address: Annotated[str, typer.Argument(help="ZeroMQ address.", metavar="ADDRESS")],
    output: Annotated[Path, typer.Argument(help="Capture to write; .gz compresses it.", metavar="OUTPUT.cbors[.gz]")],
    stream: Annotated[
        str,
        typer.Option(help="Name of the stream in the capture, the key in event.streams; without it, the protocol's."),
    ] = "",
    socket: Annotated[str, typer.Option(help="pull or sub.")] = "pull",
    bind: Annotated[
        bool, typer.Option("--bind", help="Wait for senders to connect, instead of connecting to one.")
    ] = False,
    frames: Annotated[int | None, typer.Option(help="End after this many frames.")] = None,
    series: Annotated[int, typer.Option(help="End after this many series; 0 goes on until Ctrl-C.")] = 1,
    timeout: Annotated[float | None, typer.Option(help="End if nothing came for so long [s].")] = None,
    queue: Annotated[
        int, typer.Option(help="Messages that may wait in memory; more are left to the sender.")
    ] = DEFAULT_QUEUE_MESSAGES,
    append: Annotated[bool, typer.Option("--append", help="Go on behind what a capture has.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a capture.")] = False,
) -> None:
    """Record a stream into a capture that glimt replay reads.

    Event 0 is the start packet, frame number f is event 1 + f - first f, so that lost messages leave gaps; the last
    event is the end packet. What is wrong with the stream is counted and never ends the recording; Ctrl-C does, with
    everything written. Exit code 0 if nothing was wrong, 1 if messages were bad or missing.
    """
    from glimt.codecs.registry import protocol_named  # all protocols, which other commands need not wait for

    if append and overwrite:
        raise UsageError("--append and --overwrite exclude each other")
    mode: WriteMode = "append" if append else "overwrite" if overwrite else "new"
    options = RecordOptions(
        protocol=protocol_named(protocol),
        address=address,
        output=output,
        stream=stream,
        socket=cast("SocketKind", socket),  # checked by the source
        bind=bind,
        n_frames=frames,
        n_series=series,
        timeout_s=timeout,
        mode=mode,
        queue_messages=queue,
    )
    display = ProgressDisplay("record")
    with stop_on_signals() as stop, Recording(options, progress=display) as recording:
        name = stream or options.protocol.name
        print(f"record: {protocol} from {recording.address} to {output}, as stream {name!r}", file=sys.stderr)
        with display:
            recording.run(stop.is_set)
    for line in (_summary(recording, output), *recording.account.remarks()):
        print(f"record: {line}", file=sys.stderr)
    if not recording.is_whole:
        raise typer.Exit(1)


def _summary(recording: Recording, output: Path) -> str:
    account = recording.account
    reason = "" if recording.end in {RecordingEnd.SERIES, None} else f"; {recording.end.value}" if recording.end else ""
    if not account.n_events:
        return f"no events{reason}; nothing was written"
    rate = f", {account.n_events / recording.elapsed_s:,.0f} events/s" if recording.elapsed_s > 0 else ""
    return (
        f"{count_text(account.n_events, 'events')} of {account.n_series} series{rate}; {output} has "
        f"{size_text(recording.n_bytes)}{reason}"
    )
