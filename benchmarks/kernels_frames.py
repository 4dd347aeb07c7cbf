"""Frames for ``benchmarks/kernels.py``: powder rings, air scatter, spots, gaps; and the files the peers read."""

from __future__ import annotations

import bz2
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.codecs.pixels import encode_pixels
from glimt.kernels.radius_map import flat_radius_map
from glimt.model.geometry import Detector, Poni

PIXEL_M, DISTANCE_M, WAVELENGTH_M = 75e-6, 0.15, 1e-10
PEAKS: dict[str, Any] = {
    "adc_threshold": 10, "minimum_snr": 5, "min_pixel_count": 2, "max_pixel_count": 200, "local_bg_radius": 3,
    "max_num_peaks": 2048,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of frame."""

    shape: tuple[int, int]
    dtype: str
    background: float

    @property
    def title(self) -> str:
        """How it is called in the tables."""
        return f"{self.shape[0]}×{self.shape[1]} {self.dtype}, {self.background:g} counts a pixel"

    @property
    def poni(self) -> Poni:
        """Where its pixels are."""
        slow, fast = (n / 2 * PIXEL_M for n in self.shape)
        return Poni(Detector(PIXEL_M, PIXEL_M, self.shape), DISTANCE_M, slow, fast, wavelength=WAVELENGTH_M)


def make_frame(case: Case, *, n_spots: int = 100) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Return a frame and its mask, the same for every run."""
    random, (n_slow, n_fast) = np.random.default_rng(7), case.shape
    slow, fast = np.ogrid[:n_slow, :n_fast]
    radius = np.hypot(slow - n_slow / 2, fast - n_fast / 2) / max(case.shape)
    expected = np.exp(-radius / 0.15) + 0.25 + 0.8 * np.exp(-(((radius - 0.22) / 0.02) ** 2))
    expected *= case.background / expected.mean()
    for _ in range(n_spots):
        at_slow, at_fast, width = (
            random.uniform(12, n_slow - 12),
            random.uniform(12, n_fast - 12),
            random.uniform(0.7, 1.3),
        )
        part = slice(int(at_slow) - 8, int(at_slow) + 9), slice(int(at_fast) - 8, int(at_fast) + 9)
        near = (slow[part[0]] - at_slow) ** 2 + (fast[:, part[1]] - at_fast) ** 2
        expected[part] += np.exp(random.uniform(np.log(8), np.log(2500))) * np.exp(-near / (2 * width**2))
    frame, mask = random.poisson(expected).astype(case.dtype), np.zeros(case.shape, np.bool_)
    for start in range(514, n_slow, 551):
        mask[start : start + 37] = True
    for start in range(1030, n_fast, 1040):
        mask[:, start : start + 10] = True
    frame[mask] = np.iinfo(case.dtype).max
    return frame, mask


def write_inputs(folder: Path, case: Case, frame: npt.NDArray[Any], mask: npt.NDArray[np.bool_]) -> bytes:
    """Write what the peers read; return the compressed frame."""
    payload = bytes(encode_pixels(frame, compression="bslz4", framing="hdf5"))
    (folder / "frame.bslz4").write_bytes(payload)
    np.save(folder / "frame.npy", frame)
    np.save(folder / "mask.npy", mask)
    radius = flat_radius_map(case.shape, (case.shape[0] / 2, case.shape[1] / 2), truncated=True)
    np.save(folder / "radius.npy", radius)
    poni = case.poni
    geometry = {
        "dist": poni.dist, "poni1": poni.poni1, "poni2": poni.poni2, "pixel1": PIXEL_M, "pixel2": PIXEL_M,
        "wavelength": WAVELENGTH_M,
    }  # fmt: skip
    (folder / "geometry.json").write_text(json.dumps(geometry))
    layout = {"asic_nx": case.shape[1], "asic_ny": case.shape[0], "nasics_x": 1, "nasics_y": 1}
    (folder / "peaks.json").write_text(json.dumps({"layout": layout, "parameters": PEAKS}))
    return payload


def write_picture(folder: Path) -> Path | None:
    """Unpack a real image of a PILATUS 6M, thaumatin with about a thousand spots; ``None`` if it is not here."""
    data = Path(__file__).resolve().parents[2] / "shared" / "data" / "gridscan_thaumatin_pilatus6m"
    packed = data / "thau_3_2_0007.cbf.bz2"
    if not packed.exists():
        return None
    path = folder / "frame_0001.cbf"
    path.write_bytes(bz2.decompress(packed.read_bytes()))
    return path
