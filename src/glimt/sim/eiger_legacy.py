"""A DECTRIS detector as dranspose expects it: stream V1 with all tables and with appendices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from glimt.sim.dectris_v1 import DectrisV1Device


@dataclass
class EigerLegacyDevice(DectrisV1Device):
    """A `glimt.sim.dectris_v1.DectrisV1Device` whose header has 9 parts and whose images have 5."""

    appendix: bool = True

    protocol: ClassVar[str] = "eiger-legacy"
