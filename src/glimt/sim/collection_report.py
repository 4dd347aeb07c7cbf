"""What a simulated collection wrote, and when: what a file watcher's messages are compared with."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec


@dataclass(slots=True)
class ImageReport:
    """One image.

    Parameters
    ----------
    number : int
        In the collection, from 1.
    file : str
        Where it is.
    began_ns, written_ns : int or None
        When its file was made, or its writing began, and when it was whole: closed, renamed, flushed; UTC [ns].
        ``None`` for one that never came.
    what : str
        ``send``, or the fault: ``drop``, ``truncate``, ``garbage``, ``duplicate``.
    is_late : bool
        It came late on purpose.
    """

    number: int
    file: str
    began_ns: int | None
    written_ns: int | None
    what: str
    is_late: bool


@dataclass(slots=True)
class CollectionReport:
    """A collection; images in the order in which they were written, those that never came in their place.

    Parameters
    ----------
    form : str
        As in the plan.
    pattern, first_number : str and int
        Of CBF files; empty and 0 for others.
    master : str
        Of HDF5 forms; empty for others.
    data_files : list of str
        Of HDF5 forms.
    n_images : int
        How many were to be written.
    began_ns, ended_ns : int
        UTC [ns].
    images : list of ImageReport
    """

    form: str
    pattern: str
    first_number: int
    master: str
    n_images: int
    began_ns: int = 0
    ended_ns: int = 0
    data_files: list[str] = field(default_factory=list)
    images: list[ImageReport] = field(default_factory=list)

    @property
    def n_written(self) -> int:
        """How many images are there, damaged ones too."""
        return sum(image.written_ns is not None for image in self.images)

    def to_json(self) -> bytes:
        """Return the report as JSON text, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"
