"""A data collection as it comes to disk: files at the pace of a detector, late, missing or damaged ones among them."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from glimt.model.errors import UsageError
from glimt.sim.collection_cbf import CbfWriter
from glimt.sim.collection_images import as_cbf, as_pixels, cbf_files_of, cbf_header, drawn_images
from glimt.sim.collection_nxmx import NxmxWriter
from glimt.sim.collection_plan import CollectionPlan, Due
from glimt.sim.collection_report import CollectionReport, ImageReport
from glimt.sim.faults import Action, Choice


class SimulatedCollection:
    """A collection that is ready to be written: its images are drawn, or read, before it begins.

    Parameters
    ----------
    plan : CollectionPlan
        What is written, and when.
    source : Path or None
        Folder with CBF files to take the images from; ``None`` draws them.
    shape : (int, int)
        Rows and columns of drawn images [px].
    seed : int
        Of drawn images.
    spots : Choice or None
        Drawn images (from 0) that show a crystal; see `glimt.sim.collection_images.drawn_images`.

    Raises
    ------
    UsageError
        There are no such images, or the folder cannot be made.
    DecodeError
        A file of ``source`` cannot be read.
    """

    def __init__(
        self,
        plan: CollectionPlan,
        *,
        source: Path | None = None,
        shape: tuple[int, int] = (512, 512),
        seed: int = 0,
        spots: Choice | None = None,
    ) -> None:
        self.plan = plan
        if source is not None and spots is not None:
            raise UsageError("--spots is for drawn images, not for those of --from")
        try:
            plan.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{plan.folder} cannot be made: {error.strerror}") from None
        period_s = 1.0 / plan.rate_hz if plan.rate_hz else 0.0
        files = cbf_files_of(source, plan.n_images) if source is not None else None
        self._writer: CbfWriter | NxmxWriter
        if plan.form == "cbf":
            made = (
                files
                if files is not None
                else as_cbf(drawn_images(shape, plan.n_images, seed=seed, spots=spots), period_s)
            )
            self._writer = CbfWriter(plan, made)
        else:
            if files is None:
                images, header = drawn_images(shape, plan.n_images, seed=seed, spots=spots), cbf_header(shape, period_s)
            else:
                images, header = as_pixels(files)
            self._writer = NxmxWriter(plan, images, header)

    def run(self, stop: threading.Event | None = None) -> CollectionReport:
        """Write the collection; return what was written, up to where it was stopped.

        Raises
        ------
        UsageError
            A file cannot be written.
        """
        stop = stop or threading.Event()
        plan, writer = self.plan, self._writer
        is_cbf = isinstance(writer, CbfWriter)
        report = CollectionReport(
            form=plan.form,
            pattern=plan.pattern if is_cbf else "",
            first_number=plan.first_number if is_cbf else 0,
            master="" if is_cbf else str(plan.master),
            n_images=plan.n_images,
            data_files=[] if is_cbf else [str(plan.data_file(k)) for k in range(plan.n_data_files)],
            began_ns=time.time_ns(),
        )
        try:
            self._write_all(report, stop)
        except OSError as error:
            raise UsageError(f"{plan.folder}: cannot be written ({error.strerror or error})") from None
        finally:
            writer.close()
        report.ended_ns = time.time_ns()
        return report

    def _write_all(self, report: CollectionReport, stop: threading.Event) -> None:
        began = time.monotonic()
        random = self.plan.faults.random(0, "garbage bytes")
        master_due = self.plan.master_delay_s if isinstance(self._writer, NxmxWriter) else None
        for due in self.plan.schedule():
            if master_due is not None and due.time_s >= master_due:
                if _stopped(stop, began + master_due):
                    return
                self._write_master()
                master_due = None
            if _stopped(stop, began + due.time_s):
                return
            times: tuple[int | None, int | None] = (None, None)
            if due.action is not Action.DROP:
                times = self._writer.write(due, random, stop)
            elif isinstance(self._writer, NxmxWriter):
                self._writer.passed(due.number)
            report.images.append(self._told(due, *times))
        if master_due is not None and not _stopped(stop, began + master_due):
            self._write_master()

    def _write_master(self) -> None:
        if isinstance(self._writer, NxmxWriter):
            self._writer.write_master()

    def _told(self, due: Due, began_ns: int | None, written_ns: int | None) -> ImageReport:
        path = self._writer.path_of(due.number)
        return ImageReport(due.number + 1, path, began_ns, written_ns, due.action.value, due.is_late)


def _stopped(stop: threading.Event, until: float) -> bool:
    """Wait until a time [s, monotonic]; return whether the collection was stopped."""
    left = until - time.monotonic()
    return stop.wait(left) if left > 0 else stop.is_set()
