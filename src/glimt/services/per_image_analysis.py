"""Per-image analysis: an image of a message to its nine statistics, as Diamond's service of that name."""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path

import msgspec

from glimt.codecs.crystfel_geometry import read_geometry
from glimt.kernels.masks_file import read_mask
from glimt.model.errors import DecodeError, RejectedMessageError, UsageError
from glimt.model.poni_text import read_poni
from glimt.services.confined_path import confine_to, confined_path
from glimt.services.image_files import ImageFiles, unreadable
from glimt.services.image_request import AnalysisParameters, ImageRequest, image_request
from glimt.services.kept_analyzers import KeptAnalyzers
from glimt.services.recipe_step import RecipeStep
from glimt.services.service import Service, ServiceSetup
from glimt.services.service_configuration import read_configuration
from glimt.services.warm_kernels import warm_kernels

_log = logging.getLogger(__name__)


class PerImageAnalysisConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[services.per_image_analysis]``.

    Attributes
    ----------
    open_files : int
        HDF5 files that are kept open.
    images_per_turn : int
        Of a message about many images so many are analyzed, then their results go out and the rest waits its turn.
    retry_s : float
        First wait for an image that cannot be read yet.
    poni, geometry, mask : str
        Geometry to use instead of what files say, one of the two, and pixels to leave out besides; files, as
        `glimt analyse` takes. Masks that the geometry file names lie in the roots or in its own folder.
    """

    open_files: int = 16
    images_per_turn: int = 50
    retry_s: float = 0.5
    poni: str = ""
    geometry: str = ""
    mask: str = ""

    def __post_init__(self) -> None:
        if not (1 <= self.open_files <= 1000 and 1 <= self.images_per_turn <= 10_000 and 0 < self.retry_s <= 600):
            raise ValueError("open_files is 1 to 1000, images_per_turn 1 to 10000, retry_s above 0 and up to 600")
        if self.poni and self.geometry:
            raise ValueError("poni and geometry both say where pixels are; leave one of them empty")


class PerImageAnalysisService(Service):
    """Analyzes images, and sends a result for each to the stream ``result``.

    All kernels are compiled when it is made, so that the first message does not wait for that.
    """

    name = "per_image_analysis"
    title = "DLS Per-Image-Analysis"
    queues = ("per_image_analysis",)
    prefetch = 2

    def __init__(self, setup: ServiceSetup) -> None:
        super().__init__(setup)
        self._configuration = read_configuration(setup, self.name, PerImageAnalysisConfiguration)
        self._files = ImageFiles(self._configuration.open_files, roots=setup.roots)
        poni, geometry, mask = (getattr(self._configuration, name) for name in ("poni", "geometry", "mask"))
        self._analyzers = KeptAnalyzers(
            poni=read_poni(poni) if poni else None,
            geometry=read_geometry(geometry) if geometry else None,
            mask=read_mask(mask) if mask else None,
            confine=confine_to([*setup.roots, Path(geometry).resolve().parent] if geometry else setup.roots),
        )
        self._told_reflections = False
        warm_kernels(AnalysisParameters().spots())

    def handle(self, step: RecipeStep) -> None:
        """Analyze the image or the images of a message.

        Of many images, those from the first that cannot be read yet are left to a message of their own, and so is one
        that cannot be analyzed: it is the only one that ends among the dead letters.
        """
        request = image_request(step)
        path = confined_path(request.file, self.setup.roots)
        self._tell_reflections(step)
        retry_s = self._configuration.retry_s
        try:
            request = self._found(request, path)
            first, last = request.first or 0, request.last or 0
            for number in range(first, min(last + 1, first + self._configuration.images_per_turn)):
                try:
                    self._analyze(step, request, path, number, is_one=first == last)
                except DecodeError:
                    if number == first:
                        raise
                    step.checkpoint(request.part(number, last), delay_s=retry_s)
                    return
        except (DecodeError, UsageError) as error:
            raise unreadable(error, step.n_deliveries, retry_s=retry_s) from None
        if number < last:
            step.checkpoint(request.part(number + 1, last))

    def _analyze(self, step: RecipeStep, request: ImageRequest, path: Path, number: int, *, is_one: bool) -> None:
        seen_at_s = time.time()
        image = self._files.read(path, number)
        analyzer = self._analyzers.get(image, request.spots)
        try:
            quality = analyzer.analyze(image.pixels)
        except UsageError:
            if is_one:
                raise
            step.checkpoint(request.part(number, number))
            return
        step.send({**dataclasses.asdict(quality), **request.result_keys(number, seen_at_s)}, "result", default="result")

    def _found(self, request: ImageRequest, path: Path) -> ImageRequest:
        """Return a request as it is meant for the kind of file that was found: one image, or HDF5."""
        if not self._files.holds_many(path):
            if request.is_block:
                raise RejectedMessageError(f"{path} is no HDF5 file; only of those can blocks of frames be analyzed")
            return dataclasses.replace(request, first=None, last=None)
        if request.first is None:
            n_images = self._files.n_images(path)
            if n_images != 1:
                raise RejectedMessageError(
                    f"{path} has {n_images} images, and the message does not say which: "
                    "it needs parameters.scan_range ('first,last', counted from 1) or hdf5-index (from 0)"
                )
        return request

    def _tell_reflections(self, step: RecipeStep) -> None:
        if not self._told_reflections and step.has_output("reflections"):
            self._told_reflections = True
            _log.warning("a recipe wires the stream 'reflections' (tables of DIALS), which is not sent")

    def close(self) -> None:
        """Close all files."""
        self._files.close()
