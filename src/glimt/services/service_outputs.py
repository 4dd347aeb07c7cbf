"""What the services that come with glimt need from a step of a recipe, and the names they send results under."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class QueueContract:
    """What whoever takes the messages of a queue needs and sends.

    Attributes
    ----------
    outputs : tuple of str
        Names of the outputs it sends to; ``#`` stands for a number.
    default_output : str or None
        The one that an unnamed output gets; ``None``: an unnamed output gets nothing.
    required_parameters : tuple of str
        Parameters of the step that must be there; ``a|b`` is one of them.
    required_with : mapping of str to tuple of str
        Parameters that another one needs beside it.
    required_entries : tuple of str
        Entries of the step itself, beside ``parameters``.
    needs_output : bool
        The step is of no use if nothing is wired to it.
    """

    outputs: tuple[str, ...] = ()
    default_output: str | None = None
    required_parameters: tuple[str, ...] = ()
    required_with: Mapping[str, tuple[str, ...]] | None = None
    required_entries: tuple[str, ...] = ()
    needs_output: bool = False

    def sends_to(self, output: str) -> bool:
        """Say whether it ever sends to an output of that name."""
        return any(_matches(output, pattern) for pattern in self.outputs)


def _matches(output: str, pattern: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\#", "[0-9]{1,12}"), output, re.ASCII) is not None


_ISPYB = QueueContract(
    outputs=("output", "trigger", "held"), default_output="output", required_parameters=("ispyb_command",)
)

CONTRACTS: Mapping[str, QueueContract] = {
    "processing_recipe": QueueContract(),
    "filewatcher": QueueContract(
        outputs=("first", "every", "last", "#", "select-#", "every-#", "any", "finally", "timeout", "error"),
        required_parameters=("pattern|list|hdf5",),
        required_with={"pattern": ("pattern-start", "pattern-end")},
        needs_output=True,
    ),
    "per_image_analysis": QueueContract(outputs=("result",), default_output="result", needs_output=True),
    "per_image_analysis.hdf5_select": QueueContract(
        outputs=("every", "select-#"),
        required_parameters=("image-start", "image-end"),
        needs_output=True,
    ),
    "images": QueueContract(required_parameters=("image_command",)),
    "ispyb_connector": _ISPYB,
    "ispyb_pia": _ISPYB,
    "reduce.xray_centering": QueueContract(
        outputs=("success", "abort", "provisional"),
        default_output="success",
        required_parameters=("dcid",),
        required_entries=("gridinfo",),
    ),
    "notify_gda": QueueContract(required_parameters=("dcid", "host", "port")),
}
"""By queue."""
