"""Live processing of X-ray detector data: bytes become frames, frames become events, events become results.

What a beamline scientist imports is here; it is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from glimt.codecs.registry import parse
    from glimt.kernels.azimuthal import AzimuthalIntegrator
    from glimt.model.event import EventData, InternalWorkerMessage, ResultData, StreamData
    from glimt.model.geometry import Detector, Poni
    from glimt.model.parameters import (
        BinaryParameter,
        BoolParameter,
        FloatParameter,
        IntParameter,
        RoiParameter,
        StrParameter,
    )
    from glimt.model.poni_text import read_poni
    from glimt.stores.hdf5 import Hdf5Store

__version__ = "0.1.0"

__all__ = [
    "AzimuthalIntegrator",
    "BinaryParameter",
    "BoolParameter",
    "Detector",
    "EventData",
    "FloatParameter",
    "Hdf5Store",
    "IntParameter",
    "InternalWorkerMessage",
    "Poni",
    "ResultData",
    "RoiParameter",
    "StrParameter",
    "StreamData",
    "parse",
    "read_poni",
]

_PARAMETERS = "glimt.model.parameters"
_EVENT = "glimt.model.event"
_HOMES = {
    "AzimuthalIntegrator": "glimt.kernels.azimuthal",
    "BinaryParameter": _PARAMETERS,
    "BoolParameter": _PARAMETERS,
    "Detector": "glimt.model.geometry",
    "EventData": _EVENT,
    "FloatParameter": _PARAMETERS,
    "Hdf5Store": "glimt.stores.hdf5",
    "IntParameter": _PARAMETERS,
    "InternalWorkerMessage": _EVENT,
    "Poni": "glimt.model.geometry",
    "ResultData": _EVENT,
    "RoiParameter": _PARAMETERS,
    "StrParameter": _PARAMETERS,
    "StreamData": _EVENT,
    "parse": "glimt.codecs.registry",
    "read_poni": "glimt.model.poni_text",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"glimt has no {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
