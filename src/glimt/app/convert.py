"""Turns raw recordings of multipart messages into captures."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glimt.app.series import SeriesAccount, SeriesNumbering
from glimt.codecs.protocol import WireProtocol
from glimt.model.errors import DecodeError, UsageError
from glimt.model.event import StreamData
from glimt.sources.multipart_recording import MultipartRecording
from glimt.stores.capture import CaptureWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_SHOW_MESSAGES = 64


@dataclass(slots=True)
class ConversionReport:
    """What a conversion gave: the account of the stream, the capture's size [bytes], and why it ended early, if so."""

    account: SeriesAccount
    n_bytes: int = 0
    error: DecodeError | None = None
    elapsed_s: float = 0.0

    @property
    def is_whole(self) -> bool:
        """Whether everything was converted."""
        return self.error is None and self.account.is_whole


def convert_recording(
    protocol: WireProtocol,
    recording: Path,
    output: Path,
    *,
    stream: str = "",
    overwrite: bool = False,
    progress: Callable[[int, float | None], None] | None = None,
) -> ConversionReport:
    """Write the events of a raw recording into a capture, numbered as `glimt.app.record` does.

    Raw recordings do not say when a message came, so the events have no time.

    Parameters
    ----------
    protocol : WireProtocol
        What the messages speak.
    recording, output : Path
        What to read and to write, both compressed or not.
    stream : str
        Name of the stream in the capture; that of the protocol if empty.
    overwrite : bool
        Replace an existing capture.
    progress : callable, optional
        Called now and then with the number of events and the fraction done.

    Returns
    -------
    ConversionReport
        Damage in the recording is in ``error``; what came before it was converted.

    Raises
    ------
    DecodeError
        Not even the first message can be read: the text says what the file is instead.
    UsageError, StoreError
        A file cannot be read or written.
    """
    if output.exists() and recording.exists() and output.samefile(recording):
        raise UsageError(f"{output} is the recording itself; choose another name for the capture")
    numbering = SeriesNumbering(protocol)
    report = ConversionReport(numbering.account)
    began = time.monotonic()
    with (
        MultipartRecording(recording) as source,
        CaptureWriter(output, mode="overwrite" if overwrite else "new") as writer,
    ):
        try:
            for parts in source.messages():
                for event in numbering.events(parts):
                    data = StreamData(protocol.typ, event.frames)
                    writer.write(event.event_number, {stream or protocol.name: data})
                if progress is not None and source.n_messages % _SHOW_MESSAGES == 0:
                    progress(numbering.account.n_events, source.progress())
        except DecodeError as error:
            if not source.n_messages:
                raise
            report.error = error
    report.n_bytes = writer.n_bytes
    report.elapsed_s = time.monotonic() - began
    return report
