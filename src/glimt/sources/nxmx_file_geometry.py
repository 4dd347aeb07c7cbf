"""Where the modules of a detector are, from an NXmx file's chains of transformations.

Each module has a first pixel and two directions. Each of these, a vector with a length or an angle, depends on another
transformation, up to one that depends on nothing. Axes are those of NeXus: z along the beam, y up.

Source: NeXus manual, NXtransformations, NXdetector_module and NXmx (definitions v2024.02).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from glimt.sources.image_file_metadata import Panel
from glimt.sources.nxmx_file_links import HDF5_ERRORS, child_names
from glimt.sources.nxmx_file_quantities import METERS, RADIANS, attribute, dataset_in, read_number, text_of, unit_of

Matrix = npt.NDArray[np.float64]

MAX_CHAIN = 32
MAX_MODULES = 1024


@dataclass(frozen=True, slots=True)
class FlatPosition:
    """Distance [m] along the detector's normal, and beam center (slow, fast) [px] from the corner of the image."""

    distance_m: float
    beam_center_px: tuple[float, float]


class _UnclearError(ValueError):
    """The file does not describe a position completely."""


def read_panels(detector: Any, image_shape: tuple[int, ...]) -> tuple[Panel, ...]:
    """Return the modules of a detector group that are described completely, empty if none is.

    Modules are the groups of class NXdetector_module, whatever they are called, and those called ``module...``.
    """
    panels = []
    for name in child_names(detector)[:MAX_MODULES]:
        try:
            module = detector[name]
            if isinstance(module, h5py.Group) and _is_module(name, module):
                panels.append(_read_panel(module, image_shape))
        except HDF5_ERRORS:  # _UnclearError is one of them
            continue
    return tuple(panels)


def _is_module(name: str, group: h5py.Group) -> bool:
    return name.startswith("module") or text_of(attribute(group, "NX_class")) == "NXdetector_module"


def _read_panel(module: h5py.Group, image_shape: tuple[int, ...]) -> Panel:
    start = _whole_numbers(module, "data_origin") or [0] * len(image_shape)
    size = _whole_numbers(module, "data_size") or list(image_shape)
    if not 2 <= len(start) == len(size) <= 4 or min(start) < 0 or min(size) < 1:
        raise _UnclearError("module without a place in the image")
    slow, slow_pixel = _direction(module, "slow_pixel_direction")
    fast, fast_pixel = _direction(module, "fast_pixel_direction")
    offset = dataset_in(module, "module_offset")
    first = offset if offset is not None else dataset_in(module, "fast_pixel_direction")
    matrix = _chain(first) if offset is not None else _chain_behind(first)
    return Panel(
        slow_start=start[-2],
        fast_start=start[-1],
        module_number=start[-3] if len(start) > 2 else 0,
        shape=(size[-2], size[-1]),
        origin_m=_triple(matrix[:3, 3]),
        slow_axis=_triple(slow),
        fast_axis=_triple(fast),
        pixel_size_m=(slow_pixel, fast_pixel),
    )


def _triple(vector: Matrix) -> tuple[float, float, float]:
    x, y, z = (float(component) for component in vector)
    return x, y, z


def _whole_numbers(group: Any, name: str) -> list[int] | None:
    dataset = dataset_in(group, name)
    if dataset is None or dataset.ndim != 1 or not 2 <= dataset.size <= 4 or dataset.dtype.kind not in "iu":
        return None
    return [int(n) for n in dataset[()]]


def _vector(item: Any, name: str) -> Matrix:
    vector = np.asarray(attribute(item, name), np.float64)
    if vector.shape != (3,) or not np.isfinite(vector).all():
        raise _UnclearError(f"{name} is no vector")
    return vector


def _direction(module: Any, name: str) -> tuple[Matrix, float]:
    """Return a pixel axis in the laboratory, a unit vector, and the size of a pixel along it [m]."""
    item = dataset_in(module, name)
    length, factor = read_number(item), METERS.get(unit_of(item, "m"))
    if item is None or length is None or factor is None or length <= 0:
        raise _UnclearError(f"{name} has no length")
    turned = _chain_behind(item)[:3, :3] @ _vector(item, "vector")
    norm = float(np.linalg.norm(turned))
    if not norm > 0:
        raise _UnclearError(f"{name} has no direction")
    return turned / norm, length * factor


def _chain_behind(item: Any) -> Matrix:
    """Return the product of the transformations that ``item`` depends on, without its own."""
    return _chain(_next(item)) if item is not None else np.eye(4)


def _chain(item: Any) -> Matrix:
    """Return the product of a transformation and all it depends on, as (4, 4)."""
    matrix = np.eye(4)
    for _ in range(MAX_CHAIN):
        if item is None:
            return matrix
        matrix = _transformation(item) @ matrix
        item = _next(item)
    raise _UnclearError("transformations depend on each other in a circle")


def _next(item: Any) -> Any:
    name = text_of(attribute(item, "depends_on"))
    if name in {None, "", "."}:
        return None
    target = item.file.get(name) if str(name).startswith("/") else item.parent.get(name)
    if not isinstance(target, h5py.Dataset):
        raise _UnclearError(f"{name} is not there")
    return target


def _transformation(item: Any) -> Matrix:
    kind, value = text_of(attribute(item, "transformation_type")), read_number(item)
    vector = _vector(item, "vector")
    norm = float(np.linalg.norm(vector))
    if value is None or not norm > 0:
        raise _UnclearError("a transformation without a number or a direction")
    matrix = np.eye(4)
    if kind == "rotation":
        matrix[:3, :3] = _rotation(vector / norm, value * _factor(item, RADIANS, "deg"))
    elif kind == "translation":
        matrix[:3, 3] = vector / norm * value * _factor(item, METERS, "m")
    else:
        raise _UnclearError("neither a rotation nor a translation")
    if attribute(item, "offset") is not None:
        matrix[:3, 3] += _vector(item, "offset") * METERS.get(text_of(attribute(item, "offset_units")) or "m", math.nan)
    if not np.isfinite(matrix).all():
        raise _UnclearError("an offset in an unknown unit")
    return matrix


def _factor(item: Any, units: dict[str, float], default: str) -> float:
    factor = units.get(unit_of(item, default))
    if factor is None:
        raise _UnclearError("an unknown unit")
    return factor


def _rotation(axis: Matrix, angle: float) -> Matrix:
    """Return Rodrigues' matrix of a right-handed turn."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turned: Matrix = np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * (cross @ cross)
    return turned


def flat_position(panel: Panel) -> FlatPosition | None:
    """Return where the beam, along z, meets a panel's plane; ``None`` if it runs along it or away from it."""
    origin, slow, fast = (np.array(v) for v in (panel.origin_m, panel.slow_axis, panel.fast_axis))
    normal = np.cross(fast, slow)
    cosine = float(normal[2])
    if abs(cosine) < 1e-6:
        return None
    distance = float(normal @ origin)
    along_beam = distance / cosine
    if along_beam <= 0:
        return None
    in_plane = np.array([0.0, 0.0, along_beam]) - origin
    gram = np.array([[slow @ slow, slow @ fast], [slow @ fast, fast @ fast]])
    if abs(np.linalg.det(gram)) < 1e-6:
        return None
    along = np.linalg.solve(gram, np.array([slow @ in_plane, fast @ in_plane]))
    return FlatPosition(
        abs(distance),
        (
            float(along[0]) / panel.pixel_size_m[0] + panel.slow_start,
            float(along[1]) / panel.pixel_size_m[1] + panel.fast_start,
        ),
    )
