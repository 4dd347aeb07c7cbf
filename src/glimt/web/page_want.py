"""What a page says over its WebSocket, checked."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from glimt.model.errors import DecodeError

MAX_MESSAGE_BYTES = 256 << 10
MAX_PLOTS = 64
MAX_PIXELS = 4 << 20
MAX_ALL_PIXELS = 16 << 20
"""Of all images together: what one turn may hold in memory for a viewer that does not fetch it."""

_Place = Annotated[int, Meta(ge=-(2**53), le=2**53)]
_Extent = Annotated[int, Meta(ge=1, le=1 << 16)]
_Text = Annotated[str, Meta(max_length=1024)]


class PlotWant(msgspec.Struct, frozen=True):
    """One plot on a screen; see ``docs/reference/page-protocol.md``."""

    id: Annotated[str, Meta(min_length=1, max_length=100)]
    path: _Text
    kind: Literal["image", "curve", "number", "table", "text"]
    rows: tuple[_Place, _Place] | None = None
    columns: tuple[_Place, _Place] | None = None
    size: tuple[_Extent, _Extent] = (512, 512)
    pool: Literal["max", "mean"] = "max"


class Hello(msgspec.Struct, frozen=True, tag_field="op", tag="hello"):
    """First of all."""

    history: bool = True
    who: Annotated[str, Meta(max_length=60)] = ""


class Want(msgspec.Struct, frozen=True, tag_field="op", tag="want"):
    """All plots on screen."""

    plots: Annotated[list[PlotWant], Meta(max_length=MAX_PLOTS)]


class Ready(msgspec.Struct, frozen=True, tag_field="op", tag="ready"):
    """What came is drawn."""


_decoder: msgspec.json.Decoder[Hello | Want | Ready] = msgspec.json.Decoder(Hello | Want | Ready)


def message_from_page(text: str | bytes) -> Hello | Want | Ready:
    """Return what a page says.

    Raises
    ------
    DecodeError
        It makes no sense; the text says what does not.
    """
    if len(text) > MAX_MESSAGE_BYTES:
        raise DecodeError(f"a message of more than {MAX_MESSAGE_BYTES} bytes")
    try:
        found = _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise DecodeError(f"not understood: {error}") from None
    if isinstance(found, Want):
        if len({plot.id for plot in found.plots}) < len(found.plots):
            raise DecodeError("two plots have one id")
        _check_sizes(found.plots)
    return found


def _check_sizes(plots: list[PlotWant]) -> None:
    pixels = {plot.id: plot.size[0] * plot.size[1] for plot in plots if plot.kind == "image"}
    for plot_id, n_pixels in pixels.items():
        if n_pixels > MAX_PIXELS:
            raise DecodeError(f"plot {plot_id!r} asks for more than {MAX_PIXELS} pixels")
    if sum(pixels.values()) > MAX_ALL_PIXELS:
        raise DecodeError(f"all images together ask for more than {MAX_ALL_PIXELS} pixels")
