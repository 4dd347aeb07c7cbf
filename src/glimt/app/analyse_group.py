"""The analysis of the images of one group, in one process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.app.analyse_files import ImageGroup
from glimt.codecs.crystfel_geometry_record import CrystfelGeometry
from glimt.kernels.image_quality import ImageQuality
from glimt.model.errors import GlimtError, UsageError
from glimt.model.geometry import Poni
from glimt.pipeline.workers.image_analysis import ImageAnalyzer
from glimt.pipeline.workers.spot_options import SpotOptions
from glimt.services.file_analyzer import file_analyzer
from glimt.sources.image_file import open_images
from glimt.sources.image_file_series import ImageSeries


@dataclass(frozen=True, slots=True)
class AnalysisOptions:
    """How images are analyzed.

    Parameters
    ----------
    spots : SpotOptions
        What a spot is.
    poni, geometry : Poni or None, CrystfelGeometry or None
        Geometry to use instead of what the files say; one of the two.
    mask : ndarray or None
        (slow, fast) bool, True = excluded, besides what the files say.
    """

    spots: SpotOptions = field(default_factory=SpotOptions)
    poni: Poni | None = None
    geometry: CrystfelGeometry | None = None
    mask: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class AnalysedImage:
    """What was found about one image.

    Parameters
    ----------
    file : str
        Where it is.
    image_number : int
        In its file, 0-based, or that in the file's name.
    quality : ImageQuality or None
        The nine statistics; ``None`` if there is an error.
    error : str
        Why it could not be analyzed.
    """

    file: str
    image_number: int
    quality: ImageQuality | None
    error: str = ""


class GroupAnalysis:
    """Analyzes the images of one group by their position in it; keeps its files open between images.

    Parameters
    ----------
    group : ImageGroup
        Which images.
    options : AnalysisOptions
        How.
    """

    def __init__(self, group: ImageGroup, options: AnalysisOptions) -> None:
        self._group, self._options = group, options
        self._errors: dict[int, str] = {}
        self._series: ImageSeries | None = None
        self._first = 0
        self._analyzer: ImageAnalyzer | None = None
        self._buffer: npt.NDArray[Any] | None = None

    def analyse(self, index: int) -> AnalysedImage:
        """Return the statistics of an image, or why there are none; never raises for what is wrong with a file."""
        file, number = self._group.file_of(index), self._group.numbers[index]
        try:
            return AnalysedImage(file, number, self._quality(index))
        except (GlimtError, OSError, MemoryError) as error:
            return AnalysedImage(file, number, None, str(error) or type(error).__name__)

    def _quality(self, index: int) -> ImageQuality:
        if self._group.error:
            raise UsageError(self._group.error)
        if self._series is None:
            self._open()
        if index in self._errors:
            raise UsageError(self._errors[index])
        series = self._series
        if series is None:
            raise UsageError("no image before it could be opened")
        if self._buffer is None:
            self._buffer = np.empty(series.metadata.shape, series.metadata.dtype)
        pixels = series.read(index - self._first, self._buffer, narrow=True)
        if self._analyzer is None:
            options = self._options
            self._analyzer = file_analyzer(
                series.metadata,
                options.spots,
                masks=(series.mask, options.mask),
                poni=options.poni,
                geometry=options.geometry,
                images=series.path,
            )
        return self._analyzer.analyze(pixels)

    def _open(self) -> None:
        """Open the images from the first one on that can be read."""
        files = self._group.files
        if len(files) == 1:
            self._series = open_images(files[0])
            return
        for first in range(self._first, len(files)):
            try:
                self._series = open_images(files[first:])
            except (GlimtError, OSError) as error:
                self._errors[first] = str(error)
                self._first = first + 1
            else:
                return

    def close(self) -> None:
        """Close the files."""
        if self._series is not None:
            self._series.close()
