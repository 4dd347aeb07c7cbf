"""Numbers and texts of an HDF5 file, in the units that their names promise."""

from __future__ import annotations

import math
from typing import Any

import h5py

from glimt.sources.nxmx_file_links import HDF5_ERRORS

METERS = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "um": 1e-6, "µm": 1e-6, "μm": 1e-6, "micron": 1e-6, "microns": 1e-6,
          "nm": 1e-9, "angstrom": 1e-10, "angstroms": 1e-10, "å": 1e-10, "a": 1e-10, "pm": 1e-12}  # fmt: skip
METERS |= {"meter": 1.0, "meters": 1.0, "metre": 1.0, "millimeter": 1e-3, "micrometer": 1e-6}
SECONDS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
ANGSTROM = {unit: factor * 1e10 for unit, factor in METERS.items()}
ELECTRONVOLT = {"ev": 1.0, "kev": 1e3, "mev": 1e6, "j": 1 / 1.602176634e-19}
RADIANS = {"rad": 1.0, "radian": 1.0, "radians": 1.0, "deg": math.pi / 180, "degree": math.pi / 180,
           "degrees": math.pi / 180, "mrad": 1e-3}  # fmt: skip
PIXELS = {"": 1.0, "pixel": 1.0, "pixels": 1.0, "px": 1.0}
ANY = {"": 1.0}

MAX_TEXT_CHARACTERS = 1000


def text_of(value: Any) -> str | None:
    """Return an HDF5 string or a one-element array of one; ``None`` for anything else."""
    if hasattr(value, "ravel") and hasattr(value, "size"):
        value = value.ravel()[0] if value.size else None
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value.strip()[:MAX_TEXT_CHARACTERS] if isinstance(value, str) else None


def attribute(item: Any, name: str) -> Any:
    """Return an attribute, ``None`` if there is none that can be read."""
    try:
        return item.attrs.get(name)
    except HDF5_ERRORS:
        return None


def dataset_in(group: Any, name: str) -> Any:
    """Return a dataset of a group (or of a group in it), ``None`` if there is none that can be reached."""
    try:
        item = group.get(name) if group is not None else None
        return item if isinstance(item, h5py.Dataset) and item.shape is not None else None
    except HDF5_ERRORS:
        return None


def read_text(group: Any, name: str) -> str | None:
    """Return the text of a dataset, ``None`` if there is none."""
    dataset = dataset_in(group, name)
    try:
        return text_of(dataset[()]) if dataset is not None and dataset.size == 1 else None
    except HDF5_ERRORS:
        return None


def read_number(dataset: Any) -> float | None:
    """Return the first number of a dataset, ``None`` if it is empty, no number or not finite."""
    try:
        if dataset is None or dataset.dtype.kind not in "iuf" or not dataset.size:
            return None
        value = float(dataset[(0,) * dataset.ndim])
    except HDF5_ERRORS:
        return None
    return value if math.isfinite(value) else None


def read_quantity(group: Any, name: str, units: dict[str, float], *, unit: str) -> float | None:
    """Return a quantity in the base unit of ``units``; of several values, one an image, the first.

    Parameters
    ----------
    group : h5py.Group
        Where to look.
    name : str
        Dataset in it.
    units : dict
        Factors of the units that are understood, in lower case.
    unit : str
        What is meant where the file does not say.

    Returns
    -------
    float or None
        ``None`` if there is no finite number or its unit is not understood: a wrong number is worse than none.
    """
    dataset = dataset_in(group, name)
    number = read_number(dataset)
    factor = units.get(unit_of(dataset, unit))
    return number * factor if number is not None and factor is not None else None


def unit_of(item: Any, default: str) -> str:
    """Return the unit of a dataset in lower case, ``default`` if the file does not say."""
    written = text_of(attribute(item, "units")) if item is not None else None
    return (written or default).lower()
