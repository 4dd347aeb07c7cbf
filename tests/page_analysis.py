"""An analysis whose reducer publishes one of each, for tests of the browser page; follows regions and parameters."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from typing import Any

import numpy as np

from glimt import BinaryParameter, BoolParameter, FloatParameter, IntParameter, StrParameter
from glimt.model.parameters import Parameter, RoiParameter

SIZE = 2048
CENTER = 950.0, 1100.0


class Worker:
    """Says what it was told."""

    calibration: bytes | None = None
    digest = ""

    @staticmethod
    def describe_parameters() -> list[Parameter]:
        return [
            FloatParameter(
                name="gain",
                default=1.0,
                minimum=0.0,
                maximum=10.0,
                unit="counts",
                description="All is multiplied by it",
            ),
            IntParameter(name="threshold", default=20, minimum=0, maximum=100),
            BoolParameter(name="laser", default=True),
            StrParameter(name="mode", default="fast", choices=["fast", "careful"]),
            BinaryParameter(name="calibration"),
            RoiParameter(name="rois"),
        ]

    def process_event(self, event: Any, parameters: dict[str, Any]) -> dict[str, Any]:
        regions = parameters["rois"].value or []
        told = {"gain": parameters["gain"].value, "names": [region.name for region in regions]}
        return told | {"calibration": self._said(parameters["calibration"].value)}

    def _said(self, found: bytes) -> str:
        if found is not self.calibration:
            self.calibration, self.digest = found, hashlib.sha256(found).hexdigest()
        return f"{len(found)} bytes, {self.digest}"


def frames() -> list[np.ndarray]:
    """Return four frames of four megapixels."""
    rng = np.random.default_rng(1)
    slow, fast = np.indices((SIZE, SIZE)) - np.array(CENTER)[:, None, None]
    r = np.hypot(slow, fast)
    rings = 3 + 40 * np.exp(-(((r - 420) / 9) ** 2)) + 25 * np.exp(-(((r - 700) / 12) ** 2))
    return [rng.poisson(rings).astype(np.uint16) for _ in range(4)]


class Reducer:
    """Publishes ten numbers, a curve of a thousand points, an image, a grid, a table and text."""

    def __init__(self, **_: Any) -> None:
        angles = np.linspace(0, 6, 12)
        self.publish: dict[str, Any] = {}
        self.publish_rlock = threading.RLock()
        self.frames = frames()
        self.spots = np.stack([CENTER[0] + 420 * np.sin(angles), CENTER[1] + 420 * np.cos(angles)], axis=1)
        for frame in self.frames:
            for slow, fast in self.spots.astype(int):
                frame[slow - 2 : slow + 3, fast - 2 : fast + 3] += 200
        mask = np.zeros((SIZE, SIZE), bool)
        mask[1020:1040] = True
        peaks = np.dtype([("slow", "f8"), ("fast", "f8"), ("counts", "f8")])
        self.q = np.linspace(0.1, 4.0, 1000)
        self.publish |= {
            "q": self.q,
            "q_attrs": {"units": "1/Å"},
            "intensity_attrs": {"units": "counts", "x": "q"},
            "image_attrs": {"units": "counts", "mask": "mask", "spots": "spots", "geometry": json.dumps(_geometry())},
            "mask": mask,
            "spots": self.spots,
            "grid": np.add.outer(np.hanning(8), np.hanning(12)) * 40,
            "grid_attrs": {"grid": json.dumps({"steps_x": 12, "steps_y": 8, "center": [6.2, 4.1]})},
            "note": "aligned <b>twice</b> & checked",
            "peaks": np.array([(950.0, 1520.0, 217.0), (1200.0, 1400.0, 198.0)], dtype=peaks),
            "reducer_pid": os.getpid(),
            "i0_attrs": {"units": "nA"},
            "delay_attrs": {"units": "ps"},
            "temperature_attrs": {"units": "K"},
        }

    def process_result(self, result: Any, parameters: dict[str, Any]) -> None:
        n, found = int(result.event_number), result.payload
        if n % 2 or not isinstance(found, dict):
            return
        gain, on = found["gain"], float(n % 4 == 0)
        i0 = 10 + np.sin(n / 40) + 0.3 * np.sin(n * 1.7)
        delay = (n // 2 % 40) / 8 - 1
        frame = self.frames[n // 2 % 4]
        peak = 30 * np.exp(-(((self.q - 1.8) / 0.05) ** 2))
        with self.publish_rlock:
            self.publish |= {
                "i0": i0,
                "laser": on,
                "delay": delay,
                "gain_seen": gain,
                "n_regions_seen": len(found["names"]),
                "names_seen": ", ".join(found["names"]) or "none",
                "calibration_seen": found["calibration"],
                "hit_rate": 0.31 + 0.1 * np.sin(n / 90),
                "signal": i0 * gain * (1 + 0.4 * (delay > 0) * on),
                "temperature": 293.1 + 0.05 * np.sin(n / 300),
                "intensity": gain * (np.exp(-self.q) * 50 + peak + np.sin(n / 9)),
                "image": frame if gain == 1 else (frame * gain).astype(np.uint16),
                "number_of_event": n,
            }


def _geometry() -> dict[str, float]:
    pixel = 75e-6
    poni = {"dist": 0.2, "poni1": CENTER[0] * pixel, "poni2": CENTER[1] * pixel, "rot1": 0.0, "rot2": 0.0, "rot3": 0.0}
    return poni | {"wavelength": 1e-10, "pixel1": pixel, "pixel2": pixel}
