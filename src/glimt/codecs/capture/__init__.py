"""The capture format: a CBOR sequence with one item for each event of one ingester (dranspose's ``.cbors``).

::

    55799( 42877( [ event_number : uint,
                    { stream name : tstr => 42878( [ typ : tstr, [ frame : bstr, ... ] ] ), ... },
                    0( created_at : tstr ) ] ) )         ; created_at is absent in captures before October 2024

`layout` finds what is where in one item and is the specification in Python, `run` finds the items that follow and are
laid out alike, `item` makes items and messages. Source: dranspose 0.2.0, RFC 8949, RFC 8742.
"""

from glimt.codecs.capture.item import decode_item, encode_item, encode_parts, message_from_layout, parse_time
from glimt.codecs.capture.layout import ItemError, ItemLayout, StreamLayout, read_layout
from glimt.codecs.capture.run import Run, find_run
from glimt.codecs.capture.window import BytesWindow, FileWindow, GzipWindow, Window, open_window

__all__ = [
    "BytesWindow",
    "FileWindow",
    "GzipWindow",
    "ItemError",
    "ItemLayout",
    "Run",
    "StreamLayout",
    "Window",
    "decode_item",
    "encode_item",
    "encode_parts",
    "find_run",
    "message_from_layout",
    "open_window",
    "parse_time",
    "read_layout",
]
