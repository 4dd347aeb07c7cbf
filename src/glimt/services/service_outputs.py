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
    parameters : frozenset of str or None
        All parameters of the step that are read; ``None`` where any name may be.
    """

    outputs: tuple[str, ...] = ()
    default_output: str | None = None
    required_parameters: tuple[str, ...] = ()
    required_with: Mapping[str, tuple[str, ...]] | None = None
    required_entries: tuple[str, ...] = ()
    needs_output: bool = False
    parameters: frozenset[str] | None = None

    def sends_to(self, output: str) -> bool:
        """Say whether it ever sends to an output of that name."""
        return any(_matches(output, pattern) for pattern in self.outputs)


def _matches(output: str, pattern: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\#", "[0-9]{1,12}"), output, re.ASCII) is not None


_WATCHED = frozenset(
    {"pattern", "pattern-start", "pattern-end", "list", "hdf5", "burst-limit", "burst-wait", "timeout", "timeout-first",
     "log-timeout-as-info", "expected-per-image-delay", "settle", "out-of-order", "hdf5-dataset"}
)  # fmt: skip
_ANALYSIS = frozenset(
    {"d_min", "d_max", "threshold_algorithm", "disable_parallax_correction", "scan_range", "filter_ice",
     "ice_rings_width", "filename", "number_of_frames", "start_frame_index"}
)  # fmt: skip
# What Zocalo's recipes hand on beside them is for people, or for later steps.
_CENTERING = frozenset(
    {"dcid", "dcgid", "experiment_type", "dcg_dcids", "output", "log", "results_symlink", "latency_log_warning",
     "latency_log_error", "beamline", "sample_id", "loop_type", "msp_sample_ids", "threshold", "threshold_absolute",
     "threshold_msp", "threshold_absolute_msp"}
)  # fmt: skip

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
        parameters=_WATCHED,
    ),
    "per_image_analysis": QueueContract(
        outputs=("result",), default_output="result", needs_output=True, parameters=_ANALYSIS
    ),
    "per_image_analysis.hdf5_select": QueueContract(
        outputs=("every", "select-#"),
        required_parameters=("image-start", "image-end"),
        needs_output=True,
        parameters=frozenset({"file", "image-start", "image-end"}),
    ),
    "images": QueueContract(required_parameters=("image_command",)),
    "ispyb_connector": _ISPYB,
    "ispyb_pia": _ISPYB,
    "reduce.xray_centering": QueueContract(
        outputs=("success", "abort", "provisional"),
        default_output="success",
        required_parameters=("dcid",),
        required_entries=("gridinfo",),
        parameters=_CENTERING,
    ),
    "notify_gda": QueueContract(
        required_parameters=("dcid", "host", "port"), parameters=frozenset({"dcid", "host", "port"})
    ),
}
"""By queue."""
