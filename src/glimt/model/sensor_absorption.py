"""How strongly the sensors of pixel detectors absorb X-rays.

Mass attenuation coefficients: J. H. Hubbell and S. M. Seltzer, NISTIR 5632 (2004), as DIALS has them; between the
points of the table both axes are logarithmic.
"""

from __future__ import annotations

import math
from types import MappingProxyType

import numpy as np

_SILICON = (
    (3.0, 978.4), (4.0, 452.9), (5.0, 245.0), (6.0, 147.0), (8.0, 64.68), (10.0, 33.89), (15.0, 10.34), (20.0, 4.464),
    (30.0, 1.436), (40.0, 0.7012), (50.0, 0.4385), (60.0, 0.3207), (80.0, 0.2228), (100.0, 0.1835),
)  # fmt: skip
_CADMIUM_TELLURIDE = (
    (5.0, 839.2), (6.0, 528.6), (8.0, 249.2), (10.0, 138.1), (15.0, 46.57), (20.0, 21.44), (26.711, 9.834),
    (26.711, 29.43), (30.0, 21.82), (31.814, 18.73), (31.814, 34.92), (40.0, 19.3), (50.0, 10.67), (60.0, 6.542),
    (80.0, 3.019), (100.0, 1.671),
)  # fmt: skip
_GALLIUM_ARSENIDE = (
    (3.0, 970.2), (4.0, 453.9), (5.0, 249.5), (6.0, 152.4), (8.0, 69.6), (10.0, 37.8), (10.3671, 34.25),
    (10.3671, 126.0), (11.0916, 105.9), (11.8667, 88.99), (11.8667, 168.5), (15.0, 92.2), (20.0, 42.58), (30.0, 13.97),
    (40.0, 6.262), (50.0, 3.365), (60.0, 2.042), (80.0, 0.9587), (100.0, 0.5598),
)  # fmt: skip

_SENSORS = MappingProxyType(
    {"si": (2.33, _SILICON), "cdte": (6.2, _CADMIUM_TELLURIDE), "gaas": (5.32, _GALLIUM_ARSENIDE)}
)
"""Density [g/cm³], and pairs of photon energy [keV] and mass attenuation coefficient [cm²/g]."""

_NAMES = MappingProxyType({"silicon": "si", "cadmiumtelluride": "cdte", "galliumarsenide": "gaas"})


def absorption_per_mm(material: str | None, photon_energy_ev: float | None) -> float:
    """Return the linear absorption coefficient of a sensor [1/mm].

    Parameters
    ----------
    material : str or None
        ``Si``, ``CdTe`` or ``GaAs``, or their names in words, in any case.
    photon_energy_ev : float or None
        [eV].

    Returns
    -------
    float
        0 for another material and outside of the table (3 or, CdTe, 5 to 100 keV): not known.
    """
    name = "".join(letter for letter in (material or "").lower() if letter.isalpha())
    sensor = _SENSORS.get(_NAMES.get(name, name))
    if sensor is None or photon_energy_ev is None or not math.isfinite(photon_energy_ev):
        return 0.0
    density, table = sensor
    energy, coefficient = np.array(table).T
    kev = photon_energy_ev * 1e-3
    if not energy[0] <= kev <= energy[-1]:
        return 0.0
    per_cm = density * math.exp(float(np.interp(math.log(kev), np.log(energy), np.log(coefficient))))
    return per_cm * 0.1
