"""Per-image analysis of files: the nine statistics of every image, on as many processes as wanted."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

from glimt.app.analyse_files import ImageGroup, find_images
from glimt.app.analyse_group import AnalysedImage, AnalysisOptions, GroupAnalysis
from glimt.app.analyse_process import AnalysisProcess, Chunk
from glimt.model.errors import UsageError

MAX_PROCESSES = 512
MAX_CHUNK = 16
IMAGES_WORTH_A_PROCESS = 4
"""A process takes about as long to start as this many images."""


@dataclass(slots=True)
class AnalysisReport:
    """How an analysis went.

    Parameters
    ----------
    n_images, n_failed : int
        Images, and those that could not be analyzed.
    n_processes : int
        Processes that worked.
    elapsed_s : float
        From the first look at the files.
    """

    n_images: int = 0
    n_failed: int = 0
    n_processes: int = 1
    elapsed_s: float = 0.0


def analyse_images(
    paths: Sequence[str | Path],
    on_image: Callable[[AnalysedImage], None],
    *,
    options: AnalysisOptions | None = None,
    n_processes: int | None = None,
    progress: Callable[[int, float | None], None] | None = None,
) -> AnalysisReport:
    """Analyze images, and hand on the results in their order.

    Parameters
    ----------
    paths : sequence of str or Path
        Files, folders, templates; see `glimt.app.analyse_files.find_images`.
    on_image : callable
        Called with each `AnalysedImage`, in order. One that cannot be read has an error and no statistics.
    options : AnalysisOptions, optional
        How.
    n_processes : int, optional
        1 works in this process; by default one for every core, and fewer for few images.
    progress : callable, optional
        Called with the number of images done and the fraction of all.

    Raises
    ------
    UsageError
        No images, or a number of processes that is not possible.
    """
    began = time.monotonic()
    if n_processes is not None and not 1 <= n_processes <= MAX_PROCESSES:
        raise UsageError(f"{n_processes} processes; 1 to {MAX_PROCESSES} are possible")
    options = options or AnalysisOptions()
    groups = find_images(paths)
    total = sum(len(group) for group in groups)
    if not total:
        raise UsageError("there are no images in what was given")
    if n_processes is None:
        n_processes = min(len(os.sched_getaffinity(0)), MAX_PROCESSES, total // IMAGES_WORTH_A_PROCESS)
    report = AnalysisReport(n_processes=max(1, min(n_processes, total)))
    images = _here(groups, options) if report.n_processes == 1 else _apart(groups, options, report.n_processes)
    for image in images:
        report.n_images += 1
        report.n_failed += image.quality is None
        on_image(image)
        if progress is not None:
            progress(report.n_images, report.n_images / total)
    report.elapsed_s = time.monotonic() - began
    return report


def _here(groups: Sequence[ImageGroup], options: AnalysisOptions) -> Iterator[AnalysedImage]:
    """Yield the images, analyzed in this process."""
    for group in groups:
        analysis = GroupAnalysis(group, options)
        try:
            for index in range(len(group)):
                yield analysis.analyse(index)
        finally:
            analysis.close()


def _chunks(groups: Sequence[ImageGroup], n_processes: int) -> deque[Chunk]:
    total = sum(len(group) for group in groups)
    size = max(1, min(MAX_CHUNK, total // (4 * n_processes)))
    return deque(
        (number, start, min(start + size, len(group)))
        for number, group in enumerate(groups)
        for start in range(0, len(group), size)
    )


def _apart(groups: Sequence[ImageGroup], options: AnalysisOptions, n_processes: int) -> Iterator[AnalysedImage]:
    """Yield the images in order, analyzed in processes of their own."""
    work = _Work(groups, options, n_processes)
    try:
        for number, group in enumerate(groups):
            for index in range(len(group)):
                while (number, index) not in work.done:
                    work.wait()
                yield work.done.pop((number, index))
    finally:
        work.end()


class _Work:
    """What is to be done and who does it.

    Attributes
    ----------
    done : dict
        Images by group number and position in the group, until they are taken.
    """

    def __init__(self, groups: Sequence[ImageGroup], options: AnalysisOptions, n_processes: int) -> None:
        self._groups, self._options = groups, options
        self._waiting = _chunks(groups, n_processes)
        self.done: dict[tuple[int, int], AnalysedImage] = {}
        self._processes = [AnalysisProcess(groups, options) for _ in range(n_processes)]

    def wait(self) -> None:
        """Take what has come, give out what waits, replace a process that has died."""
        by_connection = {process.connection: process for process in self._processes}
        for connection in wait(list(by_connection)):
            process = by_connection[connection]  # type: ignore[index]  # sockets and handles are not among them
            position = process.chunk[:2] if process.chunk is not None else None
            try:
                image = process.receive()
            except (EOFError, OSError):
                self._replace(process)
                continue
            if image is not None and position is not None:
                self.done[position] = image
            if process.chunk is None and self._waiting:
                process.give(self._waiting.popleft())

    def _replace(self, process: AnalysisProcess) -> None:
        """Blame the image that a process died of, and let another one go on behind it."""
        chunk, was_ready = process.chunk, process.is_ready
        code = process.end()
        self._processes.remove(process)
        if not was_ready:
            raise UsageError(f"a process for the analysis cannot start (exit code {code}); try --processes 1")
        if chunk is not None:
            number, start, stop = chunk
            group = self._groups[number]
            told = f"its analysis ended the process (exit code {code}); the file may be damaged, or memory short"
            self.done[number, start] = AnalysedImage(group.file_of(start), group.numbers[start], None, told)
            if start + 1 < stop:
                self._waiting.appendleft((number, start + 1, stop))
        if self._waiting:
            self._processes.append(AnalysisProcess(self._groups, self._options))

    def end(self) -> None:
        """End all processes."""
        for process in self._processes:
            process.end()
