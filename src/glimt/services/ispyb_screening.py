"""Characterisation: the Screening tables, from what was tried to the strategy that came of it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from glimt.services.ispyb_command import (
    Column,
    Command,
    CommandRun,
    Count,
    Flag,
    Id,
    Number,
    Text,
    row_command,
    values_of,
)
from glimt.stores.results_rows import upsert_row


class Screening(msgspec.Struct, frozen=True, kw_only=True):
    """A characterisation of a data collection or a group of them."""

    id: Id = None
    dcgid: Annotated[Id, Column("dataCollectionGroupId")] = None
    dcid: Annotated[Id, Column("dataCollectionId")] = None
    program_version: Annotated[Text, Column("programVersion")] = None
    short_comments: Annotated[Text, Column("shortComments")] = None
    comments: Annotated[Text, Column("comments")] = None
    auto_proc_program_id: Annotated[Id, Column("autoProcProgramId")] = None


class ScreeningInput(msgspec.Struct, frozen=True, kw_only=True):
    """What the program was given."""

    id: Id = None
    screening_id: Annotated[int, Column("screeningId")]
    beamx: Annotated[Number, Column("beamX")] = None
    beamy: Annotated[Number, Column("beamY")] = None
    rms_err_lim: Annotated[Number, Column("rmsErrorLimits")] = None
    min_fraction_indexed: Annotated[Number, Column("minimumFractionIndexed")] = None
    max_fraction_rejected: Annotated[Number, Column("maximumFractionRejected")] = None
    min_signal2noise: Annotated[Number, Column("minimumSignalToNoise")] = None


class ScreeningOutput(msgspec.Struct, frozen=True, kw_only=True):
    """What the program found; a ``mosaicity`` counts as an estimated one, indexing and strategy as successful."""

    id: Id = None
    screening_id: Annotated[int, Column("screeningId")]
    status_description: Annotated[Text, Column("statusDescription")] = None
    rejected_reflections: Annotated[Count, Column("rejectedReflections")] = None
    resolution_obtained: Annotated[Number, Column("resolutionObtained")] = None
    spot_deviation_r: Annotated[Number, Column("spotDeviationR")] = None
    spot_deviation_theta: Annotated[Number, Column("spotDeviationTheta")] = None
    beam_shift_x: Annotated[Number, Column("beamShiftX")] = None
    beam_shift_y: Annotated[Number, Column("beamShiftY")] = None
    num_spots_found: Annotated[Count, Column("numSpotsFound")] = None
    num_spots_used: Annotated[Count, Column("numSpotsUsed")] = None
    num_spots_rejected: Annotated[Count, Column("numSpotsRejected")] = None
    mosaicity: Annotated[Number, Column("mosaicity")] = None
    i_over_sigma: Annotated[Number, Column("iOverSigma")] = None
    diffraction_rings: Annotated[Flag, Column("diffractionRings")] = None
    ranking_resolution: Annotated[Number, Column("rankingResolution")] = None
    program: Annotated[Text, Column("program")] = None
    dose_total: Annotated[Number, Column("doseTotal")] = None
    total_exposure_time: Annotated[Number, Column("totalExposureTime")] = None
    total_rotation_range: Annotated[Number, Column("totalRotationRange")] = None
    total_no_images: Annotated[Count, Column("totalNumberOfImages")] = None
    rfriedel: Annotated[Number, Column("rFriedel")] = None
    alignment_success: Flag = None


class ScreeningOutputLattice(msgspec.Struct, frozen=True, kw_only=True):
    """A lattice that the output tells of."""

    id: Id = None
    screening_output_id: Annotated[int, Column("screeningOutputId")]
    spacegroup: Annotated[Text, Column("spaceGroup")] = None
    pointgroup: Annotated[Text, Column("pointGroup")] = None
    bravais_lattice: Annotated[Text, Column("bravaisLattice")] = None
    raw_orientation_matrix_a_x: Annotated[Number, Column("rawOrientationMatrix_a_x")] = None
    raw_orientation_matrix_a_y: Annotated[Number, Column("rawOrientationMatrix_a_y")] = None
    raw_orientation_matrix_a_z: Annotated[Number, Column("rawOrientationMatrix_a_z")] = None
    raw_orientation_matrix_b_x: Annotated[Number, Column("rawOrientationMatrix_b_x")] = None
    raw_orientation_matrix_b_y: Annotated[Number, Column("rawOrientationMatrix_b_y")] = None
    raw_orientation_matrix_b_z: Annotated[Number, Column("rawOrientationMatrix_b_z")] = None
    raw_orientation_matrix_c_x: Annotated[Number, Column("rawOrientationMatrix_c_x")] = None
    raw_orientation_matrix_c_y: Annotated[Number, Column("rawOrientationMatrix_c_y")] = None
    raw_orientation_matrix_c_z: Annotated[Number, Column("rawOrientationMatrix_c_z")] = None
    unit_cell_a: Annotated[Number, Column("unitCell_a")] = None
    unit_cell_b: Annotated[Number, Column("unitCell_b")] = None
    unit_cell_c: Annotated[Number, Column("unitCell_c")] = None
    unit_cell_alpha: Annotated[Number, Column("unitCell_alpha")] = None
    unit_cell_beta: Annotated[Number, Column("unitCell_beta")] = None
    unit_cell_gamma: Annotated[Number, Column("unitCell_gamma")] = None
    labelit_indexing: Annotated[Flag, Column("labelitIndexing")] = None


class ScreeningStrategy(msgspec.Struct, frozen=True, kw_only=True):
    """How to collect."""

    id: Id = None
    screening_output_id: Annotated[int, Column("screeningOutputId")]
    phi_start: Annotated[Number, Column("phiStart")] = None
    phi_end: Annotated[Number, Column("phiEnd")] = None
    rotation: Annotated[Number, Column("rotation")] = None
    exposure_time: Annotated[Number, Column("exposureTime")] = None
    resolution: Annotated[Number, Column("resolution")] = None
    completeness: Annotated[Number, Column("completeness")] = None
    multiplicity: Annotated[Number, Column("multiplicity")] = None
    anomalous: Annotated[Flag, Column("anomalous")] = 0
    program: Annotated[Text, Column("program")] = None
    ranking_resolution: Annotated[Number, Column("rankingResolution")] = None
    transmission: Annotated[Number, Column("transmission")] = None


class StrategyWedge(msgspec.Struct, frozen=True, kw_only=True):
    """A wedge of a strategy; the first unless it says another."""

    id: Id = None
    screening_strategy_id: Annotated[int, Column("screeningStrategyId")]
    wedge_number: Annotated[Count, Column("wedgeNumber")] = 1
    resolution: Annotated[Number, Column("resolution")] = None
    completeness: Annotated[Number, Column("completeness")] = None
    multiplicity: Annotated[Number, Column("multiplicity")] = None
    dose_total: Annotated[Number, Column("doseTotal")] = None
    no_images: Annotated[Count, Column("numberOfImages")] = None
    phi: Annotated[Number, Column("phi")] = None
    kappa: Annotated[Number, Column("kappa")] = None
    chi: Annotated[Number, Column("chi")] = None
    comments: Annotated[Text, Column("comments")] = None
    wavelength: Annotated[Number, Column("wavelength")] = None


class StrategySubWedge(msgspec.Struct, frozen=True, kw_only=True):
    """The one part of a wedge."""

    id: Id = None
    screening_strategy_wedge_id: Annotated[int, Column("screeningStrategyWedgeId")]
    rotation_axis: Annotated[Text, Column("rotationAxis")] = None
    axis_start: Annotated[Number, Column("axisStart")] = None
    axis_end: Annotated[Number, Column("axisEnd")] = None
    exposure_time: Annotated[Number, Column("exposureTime")] = None
    transmission: Annotated[Number, Column("transmission")] = None
    oscillation_range: Annotated[Number, Column("oscillationRange")] = None
    completeness: Annotated[Number, Column("completeness")] = None
    multiplicity: Annotated[Number, Column("multiplicity")] = None
    resolution: Annotated[Number, Column("RESOLUTION")] = None
    dose_total: Annotated[Number, Column("doseTotal")] = None
    no_images: Annotated[Count, Column("numberOfImages")] = None
    comments: Annotated[Text, Column("comments")] = None


def _output(run: CommandRun, command: ScreeningOutput) -> int:
    successes: dict[str, Any] = {
        "mosaicityEstimated": int(bool(command.mosaicity)),
        "indexingSuccess": 1,
        "strategySuccess": 1,
        "alignmentSuccess": command.alignment_success or 0,
    }
    return upsert_row(run.session, "ScreeningOutput", command.id, {**values_of(command), **successes})


COMMANDS = (
    row_command("insert_screening", Screening, "Screening", "id", loose=True),
    row_command("insert_screening_input", ScreeningInput, "ScreeningInput", "id", loose=True),
    Command("insert_screening_output", ScreeningOutput, _output, ("ScreeningOutput",), loose=True),
    row_command("insert_screening_output_lattice", ScreeningOutputLattice, "ScreeningOutputLattice", "id", loose=True),
    row_command("insert_screening_strategy", ScreeningStrategy, "ScreeningStrategy", "id", loose=True),
    row_command("insert_screening_strategy_wedge", StrategyWedge, "ScreeningStrategyWedge", "id", loose=True),
    row_command(
        "insert_screening_strategy_sub_wedge",
        StrategySubWedge,
        "ScreeningStrategySubWedge",
        "id",
        loose=True,
        subWedgeNumber=1,
    ),
)
