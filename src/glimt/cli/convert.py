"""``glimt convert``: raw recordings of messages into captures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from glimt.app.convert import convert_recording
from glimt.cli.amounts import size_text
from glimt.cli.progress import ProgressDisplay


def convert(
    protocol: Annotated[str, typer.Argument(help="What the messages speak, such as stins.", metavar="PROTOCOL")],
    recording: Annotated[
        Path, typer.Argument(help="CBOR sequence of lists of byte strings, also gzip.", metavar="RECORDING")
    ],
    output: Annotated[Path, typer.Argument(help="Capture to write; .gz compresses it.", metavar="OUTPUT.cbors[.gz]")],
    stream: Annotated[str, typer.Option(help="Name of the stream in the capture; without it, the protocol's.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a capture.")] = False,
) -> None:
    """Turn a raw recording of multipart messages into a capture that glimt replay reads.

    Events are numbered as glimt record does. Exit code 0 if everything was converted, 1 if messages were bad or missing
    or the recording is damaged.
    """
    from glimt.codecs.registry import protocol_named  # all protocols, which other commands need not wait for

    display = ProgressDisplay("convert")
    with display:
        report = convert_recording(
            protocol_named(protocol), recording, output, stream=stream, overwrite=overwrite, progress=display
        )
    account = report.account
    lines = [
        f"{account.n_messages:,} messages, {account.n_events:,} events of {account.n_series} series; "
        + (f"{output} has {size_text(report.n_bytes)}" if account.n_events else "nothing was written"),
        *account.remarks(),
    ]
    if report.error is not None:
        lines.append(str(report.error))
    for line in lines:
        print(f"convert: {line}", file=sys.stderr)
    if not report.is_whole or not account.n_events:
        raise typer.Exit(1)
