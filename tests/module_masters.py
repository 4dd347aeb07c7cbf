"""Files of a detector with modules that stand at different places and angles, with spots, for the tests."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from glimt.model.detector_geometry import DetectorGeometry, Panel
from glimt.model.panel_placement import PanelPlacement
from hdf5_masters import group

N_MODULES, MODULE = 3, (60, 100)
STACKED = (N_MODULES * MODULE[0], MODULE[1])
PIXEL_MM, WAVELENGTH_ANGSTROM, TILT = 0.1, 1.25, 0.1
IMAGES = "/entry/data/data"

GEOMETRY = f"""photon_energy = {12398.419843320026 / WAVELENGTH_ANGSTROM!r} eV
clen = 0.05 m
res = 10000
data = {IMAGES}
dim0 = %
""" + "".join(
    f"m{k}/{line}\n"
    for k in range(N_MODULES)
    for line in (
        f"dim1 = {k}", "dim2 = ss", "dim3 = fs", "min_fs = 0", f"max_fs = {MODULE[1] - 1}", "min_ss = 0",
        f"max_ss = {MODULE[0] - 1}", "corner_x = -50", f"corner_y = {-100 + 70 * k}", "fs = x",
        f"ss = {math.cos(TILT * k)!r}y + {math.sin(TILT * k):.17f}z",
    )
)  # fmt: skip
"""The same detector as a CrystFEL geometry file, its images (image, module, slow, fast)."""


def origin_mm(k: int) -> tuple[float, float, float]:
    """Return the corner of a module."""
    return -5.0, -10.0 + 7.0 * k, 50.0


def module_detector() -> DetectorGeometry:
    """Return the detector."""
    panels = [
        Panel(
            origin_mm(k), (1.0, 0.0, 0.0), (0.0, math.cos(TILT * k), math.sin(TILT * k)),
            (PIXEL_MM, PIXEL_MM), MODULE,
        )
        for k in range(N_MODULES)
    ]  # fmt: skip
    places = [PanelPlacement(k * MODULE[0], 0, MODULE) for k in range(N_MODULES)]
    return DetectorGeometry(panels, WAVELENGTH_ANGSTROM, placements=places, frame_shape=STACKED)


def module_frames(n: int, dtype: str = "uint16") -> npt.NDArray[Any]:
    """Return images (image, module, slow, fast) with spots on all modules, also across their borders."""
    random = np.random.default_rng(n)
    frames = random.poisson(0.5, (n, *STACKED))
    for frame in frames:
        for slow, fast in zip(random.integers(3, STACKED[0] - 3, 90), random.integers(3, 96, 90), strict=True):
            frame[slow - 1 : slow + 2, fast - 1 : fast + 2] += random.poisson(60, (3, 3))
    return frames.astype(dtype).reshape(n, N_MODULES, *MODULE)


def write_module_master(path: Path, pixels: npt.NDArray[Any], *, stacked: bool = False, n_described: int = 3) -> Path:
    """Write an NXmx file of these images, its modules on an axis of their own, or below each other in flat images."""
    with h5py.File(path, "w", libver="latest") as file:
        entry = group(file, "entry", "NXentry")
        data = group(entry, "data", "NXdata")
        kept = pixels.reshape(len(pixels), *STACKED) if stacked else pixels
        data.create_dataset("data", data=kept, chunks=(1, *kept.shape[1:]))
        instrument = group(entry, "instrument", "NXinstrument")
        detector = group(instrument, "detector", "NXdetector")
        beam = group(instrument, "beam", "NXbeam")
        beam["incident_wavelength"] = WAVELENGTH_ANGSTROM
        beam["incident_wavelength"].attrs["units"] = "angstrom"
        for k in range(n_described):
            _write_module(detector, k, stacked=stacked)
    return path


def _write_module(detector: Any, k: int, *, stacked: bool) -> None:
    module = group(detector, f"ARRAY_D0Q0M{k}", "NXdetector_module")
    module["data_origin"] = [k * MODULE[0], 0] if stacked else [k, 0, 0]
    module["data_size"] = list(MODULE) if stacked else [1, *MODULE]
    length = float(np.linalg.norm(origin_mm(k)))
    _write_axis(module, "module_offset", (length, "mm"), "translation", origin_mm(k), ".")
    _write_axis(module, "tilt", (TILT * k, "rad"), "rotation", (1, 0, 0), f"{module.name}/module_offset")
    _write_axis(module, "fast_pixel_direction", (100.0, "um"), "translation", (1, 0, 0), f"{module.name}/tilt")
    _write_axis(module, "slow_pixel_direction", (100.0, "um"), "translation", (0, 1, 0), f"{module.name}/tilt")


def _write_axis(
    module: Any, name: str, value: tuple[float, str], kind: str, vector: tuple[float, ...], depends_on: str
) -> None:
    unit = np.array(vector, float) / np.linalg.norm(vector)
    module[name] = value[0]
    module[name].attrs.update(
        {"units": value[1], "transformation_type": kind, "vector": unit, "depends_on": depends_on}
    )
