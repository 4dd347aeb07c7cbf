"""What a recipe asks of X-ray centering for one grid scan, read from its step and checked once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from glimt.kernels.centering_3d import THRESHOLD, THRESHOLD_ABSOLUTE, THRESHOLD_ABSOLUTE_MULTI_SAMPLE
from glimt.kernels.centering_grid import ScanGrid
from glimt.kernels.centering_wells import Wells
from glimt.model.errors import RejectedMessageError, UsageError
from glimt.services.confined_path import confined_path
from glimt.services.recipe_step import read_record

MESH_3D = "Mesh3D"

Identity = Annotated[int, msgspec.Meta(gt=0, lt=1 << 53)]
Fraction = Annotated[float, msgspec.Meta(gt=0, le=1)]
NotNegative = Annotated[float, msgspec.Meta(ge=0)]


class CenteringParameters(msgspec.Struct, frozen=True):
    """Parameters of the recipe's step, under the names they have in Zocalo.

    Parameters
    ----------
    dcid : int
        The data collection.
    experiment_type : str
        ``Mesh3D`` waits for the other scan of the pair.
    dcg_dcids : list of int
        Other data collections of the group.
    output, log : str or None
        Files for the result, as JSON and as text.
    results_symlink : str or None
        Name of a link to the folder of ``output``, made two levels above it.
    latency_log_warning, latency_log_error : float
        Time from the file being seen to its arrival here that is worth a line in the log [s].
    beamline : str
        For the log.
    sample_id : int or None
    loop_type : str or None
        ``multipin_<wells>x<width in µm>+<offset in µm>`` is a pin of several samples.
    msp_sample_ids : mapping or None
        Sample of each well, from 1.
    threshold, threshold_absolute : float
        Of `glimt.kernels.centering_3d.find_centers_3d`, for pins of one sample.
    threshold_msp, threshold_absolute_msp : float
        The same for pins of several.
    """

    dcid: Identity
    experiment_type: str = ""
    dcg_dcids: list[Identity] = []
    output: str | None = None
    log: str | None = None
    results_symlink: str | None = None
    latency_log_warning: NotNegative = 30.0
    latency_log_error: NotNegative = 300.0
    beamline: str = ""
    sample_id: int | None = None
    loop_type: str | None = None
    msp_sample_ids: dict[str, Any] | None = None
    threshold: Fraction = THRESHOLD
    threshold_absolute: NotNegative = THRESHOLD_ABSOLUTE
    threshold_msp: Fraction = THRESHOLD
    threshold_absolute_msp: NotNegative = THRESHOLD_ABSOLUTE_MULTI_SAMPLE


@dataclass(frozen=True, slots=True)
class CenteringTask:
    """One grid scan to be centered.

    Parameters
    ----------
    parameters : CenteringParameters
    grid : ScanGrid
    wells : Wells or None
        Of a pin of several samples.
    output, log : Path or None
        Where `CenteringParameters.output` and ``log`` lead, inside the folders open to messages.
    """

    parameters: CenteringParameters
    grid: ScanGrid
    wells: Wells | None
    output: Path | None
    log: Path | None

    @property
    def dcid(self) -> int:
        """The data collection."""
        return self.parameters.dcid

    @property
    def is_mesh_3d(self) -> bool:
        """Whether the scan is one of two that are centered together."""
        return self.parameters.experiment_type == MESH_3D

    @property
    def partner(self) -> int | None:
        """The other data collection of a pair, if the recipe names exactly one."""
        others = set(self.parameters.dcg_dcids) - {self.dcid}
        return others.pop() if len(others) == 1 else None


def read_task(node: Mapping[str, Any], roots: Sequence[Path]) -> CenteringTask:
    """Return what a step of a recipe asks for.

    Parameters
    ----------
    node : mapping
        With ``parameters`` and ``gridinfo``. Texts that stand for numbers, lists and nothing (``"None"``) are read so,
        since substitution in recipes makes texts of everything.
    roots : sequence of Path
        Folders open to messages.

    Raises
    ------
    RejectedMessageError
        Something is missing, of the wrong kind or out of bounds; the text names it.
    """
    given = node.get("parameters")
    if not isinstance(given, Mapping):
        raise RejectedMessageError("the step has no parameters; X-ray centering needs dcid at least")
    known = CenteringParameters.__struct_fields__
    plain = {name: _unquoted(name, given[name]) for name in known if name in given}
    there = {name: value for name, value in plain.items() if value is not None}
    parameters = read_record(there, CenteringParameters, "parameters")
    others = set(parameters.dcg_dcids) - {parameters.dcid}
    if parameters.experiment_type == MESH_3D and len(others) > 1:
        raise RejectedMessageError(
            f"dcg_dcids names {len(others)} other scans of data collection {parameters.dcid}; "
            "a centering in space is of two"
        )
    gridinfo = node.get("gridinfo")
    if not isinstance(gridinfo, Mapping):
        raise RejectedMessageError(
            f"gridinfo of the step is {str(gridinfo)[:60]}; it has to be an object with steps_x, steps_y and so on "
            "(has the data collection a row in GridInfo?)"
        )
    try:
        grid = ScanGrid.from_gridinfo(gridinfo)
        wells = Wells.from_loop_type(
            parameters.loop_type,
            box_size_um=grid.box_size_um[0] if grid.box_size_um else 0.0,
            sample_ids=parameters.msp_sample_ids,
        )
    except UsageError as error:
        raise RejectedMessageError(str(error)) from None
    link = parameters.results_symlink
    if link is not None and (link in ("", ".", "..") or "/" in link or "\0" in link or len(link) > 200):
        raise RejectedMessageError(f"results_symlink is {link[:60]!r}; it is the plain name of a link")
    output, log = (None if path is None else confined_path(path, roots) for path in (parameters.output, parameters.log))
    return CenteringTask(parameters, grid, wells, output, log)


def _unquoted(name: str, value: Any) -> Any:
    """Return what a text stands for where the recipe substituted an object or nothing."""
    if not isinstance(value, str):
        return value
    if value in ("", "None", "null"):
        return None
    if name in ("dcg_dcids", "msp_sample_ids"):
        try:
            return json.loads(value)
        except ValueError:
            raise RejectedMessageError(f"{name} is the text {value[:60]!r}; it has to be an object or a list") from None
    return value
