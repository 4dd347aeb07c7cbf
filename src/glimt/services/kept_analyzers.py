"""Analyzers by what they were made for: a geometry, a mask and what a spot is."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from glimt.codecs.crystfel_geometry_record import CrystfelGeometry
from glimt.model.geometry import Poni
from glimt.pipeline.workers.image_analysis import ImageAnalyzer
from glimt.pipeline.workers.spot_options import SpotOptions
from glimt.services.file_analyzer import file_analyzer
from glimt.services.file_geometry import needs_images_file
from glimt.services.image_files import FileImage, Mask
from glimt.sources.image_file_metadata import ImageMetadata

_Key = tuple[ImageMetadata, SpotOptions, int | None]


class KeptAnalyzers:
    """Makes analyzers, and keeps the ones used last: each has buffers of some images.

    Masks are compared pixel by pixel, so that what is found in an image never depends on the images before it.

    Parameters
    ----------
    largest : int
        How many are kept.
    poni, geometry : Poni or None, CrystfelGeometry or None
        Geometry to use instead of what files say; one of the two.
    mask : ndarray or None
        (slow, fast) bool, True = excluded, besides what files say.
    confine : callable, optional
        Raises for a path that a geometry file must not lead to.
    """

    def __init__(
        self,
        largest: int = 6,
        *,
        poni: Poni | None = None,
        geometry: CrystfelGeometry | None = None,
        mask: Mask | None = None,
        confine: Callable[[str], None] | None = None,
    ) -> None:
        self._largest, self._poni, self._geometry, self._mask = largest, poni, geometry, mask
        self._confine = confine
        self._by_file = geometry is not None and needs_images_file(geometry)
        self._kept: OrderedDict[int, tuple[_Key, Mask | None, ImageAnalyzer]] = OrderedDict()
        self._n_made = 0

    def get(self, image: FileImage, spots: SpotOptions) -> ImageAnalyzer:
        """Return the analyzer for an image.

        Raises
        ------
        UsageError
            The geometry is not known, a mask has another shape, or the options make no sense.
        DecodeError
            What a geometry file takes from the images' file cannot be read.
        """
        opening = image.opening if self._by_file else None
        key = dataclasses.replace(image.metadata, exposure_s=None, period_s=None), spots, opening
        for number in reversed(self._kept):
            kept_key, mask, analyzer = self._kept[number]
            if kept_key == key and _same(mask, image.mask):
                self._kept.move_to_end(number)
                return analyzer
        analyzer = file_analyzer(
            image.metadata,
            spots,
            masks=(image.mask, self._mask),
            poni=self._poni,
            geometry=self._geometry,
            images=image.path,
            confine=self._confine,
        )
        while len(self._kept) >= self._largest:
            self._kept.popitem(last=False)
        self._n_made += 1
        self._kept[self._n_made] = key, image.mask, analyzer
        return analyzer


def _same(one: Mask | None, other: Mask | None) -> bool:
    if one is None or other is None or one is other:
        return one is other
    if one.shape != other.shape:
        return False
    whole_words = one.size % 8 == 0 and one.flags.c_contiguous and other.flags.c_contiguous
    if not whole_words:
        return np.array_equal(one, other)
    return np.array_equal(one.reshape(-1).view(np.uint64), other.reshape(-1).view(np.uint64))
