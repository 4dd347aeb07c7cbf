"""The parameters that a live run begins with."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from glimt.app.beamline import Beamline
from glimt.pipeline.parameter_file import read_parameters
from glimt.pipeline.parameter_set import ParameterSet

log = logging.getLogger("glimt")


def given_parameters(beamline: Beamline, descriptions: Sequence[Any]) -> ParameterSet:
    """Return the values of the parameter file and of the beamline file, which comes first, and defaults for the others.

    Names that nothing describes are kept as bytes, with a warning: they may be slips of the pen.

    Raises
    ------
    ParameterError, UsageError
        A value does not fit its description, or the file cannot be read.
    """
    path = beamline.pipeline.parameter_file
    values = (read_parameters(path) if path is not None else {}) | beamline.parameters
    for name in sorted(values.keys() - {description.name for description in descriptions}):
        log.warning("parameter %s is described by neither class: it has bytes but no value", name)
    return ParameterSet(descriptions, values)
