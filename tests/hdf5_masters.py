"""HDF5 files as detectors and beamlines write them, small, for the tests of the readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[Any]

SHAPE = (37, 41)


def frames(n: int, dtype: str = "uint32", shape: tuple[int, ...] = SHAPE) -> Frames:
    """Return images that differ from each other, with a gap."""
    pixels = np.random.default_rng(n).poisson(3.0, (n, *shape)).astype(dtype)
    pixels[..., 0, 0] = np.arange(n).reshape(n, *[1] * (len(shape) - 2))
    pixels[..., 20:22, :] = np.iinfo(dtype).max
    return pixels


def write_data(
    path: Path,
    pixels: Frames,
    *,
    name: str = "entry/data/data",
    filters: dict[str, Any] | None = None,
    chunks: tuple[int, ...] | bool | None = None,
) -> None:
    """Write a data file with bitshuffle and LZ4, an image a chunk, unless told otherwise."""
    options = dict(hdf5plugin.Bitshuffle()) if filters is None else filters
    shape = None if chunks is False else (chunks or (1, *pixels.shape[1:]))
    with h5py.File(path, "a", libver="latest") as file:
        file.create_dataset(name, data=pixels, chunks=shape, **options)


def write_master(path: Path, links: dict[str, tuple[str, str]] | None = None, *, n_expected: int | None = None) -> None:
    """Write an EIGER master file: what file writer 1.8 says, and links to data files."""
    with h5py.File(path, "w", libver="latest") as file:
        entry = group(file, "entry", "NXentry")
        entry["definition"] = "NXmx"
        data = group(entry, "data", "NXdata")
        for name, (file_name, dataset) in (links or {}).items():
            data[name] = h5py.ExternalLink(file_name, dataset)
        detector = group(group(entry, "instrument", "NXinstrument"), "detector", "NXdetector")
        detector["description"] = "Dectris EIGER2 Si 4M"
        detector["detector_number"] = "E-32-0123"
        for quantity, (value, unit) in {
            "detector_distance": (0.2, "m"),
            "x_pixel_size": (7.5e-5, "m"),
            "y_pixel_size": (7.5e-5, "m"),
            "beam_center_x": (20.5, "pixel"),
            "beam_center_y": (18.25, "pixel"),
            "count_time": (0.0099, "s"),
            "frame_time": (0.01, "s"),
            "sensor_thickness": (4.5e-4, "m"),
            "threshold_energy": (6400.0, "eV"),
        }.items():
            detector[quantity] = value
            detector[quantity].attrs["units"] = unit
        detector["sensor_material"] = b"Si"
        specific = group(detector, "detectorSpecific", "NXcollection")
        specific["countrate_correction_count_cutoff"] = 46000
        mask = np.zeros(SHAPE, np.uint32)
        mask[20:22] = 1
        mask[3, 4] = 16
        specific["pixel_mask"] = mask
        if n_expected is not None:
            specific["nimages"], specific["ntrigger"] = n_expected, 1
        beam = group(entry["instrument"], "beam", "NXbeam")
        beam["incident_wavelength"] = 0.9763
        beam["incident_wavelength"].attrs["units"] = "angstrom"


def group(parent: Any, name: str, nexus_class: str) -> Any:
    """Return a new group of a NeXus class."""
    made = parent.create_group(name)
    made.attrs["NX_class"] = nexus_class
    return made


def write_eiger_series(folder: Path, n_in_each: list[int], dtype: str = "uint32") -> tuple[Path, Frames]:
    """Write a master and its data files; return its path and all images."""
    pixels = frames(sum(n_in_each), dtype)
    links, start = {}, 0
    for k, n in enumerate(n_in_each, 1):
        name = f"scan_data_{k:06d}.h5"
        write_data(folder / name, pixels[start : start + n])
        links[f"data_{k:06d}"] = (name, "/entry/data/data")
        start += n
    master = folder / "scan_master.h5"
    write_master(master, links, n_expected=len(pixels))
    return master, pixels


def same_images(series: Any, pixels: Any) -> bool:
    """Tell whether an open series has just these images."""
    return len(series) == len(pixels) and all(np.array_equal(series.read(k), pixels[k]) for k in range(len(pixels)))
