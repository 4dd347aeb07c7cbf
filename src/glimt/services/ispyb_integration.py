"""Integration, symmetry and scaling: AutoProcIntegration, AutoProc, AutoProcScaling and its statistics."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

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
from glimt.stores.results_rows import insert_row, upsert_row
from glimt.stores.results_schema import results_table


class Integration(msgspec.Struct, frozen=True, kw_only=True):
    """An integration; with ``integration_id`` the one that is there is updated."""

    dcid: Annotated[int, Column("dataCollectionId")]
    integration_id: Id = None
    scaling_id: Id = None
    program_id: Annotated[Id, Column("autoProcProgramId")] = None
    anom: Annotated[Flag, Column("anomalous")] = None
    beam_vec_x: Annotated[Number, Column("beamVectorX")] = None
    beam_vec_y: Annotated[Number, Column("beamVectorY")] = None
    beam_vec_z: Annotated[Number, Column("beamVectorZ")] = None
    cell_a: Annotated[Number, Column("cell_a")] = None
    cell_b: Annotated[Number, Column("cell_b")] = None
    cell_c: Annotated[Number, Column("cell_c")] = None
    cell_alpha: Annotated[Number, Column("cell_alpha")] = None
    cell_beta: Annotated[Number, Column("cell_beta")] = None
    cell_gamma: Annotated[Number, Column("cell_gamma")] = None
    start_image_no: Annotated[Count, Column("startImageNumber")] = None
    end_image_no: Annotated[Count, Column("endImageNumber")] = None
    refined_detector_dist: Annotated[Number, Column("refinedDetectorDistance")] = None
    refined_xbeam: Annotated[Number, Column("refinedXBeam")] = None
    refined_ybeam: Annotated[Number, Column("refinedYBeam")] = None
    rot_axis_x: Annotated[Number, Column("rotationAxisX")] = None
    rot_axis_y: Annotated[Number, Column("rotationAxisY")] = None
    rot_axis_z: Annotated[Number, Column("rotationAxisZ")] = None


class AutoProc(msgspec.Struct, frozen=True, kw_only=True):
    """Symmetry and cell of a processing; with ``autoproc_id`` the one that is there is updated."""

    autoproc_id: Id = None
    program_id: Annotated[Id, Column("autoProcProgramId")] = None
    spacegroup: Annotated[Text, Column("spaceGroup")] = None
    refinedcell_a: Annotated[Number, Column("refinedCell_a")] = None
    refinedcell_b: Annotated[Number, Column("refinedCell_b")] = None
    refinedcell_c: Annotated[Number, Column("refinedCell_c")] = None
    refinedcell_alpha: Annotated[Number, Column("refinedCell_alpha")] = None
    refinedcell_beta: Annotated[Number, Column("refinedCell_beta")] = None
    refinedcell_gamma: Annotated[Number, Column("refinedCell_gamma")] = None


class ShellStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of one shell of resolution, or of all."""

    anom: Annotated[Flag, Column("anomalous")] = 0
    anom_completeness: Annotated[Number, Column("anomalousCompleteness")] = None
    anom_multiplicity: Annotated[Number, Column("anomalousMultiplicity")] = None
    cc_anom: Annotated[Number, Column("ccAnomalous")] = None
    cc_half: Annotated[Number, Column("ccHalf")] = None
    comments: Annotated[Text, Column("comments")] = None
    completeness: Annotated[Number, Column("completeness")] = None
    fract_partial_bias: Annotated[Number, Column("fractionalPartialBias")] = None
    mean_i_sig_i: Annotated[Number, Column("meanIOverSigI")] = None
    multiplicity: Annotated[Number, Column("multiplicity")] = None
    n_tot_obs: Annotated[Count, Column("nTotalObservations")] = None
    n_tot_unique_obs: Annotated[Count, Column("nTotalUniqueObservations")] = None
    r_meas_all_iplusi_minus: Annotated[Number, Column("rMeasAllIPlusIMinus")] = None
    r_meas_within_iplusi_minus: Annotated[Number, Column("rMeasWithinIPlusIMinus")] = None
    r_merge: Annotated[Number, Column("rMerge")] = None
    r_pim_all_iplusi_minus: Annotated[Number, Column("rPimAllIPlusIMinus")] = None
    r_pim_within_iplusi_minus: Annotated[Number, Column("rPimWithinIPlusIMinus")] = None
    res_i_sig_i_2: Annotated[Number, Column("resIOverSigI2")] = None
    res_lim_high: Annotated[Number, Column("resolutionLimitHigh")] = None
    res_lim_low: Annotated[Number, Column("resolutionLimitLow")] = None


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """A scaling, with its statistics."""

    autoproc_id: int
    overall: ShellStatistics
    innerShell: ShellStatistics  # noqa: N815
    outerShell: ShellStatistics  # noqa: N815


def _integration(run: CommandRun, command: Integration) -> int:
    import sqlalchemy as sa

    values = {**values_of(command), "recordTimeStamp": run.now}
    integration_id = upsert_row(run.session, "AutoProcIntegration", command.integration_id, values)
    if command.scaling_id is not None:
        link = {"autoProcIntegrationId": integration_id, "autoProcScalingId": command.scaling_id}
        table = results_table("AutoProcScaling_has_Int")
        same = sa.and_(*(table.c[name] == value for name, value in link.items()))
        if run.session.execute(sa.select(table.c.autoProcScaling_has_IntId).where(same)).first() is None:
            insert_row(run.session, table.name, {**link, "recordTimeStamp": run.now})
    return integration_id


def _scaling(run: CommandRun, command: Scaling) -> int:
    scaling_id = insert_row(
        run.session, "AutoProcScaling", {"autoProcId": command.autoproc_id, "recordTimeStamp": run.now}
    )
    shells = {"outerShell": command.outerShell, "innerShell": command.innerShell, "overall": command.overall}
    for shell, statistics in shells.items():
        values = {"autoProcScalingId": scaling_id, "scalingStatisticsType": shell, "recordTimeStamp": run.now}
        insert_row(run.session, "AutoProcScalingStatistics", {**values_of(statistics), **values})
    return scaling_id


_INTEGRATION_TABLES = ("AutoProcIntegration", "AutoProcScaling_has_Int")
COMMANDS = (
    Command("upsert_integration", Integration, _integration, _INTEGRATION_TABLES),
    Command("register_integration", Integration, _integration, _INTEGRATION_TABLES),
    row_command("write_autoproc", AutoProc, "AutoProc", "autoproc_id", recordTimeStamp=datetime),
    Command("insert_scaling", Scaling, _scaling, ("AutoProcScaling", "AutoProcScalingStatistics")),
)
