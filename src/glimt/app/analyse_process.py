"""A process that analyzes images for another one, and what that one holds of it."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection

from glimt.app.analyse_files import ImageGroup
from glimt.app.analyse_group import AnalysedImage, AnalysisOptions, GroupAnalysis

JOIN_S = 5.0

Chunk = tuple[int, int, int]
"""Group number, and the positions of the first image and of the one after the last."""


def run_process(connection: Connection, groups: Sequence[ImageGroup], options: AnalysisOptions) -> None:
    """Analyze the chunks that come over a connection, one image a message, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends this one
    analysis: GroupAnalysis | None = None
    current = -1
    try:
        connection.send(None)  # ready
        while True:
            number, start, stop = connection.recv()
            if number != current or analysis is None:
                if analysis is not None:
                    analysis.close()
                analysis, current = GroupAnalysis(groups[number], options), number
            for index in range(start, stop):
                connection.send(analysis.analyse(index))
    except (EOFError, OSError):
        return  # the parent has ended


class AnalysisProcess:
    """A process with what it has to do.

    Attributes
    ----------
    connection : Connection
        Where its answers come from.
    is_ready : bool
        Whether it has started.
    chunk : (int, int, int) or None
        What it has not answered yet.
    """

    def __init__(self, groups: Sequence[ImageGroup], options: AnalysisOptions) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.is_ready = False
        self.chunk: Chunk | None = None
        self._process = context.Process(target=run_process, args=(theirs, groups, options), daemon=True)
        self._process.start()
        theirs.close()

    def give(self, chunk: Chunk) -> None:
        """Give it images to analyze; if it is dead, `receive` tells."""
        self.chunk = chunk
        try:
            self.connection.send(chunk)
        except OSError:
            return

    def receive(self) -> AnalysedImage | None:
        """Return the next image that it has analyzed, ``None`` when it has just started.

        Raises
        ------
        EOFError, OSError
            It has ended.
        """
        found: AnalysedImage | None = self.connection.recv()
        if found is None:
            self.is_ready = True
        elif self.chunk is not None:
            number, start, stop = self.chunk
            self.chunk = (number, start + 1, stop) if start + 1 < stop else None
        return found

    def end(self) -> int | None:
        """End it and return its exit code."""
        self.connection.close()
        self._process.join(0 if self._process.exitcode is None and self.chunk is not None else JOIN_S)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(JOIN_S)
        return self._process.exitcode
