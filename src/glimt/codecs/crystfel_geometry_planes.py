"""Masks and saturation maps that a CrystFEL geometry file names, put together for a frame from what their files hold.

Nothing is opened here: the caller gives a function that reads. Rules: crystfel_geometry(5), CrystFEL 0.11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.codecs.crystfel_geometry_record import CrystfelGeometry, CrystfelPanel
from glimt.model.detector_geometry import DetectorGeometry
from glimt.model.errors import UsageError
from glimt.model.panel_placement import PanelPlacement

Mask = npt.NDArray[np.bool_]
Plane = npt.NDArray[Any]

ReadPlanes = Callable[[str | None, str], "Plane | None"]
"""Takes a file (``None``: that of the images) and a dataset in it; returns the whole array. ``None`` if there is no
file of images that could have one: CrystFEL, too, leaves out such masks of what comes from a stream or from CBF files.
"""

_ALL_BITS = (1 << 64) - 1
_EXACT = float(1 << 53)

_Users = list[tuple[int, str, int, int]]
"""Panel number, what its parameter is called, good bits, bad bits."""


def file_mask(geometry: CrystfelGeometry, detector: DetectorGeometry, read: ReadPlanes) -> Mask | None:
    """Return the pixels that masks in files exclude, ``None`` if the geometry file names none that can be read.

    A pixel is bad unless it has all of a mask's good bits, and if it has any of its bad bits. A mask without either
    excludes nothing.

    Parameters
    ----------
    geometry : CrystfelGeometry
        What the file says.
    detector : DetectorGeometry
        Made of it by `glimt.codecs.crystfel_geometry_detector.detector_geometry`.
    read : callable
        Reads an array, see `ReadPlanes`; what it raises goes on.

    Returns
    -------
    ndarray or None
        (slow, fast) bool of frames, True = excluded; False on no panel.

    Raises
    ------
    UsageError
        An array has other dimensions than the panel's data, is too small for it, differs from image to image, or is not
        made of whole numbers.
    """
    shape, placements = detector.layout()
    users: dict[tuple[str | None, str], _Users] = {}
    for number, panel in enumerate(geometry.panels):
        for source in panel.masks:
            if source.data is not None:
                user = number, f"mask{source.number}_data", source.good_bits, source.bad_bits
                users.setdefault((source.file, source.data), []).append(user)
    mask: Mask | None = None
    for number, plane, what, (good, bad) in _planes(geometry, users, read):
        if mask is None:
            mask = np.zeros(shape, np.bool_)
        mask[_area(placements, number, plane, geometry)] |= _excluded(plane, good, bad, what)
    return mask


def saturation_values(
    geometry: CrystfelGeometry, detector: DetectorGeometry, read: ReadPlanes
) -> npt.NDArray[np.float64] | None:
    """Return the largest count of each pixel that is not saturated, ``None`` if the geometry file says nothing of it.

    Returns
    -------
    ndarray or None
        (slow, fast) float64 of frames, from ``saturation_map`` and ``max_adu``, the lower where there are both;
        infinite where there is neither.

    Raises
    ------
    UsageError
        As for `file_mask`; also if ``saturation_map`` is not made of numbers.
    """
    shape, placements = detector.layout()
    users: dict[tuple[str | None, str], _Users] = {}
    for number, panel in enumerate(geometry.panels):
        if panel.saturation_map is not None:
            location = panel.saturation_map_file, panel.saturation_map
            users.setdefault(location, []).append((number, "saturation_map", 0, 0))
    largest: npt.NDArray[np.float64] = np.full(shape, np.inf)
    is_known = False
    for panel, place in zip(geometry.panels, placements, strict=True):
        if panel.max_adu is not None:
            largest[place.area], is_known = panel.max_adu, True
    for number, plane, what, _ in _planes(geometry, users, read):
        if plane.dtype.kind not in "biuf":
            raise UsageError(f"{what} has the type {str(plane.dtype)[:40]}; numbers are needed")
        area = _area(placements, number, plane, geometry)
        largest[area], is_known = np.fmin(largest[area], plane), True
    return largest if is_known else None


def _area(
    placements: tuple[PanelPlacement, ...], number: int, plane: Plane, geometry: CrystfelGeometry
) -> tuple[slice, slice]:
    if len(placements) != len(geometry.panels) or placements[number].shape != plane.shape:
        raise UsageError("the detector was not made of this geometry file: its panels are others")
    return placements[number].area


def _planes(
    geometry: CrystfelGeometry, users: dict[tuple[str | None, str], _Users], read: ReadPlanes
) -> Iterator[tuple[int, Plane, str, tuple[int, int]]]:
    """Yield each panel's part (ss, fs) of the arrays that it uses; one array is held at a time."""
    for (file, dataset), panels in users.items():
        first = geometry.panels[panels[0][0]].name
        here = f"{file or 'the file of the images'}:{dataset}"[:300]
        if "%" in dataset:
            raise UsageError(
                f"{panels[0][1]} of panel {first[:60]}, {here}, differs from image to image; name an array that holds "
                "for all of them"
            )
        array = read(file, dataset)
        if array is None:
            continue
        for number, parameter, good, bad in panels:
            panel = geometry.panels[number]
            what = f"{parameter} of panel {panel.name[:60]}, {here},"
            yield number, array[_index(panel, array.shape, what)], what, (good, bad)


def _index(panel: CrystfelPanel, shape: tuple[int, ...], what: str) -> tuple[int | slice, ...]:
    """Return the panel's part of an array that has the axes of its data, with or without that of the images."""
    axes = panel.dims
    if len(shape) == len(axes) - axes.count("%"):
        axes = tuple(axis for axis in axes if axis != "%")
    if len(shape) != len(axes):
        raise UsageError(f"{what} has the shape {shape}; the axes are {', '.join(map(str, axes))}")
    index: list[int | slice] = []
    for axis, n in zip(axes, shape, strict=True):
        if axis == "%":
            if n != 1:
                raise UsageError(f"{what} has {n} planes, one for each image; name an array that holds for all of them")
            index.append(0)
            continue
        if isinstance(axis, int):
            first, last = axis, axis
        else:
            first, last = (panel.min_ss, panel.max_ss) if axis == "ss" else (panel.min_fs, panel.max_fs)
        if last >= n:
            raise UsageError(f"{what} has the shape {shape}; along {axis} the panel needs {last + 1}")
        index.append(first if isinstance(axis, int) else slice(first, last + 1))
    return tuple(index)


def _excluded(plane: Plane, good: int, bad: int, what: str) -> Mask:
    if plane.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = np.isfinite(plane) & (np.abs(plane) < _EXACT)
            whole &= plane == np.rint(plane)
        if not whole.all():
            raise UsageError(f"{what} has pixels that are no whole numbers; bits are needed")
        plane = plane.astype(np.int64)
    if plane.dtype.kind not in "biu":
        raise UsageError(f"{what} has the type {str(plane.dtype)[:40]}; whole numbers are needed")
    # Negative numbers have the bits of their two's complement, as in C.
    bits = plane.astype(np.int64).view(np.uint64) if plane.dtype.kind == "i" else plane.astype(np.uint64)
    wanted, unwanted = np.uint64(good & _ALL_BITS), np.uint64(bad & _ALL_BITS)
    excluded: Mask = ((bits & wanted) != wanted) | ((bits & unwanted) != 0)
    return excluded
