"""Rows of ``glimt analyse``: a table to read, CSV, JSON; each written as soon as it is known."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO

if TYPE_CHECKING:
    from glimt.app.analyse_group import AnalysedImage

STATISTICS = (
    "n_spots_total", "n_spots_no_ice", "n_spots_4A", "total_intensity", "estimated_d_min", "d_min_distl_method_1",
    "noisiness_method_1", "d_min_distl_method_2", "noisiness_method_2",
)  # fmt: skip

_WIDEST_NAME = 40
_HEADINGS = (
    "   spots   no ice  d>4 A    intensity   d_min  DISTL 1  noise 1  DISTL 2  noise 2",
    "                                 count       A        A                 A         ",
)


class RowWriter(Protocol):
    """Writes images as rows."""

    def write(self, image: AnalysedImage) -> None:
        """Write one."""

    def close(self) -> None:
        """Write what comes behind the last one."""


def row_writer(kind: Literal["table", "csv", "json"], output: TextIO) -> RowWriter:
    """Return the writer of a kind."""
    if kind == "json":
        return JsonRows(output)
    return CsvRows(output) if kind == "csv" else TableRows(output)


def _fields(image: AnalysedImage) -> dict[str, Any]:
    given: dict[str, Any] = {"file": image.file, "image_number": image.image_number}
    if image.quality is not None:
        given |= dataclasses.asdict(image.quality)
    return given


class TableRows:
    """A table for people; undefined numbers are a dash."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._width = 0

    def write(self, image: AnalysedImage) -> None:
        """Write one; the first one with headings."""
        name = os.path.basename(image.file)
        if not self._width:
            self._width = min(max(len(name) + 2, 12), _WIDEST_NAME)
            space = " " * (self._width + 8)
            self._line(f"{'file':<{self._width}}{'image':>8}{_HEADINGS[0]}")
            self._line(f"{space}{_HEADINGS[1]}")
        shown = name if len(name) < self._width else f"…{name[2 - self._width :]}"
        start = f"{_printable(shown):<{self._width}}{image.image_number:>8}"
        quality = image.quality
        if quality is None:
            self._line(f"{start}  error: {_printable(image.error)}")
            return
        numbers = (
            f"{quality.n_spots_total:>8}{quality.n_spots_no_ice:>9}{quality.n_spots_4A:>7}{quality.total_intensity:>13.0f}"
            f"{_defined(quality.estimated_d_min, 8, 2)}{_defined(quality.d_min_distl_method_1, 9, 2)}"
            f"{_defined(quality.noisiness_method_1, 9, 3)}{_defined(quality.d_min_distl_method_2, 9, 2)}"
            f"{_defined(quality.noisiness_method_2, 9, 3)}"
        )
        self._line(start + numbers)

    def _line(self, text: str) -> None:
        print(text.rstrip(), file=self._output, flush=True)

    def close(self) -> None:
        """Write nothing."""


def _defined(value: float, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value < 0 else f"{value:>{width}.{digits}f}"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


class CsvRows:
    """Comma separated values with a line of headings; -1 where DIALS says so."""

    def __init__(self, output: TextIO) -> None:
        self._writer = csv.DictWriter(
            output, ("file", "image_number", *STATISTICS, "error"), restval="", lineterminator="\n"
        )
        self._writer.writeheader()
        self._output = output

    def write(self, image: AnalysedImage) -> None:
        """Write one."""
        self._writer.writerow(_fields(image) | {"error": image.error})
        self._output.flush()

    def close(self) -> None:
        """Write nothing."""


class JsonRows:
    """A list of objects, one a line; an image that failed has ``error`` and no statistics."""

    def __init__(self, output: TextIO) -> None:
        self._output, self._n = output, 0

    def write(self, image: AnalysedImage) -> None:
        """Write one."""
        fields = _fields(image) | ({"error": image.error} if image.quality is None else {})
        print("[" if not self._n else ",", json.dumps(fields), sep="\n", end="", file=self._output, flush=True)
        self._n += 1

    def close(self) -> None:
        """End the list."""
        print("\n]" if self._n else "[]", file=self._output, flush=True)
