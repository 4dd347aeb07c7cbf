"""Pictures that an area detector could take: a powder, a few single crystals and a background, with photon noise.

The scene is a graphite electrode while a battery is charged and discharged: its 002 ring moves from q = 1.875 1/Å to
1.70 1/Å and back as lithium goes in and out. Three rings of a LaB6 standard stay where they are, and single grains
flash up as spots while they turn through their reflecting position.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glimt.model.errors import UsageError
from glimt.model.frame import check_array

Array = npt.NDArray[np.float64]

PIXEL_M = 75e-6
PHOTON_ENERGY_EV = 12_398.42
WAVELENGTH_ANGSTROM = 12_398.42 / PHOTON_ENERGY_EV
TWO_THETA_EDGE_RAD = math.radians(25.0)
"""Scattering angle at the middle of the detector's longer edge, whatever its size: every shape shows the same rings."""

STANDARD_RINGS = ((1.511, 10.0), (2.138, 14.0), (2.618, 7.0))
"""q [1/Å] and height [counts] of the rings that stay: 100, 110 and 111 of LaB6."""
MOVING_RING = (1.875, 1.698)
"""q [1/Å] of graphite 002, empty and full."""
MOVING_RING_COUNTS = 26.0
RING_WIDTH = 0.016
"""Standard deviation of a ring in q [1/Å]."""

N_GRAINS = 160
_ROCKING_WIDTH = 0.02
_SPOT_SIGMA_PX = 1.1
_SPOT_REACH_PX = 4
_SHADOW_Q = 0.16
_NOISE_PIXELS = 4_500_000
_MAX_NOISE_PICTURES = 16


@dataclass(frozen=True, slots=True)
class Setup:
    """Where the simulated detector stands.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns [px].
    """

    shape: tuple[int, int]

    @property
    def beam_center_px(self) -> tuple[float, float]:
        """Where the beam meets the detector, slow and fast [px], from the outer corner of the first pixel."""
        return self.shape[0] / 2, self.shape[1] / 2

    @property
    def distance_m(self) -> float:
        """From the sample to the detector [m]."""
        return max(self.shape) / 2 * PIXEL_M / math.tan(TWO_THETA_EDGE_RAD)

    def momentum_transfer(self) -> Array:
        """Return q of the center of each pixel (slow, fast), float64 [1/Å]."""
        slow, fast = (np.arange(n) + 0.5 - n / 2 for n in self.shape)
        radius_m = np.hypot(slow[:, np.newaxis], fast[np.newaxis, :]) * PIXEL_M
        q: Array = 4 * math.pi / WAVELENGTH_ANGSTROM * np.sin(0.5 * np.arctan2(radius_m, self.distance_m))
        return q

    def radius_px(self, q: float) -> float:
        """Return the radius of a ring [px]."""
        two_theta = 2 * math.asin(q * WAVELENGTH_ANGSTROM / (4 * math.pi))
        return self.distance_m * math.tan(two_theta) / PIXEL_M

    def details(self) -> dict[str, Any]:
        """Return what the header of a series says, under the names and in the units of DECTRIS detectors."""
        slow, fast = self.beam_center_px
        return {
            "beam_center_x": fast,
            "beam_center_y": slow,
            "detector_distance": self.distance_m,
            "photon_energy": PHOTON_ENERGY_EV,
            "wavelength": WAVELENGTH_ANGSTROM,
            "x_pixel_size": PIXEL_M,
            "y_pixel_size": PIXEL_M,
            "x_pixels_in_detector": self.shape[1],
            "y_pixels_in_detector": self.shape[0],
        }


class _Grain:
    """One single crystal: a spot that is bright around one phase of the scan."""

    def __init__(self, setup: Setup, random: np.random.Generator) -> None:
        radius = setup.radius_px(random.uniform(0.7, 2.7))
        angle = random.uniform(0, 2 * math.pi)
        center_slow, center_fast = setup.beam_center_px
        slow, fast = center_slow + radius * math.sin(angle), center_fast + radius * math.cos(angle)
        self.phase = random.uniform()
        rows, columns = (
            np.arange(max(0, int(at) - _SPOT_REACH_PX), min(n, int(at) + _SPOT_REACH_PX + 1))
            for at, n in zip((slow, fast), setup.shape, strict=True)
        )
        self.place = np.ix_(rows, columns)
        distance2 = (rows[:, np.newaxis] + 0.5 - slow) ** 2 + (columns[np.newaxis, :] + 0.5 - fast) ** 2
        peak = 60.0 * random.lognormal(1.0, 0.8)
        self.counts = peak * np.exp(-0.5 * distance2 / _SPOT_SIGMA_PX**2)

    def brightness(self, phase: float) -> float:
        """Return 0 to 1."""
        away = abs(phase - self.phase)
        return math.exp(-0.5 * (min(away, 1.0 - away) / _ROCKING_WIDTH) ** 2)


class ScatteringScene:
    """Pictures of one scan, drawn with the statistics of counted photons.

    Parameters
    ----------
    shape : (int, int)
        Rows and columns [px].
    dtype : str
        Element type; counts that it cannot hold are cut off at its largest value.
    seed : int
        The same seed gives the same pictures.

    Raises
    ------
    UsageError
        There is no such detector.
    """

    def __init__(self, shape: tuple[int, int], dtype: str, *, seed: int) -> None:
        try:
            check_array(shape, dtype, where="simulated detector")
        except ValueError as error:
            raise UsageError(str(error)) from None
        if len(shape) != 2 or 0 in shape:
            raise UsageError(f"a detector of shape {list(shape)} has no pixels; give rows and columns")
        if seed < 0:
            raise UsageError(f"seed {seed} is negative; 0 or more is needed")
        self.setup = Setup(shape)
        self._dtype = np.dtype(dtype)
        self._seed = seed

    def pictures(self, count: int) -> Iterator[npt.NDArray[Any]]:
        """Yield ``count`` pictures (rows, columns): once through the scan, the last one leads back to the first.

        The noise of what does not move is drawn a few times (2 to 16, fewer for large detectors) and shared among the
        pictures in turn, which is what makes them cheap; ring and spots have their own noise in each.
        """
        random = np.random.default_rng(self._seed)
        grains = [_Grain(self.setup, random) for _ in range(N_GRAINS)]
        q = self.setup.momentum_transfer()
        backgrounds = self._backgrounds(q, count, random)
        order = np.argsort(q, axis=None, kind="stable")
        sorted_q = q.ravel()[order]
        del q
        for number in range(count):
            phase = number / count
            counts = backgrounds[number % len(backgrounds)].copy()
            self._add_ring(counts.ravel(), order, sorted_q, phase, random)
            for grain in grains:
                brightness = grain.brightness(phase)
                if brightness > 1e-3 and grain.counts.size:
                    counts[grain.place] += random.poisson(brightness * grain.counts)
            yield self._as_detector(counts)

    def crystal_pictures(self, has_crystal: Sequence[bool]) -> Iterator[npt.NDArray[Any]]:
        """Yield a picture (rows, columns) for each box of a grid: spots where a crystal is, else background alone.

        There is no powder: its rings are found as spots, too.
        """
        random = np.random.default_rng(self._seed)
        grains = [_Grain(self.setup, random) for _ in range(N_GRAINS)]
        backgrounds = self._backgrounds(self.setup.momentum_transfer(), len(has_crystal), random, rings=())
        for number, is_crystal in enumerate(has_crystal):
            counts = backgrounds[number % len(backgrounds)].copy()
            for grain in grains if is_crystal else ():
                counts[grain.place] += random.poisson(random.uniform() * grain.counts)
            yield self._as_detector(counts)

    def _backgrounds(
        self,
        q: Array,
        count: int,
        random: np.random.Generator,
        rings: Sequence[tuple[float, float]] = STANDARD_RINGS,
    ) -> list[npt.NDArray[np.int32]]:
        expected = 1.6 + 5.0 * np.exp(-((q / 0.8) ** 2))
        for position, height in rings:
            expected += height * np.exp(-0.5 * ((q - position) / RING_WIDTH) ** 2)
        expected *= q > _SHADOW_Q  # the beam stop
        n = min(count, max(2, min(_MAX_NOISE_PICTURES, _NOISE_PIXELS // q.size)))
        return [random.poisson(expected).astype(np.int32) for _ in range(n)]

    def _add_ring(
        self,
        counts: npt.NDArray[np.int32],
        order: npt.NDArray[np.intp],
        sorted_q: Array,
        phase: float,
        random: np.random.Generator,
    ) -> None:
        empty, full = MOVING_RING
        position = empty + (full - empty) * 0.5 * (1.0 - math.cos(2 * math.pi * phase))
        first, last = np.searchsorted(sorted_q, (position - 4 * RING_WIDTH, position + 4 * RING_WIDTH))
        expected = MOVING_RING_COUNTS * np.exp(-0.5 * ((sorted_q[first:last] - position) / RING_WIDTH) ** 2)
        counts[order[first:last]] += random.poisson(expected).astype(np.int32)

    def _as_detector(self, counts: npt.NDArray[np.int32]) -> npt.NDArray[Any]:
        if self._dtype.kind != "f":
            largest = np.iinfo(self._dtype).max
            if largest < np.iinfo(np.int32).max:
                np.minimum(counts, largest, out=counts)
        return counts.astype(self._dtype)
