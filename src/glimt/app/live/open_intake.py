"""Opens the sources of a beamline file, in the process that reads them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from glimt.app.beamline import Beamline, Events
from glimt.app.beamline_stream import Stream, source_options
from glimt.app.live.series_look import SeriesLook
from glimt.codecs.registry import protocol_named
from glimt.engines.intake import Intake, StreamInput
from glimt.model.trigger_map import TriggerMap
from glimt.pipeline.builder_stream import BuilderStream
from glimt.pipeline.event_builder import EventBuilder
from glimt.pipeline.ledger import StreamLedger
from glimt.pipeline.live_stream import LiveStream
from glimt.sources.open_source import open_source


@dataclass(frozen=True, slots=True)
class OpenIntake:
    """Opens the sources; pickled to the ingester's process.

    Attributes
    ----------
    beamline : Beamline
        What to open.
    """

    beamline: Beamline

    def __call__(self) -> Intake:
        """Return the sources, opened, with their streams.

        Raises
        ------
        UsageError
            An address cannot be used.
        """
        events = self.beamline.events
        inputs: list[StreamInput] = []
        try:
            for name, stream in self.beamline.streams.items():
                inputs.append(_open_stream(name, stream, events))
        except BaseException:
            for opened in inputs:
                opened.source.close()
            raise
        streams = [
            BuilderStream(opened.live.name, opened.live.ledger, stream.optional)
            for opened, stream in zip(inputs, self.beamline.streams.values(), strict=True)
        ]
        smallest = min(stream.queue for stream in self.beamline.streams.values())
        make = partial(_make_builder, streams, events, smallest)
        return Intake(inputs, make, automatic=events.mode == "automatic")


def _open_stream(name: str, stream: Stream, events: Events) -> StreamInput:
    live = LiveStream(
        name,
        protocol_named(stream.protocol),
        StreamLedger(name),
        join=events.join,
        number_field=stream.number_field,
        first_frame=stream.first_frame,
    )
    return StreamInput(live, open_source(source_options(stream)), stream.when_full, SeriesLook(stream.protocol))


def _make_builder(
    streams: list[BuilderStream], events: Events, stream_bytes: int, trigger_map: TriggerMap | None
) -> EventBuilder:
    return EventBuilder(
        streams,
        trigger_map=trigger_map,
        reorder_events=max(1, events.reorder),
        late_s=events.late_after_s,
        incomplete=events.incomplete,
        stream_bytes=stream_bytes,
        clock_tolerance=events.clock_tolerance if events.join == "clock" else None,
    )
