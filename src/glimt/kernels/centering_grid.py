"""A grid scan: in which order the beam went over the boxes, and where the boxes lie on the camera's picture."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError

Array = npt.NDArray[Any]
Orientation = Literal["horizontal", "vertical"]

MAX_STEPS = 1 << 20
"""Most boxes of one grid; a fast scan of a whole plate has some ten thousand."""


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{name} is {str(value)[:40]!r}, a number is needed") from None
    if not math.isfinite(number):
        raise UsageError(f"{name} is {number}; give a finite number")
    return number


def _pair(value: Any, name: str, *, positive: bool) -> tuple[float, float]:
    try:
        x, y = value
    except (TypeError, ValueError):
        raise UsageError(f"{name} is {str(value)[:40]}; two numbers (x, y) are needed") from None
    x, y = _number(x, name), _number(y, name)
    if positive and not (x > 0 and y > 0):
        raise UsageError(f"{name} is ({x:g}, {y:g}); both have to be more than 0")
    return x, y


def _is_true(value: Any) -> bool:
    return value.strip().lower() in ("1", "true", "yes", "on") if isinstance(value, str) else bool(value)


def fill_missing(values: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], int]:
    """Return the values of a grid, a new float64 array with 0 where they are NaN, and how many of them are.

    Raises
    ------
    UsageError
        Values are negative or infinite, or no numbers.
    """
    given = np.asarray(values)
    if given.dtype.kind not in "biuf":
        raise UsageError(f"the values of the grid have type {given.dtype}; numbers are needed")
    filled = given.astype(np.float64)
    missing = np.isnan(filled)
    filled[missing] = 0.0
    if filled.size and not (filled.min() >= 0 and np.isfinite(filled.max())):
        raise UsageError(
            f"the values of the grid go from {filled.min():g} to {filled.max():g}; "
            "give finite ones, 0 for an image that shows nothing and NaN for a missing one"
        )
    return filled, int(np.count_nonzero(missing))


@dataclass(frozen=True, slots=True)
class ScanGrid:
    """The boxes of a grid scan.

    Parameters
    ----------
    steps : (int, int)
        Number of boxes along x and y.
    snaked : bool
        Whether every second line was scanned backwards.
    orientation : {"horizontal", "vertical"}
        Along which axis the lines are: x (horizontal) or y.
    box_size_px : (float, float)
        Of a box on the camera's picture, x and y [px].
    snapshot_offset_px : (float, float)
        Corner of the grid on the camera's picture, x and y [px].
    box_size_um : (float, float) or None
        Of a box on the sample, x and y [µm]; only wells of a multi-sample pin need it.

    Raises
    ------
    UsageError
        A number is not finite, a size is not positive, there are no boxes or more than `MAX_STEPS`.
    """

    steps: tuple[int, int]
    snaked: bool = False
    orientation: Orientation = "horizontal"
    box_size_px: tuple[float, float] = (1.0, 1.0)
    snapshot_offset_px: tuple[float, float] = (0.0, 0.0)
    box_size_um: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        x, y = _pair(self.steps, "steps", positive=True)
        if x != int(x) or y != int(y) or x * y > MAX_STEPS:
            raise UsageError(f"the grid has {x:g} x {y:g} steps; whole numbers up to {MAX_STEPS} boxes are accepted")
        object.__setattr__(self, "steps", (int(x), int(y)))
        if self.orientation not in ("horizontal", "vertical"):
            raise UsageError(f"orientation is {str(self.orientation)[:40]!r}; it is 'horizontal' or 'vertical'")
        object.__setattr__(self, "box_size_px", _pair(self.box_size_px, "box_size_px", positive=True))
        object.__setattr__(
            self, "snapshot_offset_px", _pair(self.snapshot_offset_px, "snapshot_offset_px", positive=False)
        )
        if self.box_size_um is not None:
            object.__setattr__(self, "box_size_um", _pair(self.box_size_um, "box_size_um", positive=True))

    @classmethod
    def from_gridinfo(cls, gridinfo: Mapping[str, Any]) -> ScanGrid:
        """Return the grid that ISPyB's GridInfo, as Zocalo's recipes carry it, describes.

        Parameters
        ----------
        gridinfo : mapping
            ``steps_x``, ``steps_y``, ``dx_mm``, ``dy_mm``, ``micronsPerPixelX`` and ``Y`` (or, under their older name,
            ``pixelsPerMicronX`` and ``Y``, which held the same), ``snapshot_offsetXPixel`` and ``Y``, ``snaked``,
            ``orientation``. Numbers may be texts, as recipes make of them.

        Raises
        ------
        UsageError
            An entry is missing or makes no sense; the text names it.
        """
        if not isinstance(gridinfo, Mapping):
            raise UsageError(f"gridinfo is {str(gridinfo)[:40]!r}; an object with steps_x, steps_y and so on is needed")

        def entry(*names: str) -> Any:
            for name in names:
                if gridinfo.get(name) is not None:
                    return gridinfo[name]
            raise UsageError(f"gridinfo has no {names[0]}; it has: {', '.join(map(str, gridinfo))[:200] or 'nothing'}")

        size_um, size_px = [], []
        for axis, letter in (("X", "x"), ("Y", "y")):
            size = 1000.0 * _number(entry(f"d{letter}_mm"), f"d{letter}_mm")
            scale = _number(entry(f"micronsPerPixel{axis}", f"pixelsPerMicron{axis}"), f"micronsPerPixel{axis}")
            if not scale > 0:
                raise UsageError(f"micronsPerPixel{axis} is {scale:g}; it has to be more than 0")
            size_um.append(size)
            size_px.append(size / scale)
        return cls(
            steps=(entry("steps_x"), entry("steps_y")),
            snaked=_is_true(entry("snaked")),
            orientation=str(entry("orientation")).lower(),  # type: ignore[arg-type]  # checked when the grid is made
            box_size_px=(size_px[0], size_px[1]),
            snapshot_offset_px=(entry("snapshot_offsetXPixel"), entry("snapshot_offsetYPixel")),
            box_size_um=(size_um[0], size_um[1]),
        )

    @property
    def n_images(self) -> int:
        """Number of boxes, one image each."""
        return self.steps[0] * self.steps[1]

    def arrange(self, values: npt.ArrayLike) -> Array:
        """Return values by image as values by box.

        Parameters
        ----------
        values : array_like
            (image,) in the order in which they were taken. Fewer than `n_images` are those of a scan that was stopped.

        Returns
        -------
        ndarray
            (x, y), a new array; of float64 with NaN in the boxes that were not reached, if any.

        Raises
        ------
        UsageError
            There are more values than boxes, or they are no numbers.
        """
        linear = np.asarray(values)
        if linear.ndim != 1 or linear.size > self.n_images:
            raise UsageError(f"there are {linear.shape} values for a grid of {self.steps[0]} x {self.steps[1]} boxes")
        if linear.dtype.kind not in "biuf":
            raise UsageError(f"the values have type {linear.dtype}; numbers are needed")
        if linear.size < self.n_images:
            linear = np.concatenate((linear.astype(np.float64), np.full(self.n_images - linear.size, np.nan)))
        steps_x, steps_y = self.steps
        lines = linear.reshape((steps_y, steps_x) if self.orientation == "horizontal" else (steps_x, steps_y)).copy()
        if self.snaked:
            lines[1::2] = lines[1::2, ::-1].copy()
        return lines.T if self.orientation == "horizontal" else lines
