"""Where the pixels of a flat detector are, in the convention of pyFAI's PONI files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError

MAX_PIXELS = 1 << 28
"""Largest detector accepted; an Eiger2 16M has 18 million pixels."""

MAX_SIDE = 1 << 20


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{name} is {str(value)[:40]!r}, a number is needed") from None
    if not math.isfinite(number):
        raise UsageError(f"{name} is {number}; give a finite number")
    return number


def _length(value: Any, name: str, low: float, high: float) -> float:
    number = _number(value, name)
    if not low <= number <= high:
        raise UsageError(f"{name} is {number:g} m; meters are meant, {low:g} to {high:g} are accepted")
    return number


def _checked_shape(shape: Sequence[int]) -> tuple[int, int]:
    try:
        slow, fast = (int(n) for n in shape)
        whole = all(int(n) == n for n in shape)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"detector shape is {str(shape)[:60]}; two whole numbers (slow, fast) are needed") from None
    if not whole or not (0 < slow <= MAX_SIDE and 0 < fast <= MAX_SIDE) or slow * fast > MAX_PIXELS:
        raise UsageError(f"detector shape is {str(shape)[:60]} px; 1 to {MAX_PIXELS} pixels are accepted")
    return slow, fast


@dataclass(frozen=True, slots=True)
class Detector:
    """A flat detector: a regular grid of rectangular pixels.

    Parameters
    ----------
    pixel1, pixel2 : float
        Pixel size along the slow and along the fast axis [m].
    shape : (int, int) or None
        (slow, fast) [px]; ``None`` if the geometry file does not say (PONI version 1).
    name : str
        As in the PONI file.
    orientation : int
        pyFAI's: 3, the usual one, has the origin at the bottom right as seen from the sample; 2 turns the slow axis
        around, 4 the fast axis, 1 both.

    Raises
    ------
    UsageError
        A size is not finite or no plausible length, the shape is empty or too large, the orientation is not 1 to 4.
    """

    pixel1: float
    pixel2: float
    shape: tuple[int, int] | None = None
    name: str = "Detector"
    orientation: int = 3

    def __post_init__(self) -> None:
        object.__setattr__(self, "pixel1", _length(self.pixel1, "pixel1", 1e-9, 1.0))
        object.__setattr__(self, "pixel2", _length(self.pixel2, "pixel2", 1e-9, 1.0))
        if self.shape is not None:
            object.__setattr__(self, "shape", _checked_shape(self.shape))
        if self.orientation not in (1, 2, 3, 4):
            raise UsageError(f"detector orientation is {str(self.orientation)[:20]}; pyFAI knows 1, 2, 3 and 4")
        if self.orientation != 3 and self.shape is None:
            raise UsageError("a detector with an orientation other than 3 needs a shape")

    def axes(self) -> tuple[float, float, float, float]:
        """Return ``(origin1, step1, origin2, step2)`` [m]: edge ``k`` of the slow axis is at origin1 + k step1."""
        slow, fast = self.shape or (0, 0)
        origin1, step1 = (slow * self.pixel1, -self.pixel1) if self.orientation in (1, 2) else (0.0, self.pixel1)
        origin2, step2 = (fast * self.pixel2, -self.pixel2) if self.orientation in (1, 4) else (0.0, self.pixel2)
        return origin1, step1, origin2, step2


@dataclass(frozen=True, slots=True)
class Poni:
    """Distance, point of normal incidence, tilts and wavelength: pyFAI's parameters, with pyFAI's names.

    Axis 1 is the detector's slow axis, axis 2 the fast one, axis 3 the beam; the center of pixel (0, 0) is half a pixel
    from the origin. Rotations 1 and 2 are left-handed, rotation 3 is right-handed, applied in this order.

    Parameters
    ----------
    detector : Detector
        Pixel sizes and shape.
    dist : float
        From the sample to the detector plane, along its normal [m].
    poni1, poni2 : float
        Foot of that normal on the detector, slow and fast [m].
    rot1, rot2, rot3 : float
        Tilts [rad].
    wavelength : float or None
        [m]; only q needs it.

    Raises
    ------
    UsageError
        A number is not finite, or distance or wavelength is zero, negative or no plausible length.
    """

    detector: Detector
    dist: float
    poni1: float
    poni2: float
    rot1: float = 0.0
    rot2: float = 0.0
    rot3: float = 0.0
    wavelength: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "dist", _length(self.dist, "dist", 1e-9, 1e6))
        for name in ("poni1", "poni2"):
            object.__setattr__(self, name, _length(getattr(self, name), name, -1e6, 1e6))
        for name in ("rot1", "rot2", "rot3"):
            object.__setattr__(self, name, _number(getattr(self, name), name))
        if self.wavelength is not None:
            object.__setattr__(self, "wavelength", _length(self.wavelength, "wavelength", 1e-15, 1e-5))

    def with_shape(self, shape: Sequence[int]) -> Poni:
        """Return the same geometry for a detector of ``shape`` (slow, fast) [px]."""
        return replace(self, detector=replace(self.detector, shape=_checked_shape(shape)))

    @property
    def shape(self) -> tuple[int, int]:
        """(slow, fast) [px]; raises `UsageError` if nobody has said it."""
        if self.detector.shape is None:
            raise UsageError(
                "the geometry does not say how many pixels the detector has; call with_shape((slow, fast))"
            )
        return self.detector.shape

    def rotation(self) -> npt.NDArray[np.float64]:
        """Return the matrix (3, 3) that takes (slow, fast, normal) of the detector to the laboratory's axes 1, 2, 3."""
        c1, c2, c3 = math.cos(self.rot1), math.cos(self.rot2), math.cos(self.rot3)
        s1, s2, s3 = math.sin(self.rot1), math.sin(self.rot2), math.sin(self.rot3)
        first = np.array([[1.0, 0.0, 0.0], [0.0, c1, s1], [0.0, -s1, c1]])
        second = np.array([[c2, 0.0, -s2], [0.0, 1.0, 0.0], [s2, 0.0, c2]])
        third = np.array([[c3, -s3, 0.0], [s3, c3, 0.0], [0.0, 0.0, 1.0]])
        rotation: npt.NDArray[np.float64] = third @ second @ first
        return rotation
