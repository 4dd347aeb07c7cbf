"""`azint.detector`: pixel sizes and shape, by azint's names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model import geometry
from glimt.model.errors import UsageError
from glimt.model.known_detectors import KNOWN_DETECTORS


class Detector:
    """A flat detector.

    Parameters
    ----------
    pixel1, pixel2 : float
        Pixel size along the slow and the fast axis [m].
    max_shape : (int, int)
        (slow, fast) [px].
    pixel_corners : ndarray, optional
        Corners of a distorted detector; only ``None`` is possible here.

    Attributes
    ----------
    model : glimt.model.geometry.Detector
        The same, as the rest of glimt has it.

    Raises
    ------
    UsageError
        A size makes no sense, or corners are given.
    """

    def __init__(
        self, pixel1: float, pixel2: float, max_shape: Sequence[int], pixel_corners: npt.ArrayLike | None = None
    ) -> None:
        if pixel_corners is not None:
            raise UsageError("detectors with pixel_corners of their own (distorted, NeXus) are not supported")
        self.model = geometry.Detector(pixel1, pixel2, max_shape)  # type: ignore[arg-type]  # it checks the length

    @classmethod
    def of_model(cls, model: geometry.Detector) -> Detector:
        """Return azint's face of a detector of glimt's, which may have an orientation or lack a shape."""
        detector = cls.__new__(cls)
        detector.model = model
        return detector

    @classmethod
    def factory(cls, name: str, config: Mapping[str, Any] | None = None) -> Detector:
        """Return the detector that pyFAI calls ``name``; ``config`` overrides pixel1, pixel2 and max_shape.

        Raises
        ------
        UsageError
            There is no such detector and the configuration does not make up for it.
        """
        known = KNOWN_DETECTORS.get(name.lower())
        values: dict[str, Any] = {}
        if known is not None:
            values = {"pixel1": known.pixel_size_m, "pixel2": known.pixel_size_m, "max_shape": known.shape}
        elif name != "Detector":
            raise UsageError(f"detector {name[:40]!r} is not known; use 'Detector' with pixel1, pixel2 and max_shape")
        values.update(config or {})
        missing = [key for key in ("pixel1", "pixel2", "max_shape") if values.get(key) is None]
        if missing:
            raise UsageError(f"the configuration of detector {name} lacks {', '.join(missing)}")
        return cls(values["pixel1"], values["pixel2"], values["max_shape"], values.get("pixel_corners"))

    @property
    def pixel1(self) -> float:
        """Pixel size along the slow axis [m]."""
        return self.model.pixel1

    @property
    def pixel2(self) -> float:
        """Pixel size along the fast axis [m]."""
        return self.model.pixel2

    @property
    def shape(self) -> tuple[int, int] | None:
        """(slow, fast) [px]; ``None`` if a PONI file of version 1 has not said it."""
        return self.model.shape

    @property
    def pixel_corners(self) -> npt.NDArray[np.float32]:
        """Corners on the detector, (slow, fast, 4, 3) float32 [m]: around the pixel; (normal, slow, fast)."""
        corners = np.zeros((*(self.shape or (0, 0)), 4, 3), np.float32)
        origin1, step1, origin2, step2 = self.model.axes()
        for corner, (slow, fast) in enumerate(((0, 0), (1, 0), (1, 1), (0, 1))):
            corners[:, :, corner, 1] = (origin1 + (np.arange(corners.shape[0]) + slow) * step1)[:, np.newaxis]
            corners[:, :, corner, 2] = origin2 + (np.arange(corners.shape[1]) + fast) * step2
        return corners
