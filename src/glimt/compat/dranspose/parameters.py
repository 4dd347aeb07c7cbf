"""``dranspose.parameters``."""

from glimt.model.parameters import BinaryParameter, BoolParameter, FloatParameter, IntParameter, StrParameter
from glimt.model.parameters import Parameter as ParameterBase

ParameterType = StrParameter | BinaryParameter | IntParameter | FloatParameter | BoolParameter

__all__ = [
    "BinaryParameter",
    "BoolParameter",
    "FloatParameter",
    "IntParameter",
    "ParameterBase",
    "ParameterType",
    "StrParameter",
]
