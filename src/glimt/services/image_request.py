"""Which images of which file a message of the per-image analysis is about, and how they shall be analyzed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from glimt.model.errors import RejectedMessageError
from glimt.pipeline.workers.spot_options import SpotOptions
from glimt.services.recipe_step import RecipeStep, read_record

_RANGE = re.compile(r"\s*(\d{1,9})\s*,\s*(\d{1,9})\s*")

_CAN_BE_NOTHING = ("d_min", "d_max", "scan_range")


class AnalysisParameters(msgspec.Struct, frozen=True):
    """Parameters of the step, with the defaults of Diamond's service; see docs/reference/per-image-analysis-service."""

    d_min: float | None = None
    d_max: float | None = 40.0
    threshold_algorithm: Literal["dispersion", "dispersion_extended"] = "dispersion"
    disable_parallax_correction: bool = True
    scan_range: str | tuple[int, int] | None = None
    filter_ice: bool = True
    ice_rings_width: float = 0.004

    def spots(self) -> SpotOptions:
        """Return what a spot is."""
        return SpotOptions(
            algorithm=self.threshold_algorithm,
            disable_parallax_correction=self.disable_parallax_correction,
            d_min=self.d_min,
            d_max=self.d_max,
            ice_filter=self.filter_ice,
            ice_width=self.ice_rings_width,
        )


class _Block(msgspec.Struct, frozen=True):
    """Images that follow each other in a file, in the words of Diamond's messages to its GPU service."""

    filename: str
    number_of_frames: int
    start_frame_index: int = 0


class _Place(msgspec.Struct, frozen=True, rename="kebab"):
    """Where an image is, in the words of the file watcher."""

    file: str
    hdf5_index: int | None = None


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """What a message asks for.

    Attributes
    ----------
    file : str
    first, last : int or None
        Images of an HDF5 file, 0-based, both included; ``None``: the message does not say.
    is_block : bool
        It names a file and a range of frames, instead of an image that was seen.
    spots : SpotOptions
    message : dict
        The message, as it came.
    """

    file: str
    first: int | None
    last: int | None
    is_block: bool
    spots: SpotOptions
    message: dict[str, Any]

    def result_keys(self, number: int, seen_at_s: float) -> dict[str, Any]:
        """Return what of the message goes on with the result of an image (0-based): all keys that begin with ``file``.

        Parameters
        ----------
        number : int
            The image, 0-based.
        seen_at_s : float
            For results of blocks, which name no time when the file was seen [s, UTC].
        """
        kept = {key: value for key, value in self.message.items() if key.startswith("file")}
        if self.is_block:
            kept.pop("filename", None)
            return {"file": self.file, "file-seen-at": seen_at_s, **kept, "file-number": number + 1}
        is_one = self.first == self.last
        if self.first is not None and not (is_one and {"file-number", "file-pattern-index"} & kept.keys()):
            kept["file-number"] = number + 1
        return kept

    def part(self, first: int, last: int) -> dict[str, Any]:
        """Return the message that asks for some of the images, numbered as `first` and `last` are."""
        if self.is_block:
            return {**self.message, "start_frame_index": first, "number_of_frames": last + 1 - first}
        parameters = self.message.get("parameters")
        kept = parameters if isinstance(parameters, Mapping) else {}
        return {**self.message, "parameters": {**kept, "scan_range": f"{first + 1},{last + 1}"}}


def image_request(step: RecipeStep) -> ImageRequest:
    """Return what the message of a step asks for; its own parameters override those of the recipe.

    Raises
    ------
    RejectedMessageError
        It names no file, or its parameters make no sense.
    """
    message = dict(step.payload) if isinstance(step.payload, Mapping) else {}
    own = message.get("parameters")
    if own is not None and not isinstance(own, Mapping):
        raise RejectedMessageError(f"message: parameters are {str(own)[:60]!r}; an object is needed")
    given = {**step.parameters, **(own or {})}
    read = read_record(_analysis_values(given), AnalysisParameters, "parameters")
    block = {**given, **message}
    if "file" not in message and "filename" in block:
        return _block_request(block, message, read)
    if "file" not in message:
        raise RejectedMessageError(
            "the message names no image: it needs file, or filename, start_frame_index and number_of_frames"
        )
    place = read_record({key: _value(value) for key, value in message.items()}, _Place, "message")
    first, last = _scan_range(read.scan_range)
    if first is None and place.hdf5_index is not None:
        if place.hdf5_index < 0:
            raise RejectedMessageError(f"message: hdf5-index is {place.hdf5_index}; it counts from 0")
        first = last = place.hdf5_index
    return ImageRequest(place.file, first, last, False, read.spots(), message)


def _block_request(given: dict[str, Any], message: dict[str, Any], read: AnalysisParameters) -> ImageRequest:
    block = read_record(given, _Block, "message")
    if block.start_frame_index < 0 or block.number_of_frames < 1:
        raise RejectedMessageError(
            f"the block begins at frame {block.start_frame_index} and has {block.number_of_frames} frames; "
            "start_frame_index counts from 0, number_of_frames from 1"
        )
    message = {**message, "filename": block.filename}
    first = block.start_frame_index
    return ImageRequest(block.filename, first, first + block.number_of_frames - 1, True, read.spots(), message)


def _value(value: Any) -> Any:
    """Return a value as it was before it was put into a recipe as text."""
    return None if isinstance(value, str) and value in ("None", "") else value


def _analysis_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return values without those that are nothing, except where nothing is a value: a limit that is not there."""
    values = {key: _value(value) for key, value in given.items()}
    return {key: value for key, value in values.items() if value is not None or key in _CAN_BE_NOTHING}


def _scan_range(value: str | tuple[int, int] | None) -> tuple[int | None, int | None]:
    """Return the first and the last image, 0-based, of ``"a,b"``, which counts from 1."""
    if value is None:
        return None, None
    if isinstance(value, str):
        found = _RANGE.fullmatch(value)
        first, last = (int(found[1]), int(found[2])) if found else (0, 0)
    else:
        first, last = value
    if not 1 <= first <= last:
        raise RejectedMessageError(f"scan_range is {str(value)[:60]!r}; 'first,last' is needed, counted from 1")
    return first - 1, last - 1
