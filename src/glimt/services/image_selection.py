"""Names images of an HDF5 file one by one, all or evenly spaced ones, without opening it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from glimt.model.errors import RejectedMessageError
from glimt.services.file_watcher_streams import is_selected
from glimt.services.recipe_step import RecipeStep, read_record
from glimt.services.service import Service, ServiceSetup
from glimt.services.service_configuration import read_configuration

MAX_IMAGES = 1_000_000
MESSAGES_PER_TURN = 1000
"""After so many messages the rest of the images wait for a turn of their own."""

_SELECT = re.compile(r"select-([1-9]\d{0,8})")
_STATUS = "image-selection-status"


class _Parameters(msgspec.Struct, frozen=True, rename="kebab"):
    """Which images: of a file, from the first to the last, both included and counted from 1."""

    file: str
    image_start: int
    image_end: int


class ImageSelectionConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[services.image_selection]``, which has no keys."""


class ImageSelectionService(Service):
    """Sends a message for every image to the stream ``every``, and for N evenly spaced ones to ``select-N``.

    Diamond had this service until its file watcher learned to read HDF5 files; recipes still name its queue.
    """

    name = "image_selection"
    title = "DLS HDF5 Select"
    queues = ("per_image_analysis.hdf5_select",)

    def __init__(self, setup: ServiceSetup) -> None:
        super().__init__(setup)
        read_configuration(setup, self.name, ImageSelectionConfiguration)

    def handle(self, step: RecipeStep) -> None:
        """Send the messages, or the first of them and one to this step for the others."""
        message = dict(step.payload) if isinstance(step.payload, Mapping) else {}
        wanted = read_record({**message, **step.parameters}, _Parameters, "parameters")
        first, last = wanted.image_start, wanted.image_end
        if not (0 <= first <= last and last - first < MAX_IMAGES):
            raise RejectedMessageError(
                f"images {first} to {last} are none to select from: image-start is at most image-end, "
                f"and they are at most {MAX_IMAGES}"
            )
        total = last + 1 - first
        streams = dict(_streams(step.node.get("output")))
        n_before = len(step.outgoing)
        for n in range(_resumed_at(message, total), total + 1):
            if len(step.outgoing) - n_before >= MESSAGES_PER_TURN:
                step.checkpoint({**message, _STATUS: {"next": n}})
                return
            number = first + n - 1
            for stream, count in streams.items():
                if count is None or is_selected(n, total, count):
                    payload: dict[str, Any] = {"file": wanted.file, "file-number": number}
                    step.send({**payload, "parameters": {"scan_range": f"{number},{number}"}}, stream)


def _streams(output: Any) -> Iterator[tuple[str, int | None]]:
    """Yield the streams that the recipe wires, with how many images they select, ``None`` for all."""
    if isinstance(output, Mapping):
        for name in output:
            found = _SELECT.fullmatch(name)
            if name == "every" or found:
                yield name, int(found[1]) if found else None


def _resumed_at(message: Mapping[str, Any], total: int) -> int:
    status = message.get(_STATUS)
    if status is None:
        return 1
    n = status.get("next") if isinstance(status, Mapping) else None
    if not isinstance(n, int) or not 1 <= n <= total:
        raise RejectedMessageError(f"message: {_STATUS} is {str(status)[:60]!r}; this service sends it to itself")
    return n
