"""What a simulated data collection writes, when, and what goes wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from glimt.model.errors import UsageError
from glimt.sim.faults import NONE, Action, Choice, Faults

FORMS = ("cbf", "nxmx-vds", "nxmx-links")
WRITING = ("rename", "grow", "whole")
MAX_IMAGES = 1_000_000


class Due(NamedTuple):
    """An image (from 0), when it is due after the start [s], and what becomes of it."""

    time_s: float
    number: int
    action: Action
    is_late: bool


@dataclass(frozen=True, slots=True)
class CollectionPlan:
    """What is written, and when.

    Parameters
    ----------
    folder : Path
        Where; it is made if it is missing.
    name : str
        Files begin with it: ``NAME_00001.cbf``, ``NAME_master.h5``, ``NAME_000001.h5``.
    form : str
        ``"cbf"``: a file an image; ``"nxmx-vds"``: a master with a virtual dataset ``/entry/data/data``;
        ``"nxmx-links"``: one with links ``data_000001`` and so on. Data files of both grow in SWMR mode.
    n_images : int
        How many.
    rate_hz : float
        Images a second; 0 as fast as they can be written.
    first_number : int
        Of the first CBF file.
    writing : str
        CBF: ``"rename"`` writes under another name, which is changed when the file is whole; ``"grow"`` writes in four
        pieces; ``"whole"`` in one.
    grow_s : float
        How long it takes to write a growing file.
    images_per_file : int
        HDF5: of a data file.
    parallel_files : int
        Virtual dataset: so many data files take the images in turn; 0 fills one after the other.
    master_name : str
        HDF5: name of the master file; ``NAME_master.h5`` if empty.
    master_delay_s : float
        HDF5: the master file comes so long after the start.
    late : Choice
        Images that come late, after those that follow them.
    late_s : float
        How late.
    faults : Faults
        ``drop``: images that never come; ``truncate``, ``garbage``: half an image, or bytes without meaning;
        ``duplicate``: CBF files that are written twice; ``reorder``, ``jitter_ms``, ``stall_after``: as for other
        devices.

    Raises
    ------
    UsageError
        A value is not possible, or one contradicts another.
    """

    folder: Path
    name: str = "sim"
    form: str = "cbf"
    n_images: int = 10
    rate_hz: float = 10.0
    first_number: int = 1
    writing: str = "rename"
    grow_s: float = 0.0
    images_per_file: int = 1000
    parallel_files: int = 0
    master_name: str = ""
    master_delay_s: float = 0.0
    late: Choice = NONE
    late_s: float = 1.0
    faults: Faults = field(default_factory=Faults)

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise UsageError(f"form {self.form[:40]!r} is not one of {', '.join(FORMS)}")
        if self.writing not in WRITING:
            raise UsageError(f"writing {self.writing[:40]!r} is not one of {', '.join(WRITING)}")
        if not re.fullmatch(r"[\w.+-]{1,100}", self.name, re.ASCII) or self.name.startswith("."):
            raise UsageError(f"name {self.name[:60]!r}: letters, digits, _ . + - are possible")
        if self.master_name and not re.fullmatch(r"[\w+-][\w.+-]{0,120}", self.master_name, re.ASCII):
            raise UsageError(f"master name {self.master_name[:60]!r}: letters, digits, _ . + - are possible")
        if self.form != "cbf" and self.master_name in {self.data_file(n).name for n in range(self.n_data_files)}:
            raise UsageError(f"master name {self.master_name!r} is the name of a data file")
        if not 1 <= self.n_images <= MAX_IMAGES or self.images_per_file < 1 or not 0 <= self.parallel_files <= 100:
            raise UsageError(f"1 to {MAX_IMAGES:,} images, 1 or more in a file, and up to 100 files are possible")
        if self.parallel_files and self.form != "nxmx-vds":
            raise UsageError("only a virtual dataset can take images in turn from several files")
        times = (self.rate_hz, self.grow_s, self.late_s, self.master_delay_s)
        if not all(0 <= time < 1e6 for time in times) or not 0 <= self.first_number < 1 << 40:
            raise UsageError("rate, times and numbers are 0 or more")
        if self.faults.duplicate and self.form != "cbf":
            raise UsageError("only CBF files can be written twice")

    def schedule(self) -> Iterator[Due]:
        """Yield the images in the order in which they are written."""
        faults = self.faults
        jitter, late = faults.random(0, "jitter"), faults.random(0, "late")
        period_s = 1.0 / self.rate_hz if self.rate_hz else 0.0
        planned = []
        for place, (number, action) in enumerate(faults.schedule(0, self.n_images, 1)):
            time_s = place * period_s + jitter.random() * faults.jitter_ms / 1000
            if faults.stall_after is not None and place >= faults.stall_after:
                time_s += faults.stall_s
            is_late = bool(self.late) and self.late.takes(number, 1, late)
            planned.append(Due(time_s + self.late_s * is_late, number, action, is_late))
        # At full speed all are due at once: those that are late come last.
        yield from sorted(planned, key=lambda due: (due.time_s, due.is_late))

    @property
    def pattern(self) -> str:
        """How the CBF files are called, with a place for the number."""
        return str(self.folder / f"{self.name}_%05d.cbf")

    @property
    def master(self) -> Path:
        """The master file of HDF5 forms."""
        return self.folder / (self.master_name or f"{self.name}_master.h5")

    @property
    def n_data_files(self) -> int:
        """How many data files HDF5 forms have."""
        return self.parallel_files or -(-self.n_images // self.images_per_file)

    def data_file(self, number: int) -> Path:
        """Return the path of a data file, from 0."""
        return self.folder / f"{self.name}_{number + 1:06d}.h5"

    def place_of(self, number: int) -> tuple[int, int]:
        """Return the data file of an image, and its number there, both from 0."""
        if self.parallel_files:
            place, file = divmod(number, self.parallel_files)
            return file, place
        return divmod(number, self.images_per_file)

    def n_images_in(self, file: int) -> int:
        """Return how many images a data file has in the end."""
        if self.parallel_files:
            return len(range(file, self.n_images, self.parallel_files))
        return min(self.images_per_file, self.n_images - file * self.images_per_file)
