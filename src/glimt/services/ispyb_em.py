"""Electron microscopy, image by image: movies, motion correction, CTF, ice, tilt series and tomograms."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any

import msgspec

from glimt.model.errors import RejectedMessageError
from glimt.services.ispyb_command import (
    Column,
    Command,
    CommandRun,
    Count,
    Id,
    Moment,
    Number,
    Text,
    row_command,
    values_of,
)
from glimt.stores.results_rows import insert_row, upsert_row
from glimt.stores.results_schema import results_table

_CORRECTED = "_motion_corrected"


class Movie(msgspec.Struct, frozen=True, kw_only=True):
    """A movie; ``timestamp`` is when it was written."""

    movie_id: Id = None
    dcid: Annotated[int, Column("dataCollectionId")]
    movie_number: Annotated[Count, Column("movieNumber")] = None
    movie_path: Annotated[Text, Column("movieFullPath")] = None
    timestamp: Annotated[Moment, Column("createdTimeStamp")] = None
    foil_hole_id: Annotated[Id, Column("foilHoleId")] = None
    position_x: Annotated[Number, Column("positionX")] = None
    position_y: Annotated[Number, Column("positionY")] = None
    nominal_defocus: Annotated[Number, Column("nominalDefocus")] = None
    angle: Annotated[Number, Column("angle")] = None
    fluence: Annotated[Number, Column("fluence")] = None
    number_of_frames: Annotated[Count, Column("numberOfFrames")] = None


class MotionCorrection(msgspec.Struct, frozen=True, kw_only=True):
    """A motion correction; without ``movie_id`` its movie is made as well.

    ``drift_frames``, [[frame, dx, dy], …], is checked and not stored: ISPyB's schema has no table for it any more.
    """

    motion_correction_id: Id = None
    movie_id: Annotated[Id, Column("movieId")] = None
    dcid: Annotated[Id, Column("dataCollectionId")] = None
    program_id: Annotated[Id, Column("autoProcProgramId")] = None
    image_number: Annotated[Count, Column("imageNumber")] = None
    first_frame: Annotated[Count, Column("firstFrame")] = None
    last_frame: Annotated[Count, Column("lastFrame")] = None
    dose_per_frame: Annotated[Number, Column("dosePerFrame")] = None
    dose_weight: Annotated[Number, Column("doseWeight")] = None
    total_motion: Annotated[Number, Column("totalMotion")] = None
    average_motion_per_frame: Annotated[Number, Column("averageMotionPerFrame")] = None
    drift_plot_full_path: Annotated[Text, Column("driftPlotFullPath")] = None
    micrograph_full_path: Annotated[Text, Column("micrographFullPath")] = None
    micrograph_name: Text = None
    micrograph_snapshot_full_path: Annotated[Text, Column("micrographSnapshotFullPath")] = None
    patches_used_x: Annotated[Count, Column("patchesUsedX")] = None
    patches_used_y: Annotated[Count, Column("patchesUsedY")] = None
    fft_full_path: Annotated[Text, Column("fftFullPath")] = None
    fft_corrected_full_path: Annotated[Text, Column("fftCorrectedFullPath")] = None
    comments: Annotated[Text, Column("comments")] = None
    created_time_stamp: Moment = None
    drift_frames: list[tuple[int, float, float]] | None = None


class Ctf(msgspec.Struct, frozen=True, kw_only=True):
    """A fit of the contrast transfer function; its motion correction by id, or by micrograph and program."""

    ctf_id: Id = None
    motion_correction_id: Annotated[Id, Column("motionCorrectionId")] = None
    micrograph_name: Text = None
    program_id: Annotated[Id, Column("autoProcProgramId")] = None
    box_size_x: Annotated[Number, Column("boxSizeX")] = None
    box_size_y: Annotated[Number, Column("boxSizeY")] = None
    min_resolution: Annotated[Number, Column("minResolution")] = None
    max_resolution: Annotated[Number, Column("maxResolution")] = None
    min_defocus: Annotated[Number, Column("minDefocus")] = None
    max_defocus: Annotated[Number, Column("maxDefocus")] = None
    defocus_step_size: Annotated[Number, Column("defocusStepSize")] = None
    astigmatism: Annotated[Number, Column("astigmatism")] = None
    astigmatism_angle: Annotated[Number, Column("astigmatismAngle")] = None
    estimated_resolution: Annotated[Number, Column("estimatedResolution")] = None
    estimated_defocus: Annotated[Number, Column("estimatedDefocus")] = None
    amplitude_contrast: Annotated[Number, Column("amplitudeContrast")] = None
    cc_value: Annotated[Number, Column("ccValue")] = None
    fft_theoretical_full_path: Annotated[Text, Column("fftTheoreticalFullPath")] = None
    comments: Annotated[Text, Column("comments")] = None
    ice_ring_density: Annotated[Number, Column("iceRingDensity")] = None


class RelativeIceThickness(msgspec.Struct, frozen=True, kw_only=True):
    """How thick the ice is over one micrograph."""

    motion_correction_id: Annotated[Id, Column("motionCorrectionId")] = None
    program_id: Annotated[Id, Column("autoProcProgramId")] = None
    minimum: Annotated[Number, Column("minimum")] = None
    q1: Annotated[Number, Column("q1")] = None
    median: Annotated[Number, Column("median")] = None
    q3: Annotated[Number, Column("q3")] = None
    maximum: Annotated[Number, Column("maximum")] = None


class Tomogram(msgspec.Struct, frozen=True, kw_only=True):
    """A tomogram; with ``tomogram_id`` the one that is there is updated."""

    tomogram_id: Id = None
    dcid: Annotated[Id, Column("dataCollectionId")] = None
    program_id: Annotated[Id, Column("autoProcProgramId")] = None
    volume_file: Annotated[Text, Column("volumeFile")] = None
    stack_file: Annotated[Text, Column("stackFile")] = None
    size_x: Annotated[Count, Column("sizeX")] = None
    size_y: Annotated[Count, Column("sizeY")] = None
    size_z: Annotated[Count, Column("sizeZ")] = None
    pixel_spacing: Annotated[Number, Column("pixelSpacing")] = None
    residual_error_mean: Annotated[Number, Column("residualErrorMean")] = None
    residual_error_sd: Annotated[Number, Column("residualErrorSD")] = None
    x_axis_correction: Annotated[Number, Column("xAxisCorrection")] = None
    tilt_angle_offset: Annotated[Number, Column("tiltAngleOffset")] = None
    z_shift: Annotated[Number, Column("zShift")] = None
    file_directory: Annotated[Text, Column("fileDirectory")] = None
    central_slice_image: Annotated[Text, Column("centralSliceImage")] = None
    tomogram_movie: Annotated[Text, Column("tomogramMovie")] = None
    xy_shift_plot: Annotated[Text, Column("xyShiftPlot")] = None
    proj_xy: Annotated[Text, Column("projXY")] = None
    proj_xz: Annotated[Text, Column("projXZ")] = None


class TiltImageAlignment(msgspec.Struct, frozen=True, kw_only=True):
    """How one movie of a tilt series lies in its tomogram; the movie by id, or by ``path`` and ``dcid``."""

    movie_id: Id = None
    path: Text = None
    dcid: Id = None
    tomogram_id: Annotated[int, Column("tomogramId")]
    defocus_u: Annotated[Number, Column("defocusU")] = None
    defocus_v: Annotated[Number, Column("defocusV")] = None
    psd_file: Annotated[Text, Column("psdFile")] = None
    resolution: Annotated[Number, Column("resolution")] = None
    fit_quality: Annotated[Number, Column("fitQuality")] = None
    refined_magnification: Annotated[Number, Column("refinedMagnification")] = None
    refined_tilt_angle: Annotated[Number, Column("refinedTiltAngle")] = None
    refined_tilt_axis: Annotated[Number, Column("refinedTiltAxis")] = None
    residual_error: Annotated[Number, Column("residualError")] = None


def _motion_correction(run: CommandRun, command: MotionCorrection) -> int:
    values = values_of(command)
    micrograph = command.micrograph_full_path or command.micrograph_name
    values["micrographFullPath"] = micrograph
    if command.movie_id is None:
        movie: dict[str, Any] = {
            "dataCollectionId": command.dcid,
            "movieNumber": command.image_number,
            "movieFullPath": micrograph,
        }
        movie["createdTimeStamp"] = run.now if command.created_time_stamp is None else command.created_time_stamp
        values["movieId"] = insert_row(run.session, "Movie", movie)
    return upsert_row(run.session, "MotionCorrection", command.motion_correction_id, values)


def _ctf(run: CommandRun, command: Ctf) -> int:
    values = values_of(command)
    if command.motion_correction_id is None:
        values["motionCorrectionId"] = _correction_of(run, command)
    return upsert_row(run.session, "CTF", command.ctf_id, values)


def _correction_of(run: CommandRun, command: Ctf) -> int:
    import sqlalchemy as sa

    table = results_table("MotionCorrection")
    wanted = sa.select(table.c.motionCorrectionId).where(
        table.c.micrographFullPath == command.micrograph_name, table.c.autoProcProgramId == command.program_id
    )
    found: int | None = run.session.execute(wanted.order_by(table.c.motionCorrectionId)).scalars().first()
    if found is None:
        raise RejectedMessageError(
            f"insert_ctf: no motion correction of micrograph {command.micrograph_name!r} by program"
            f" {command.program_id} is known; give motion_correction_id"
        )
    return found


def _tilt_alignment(run: CommandRun, command: TiltImageAlignment) -> int:
    movie_id = command.movie_id or _movie_of(run, command)
    insert_row(run.session, "TiltImageAlignment", {"movieId": movie_id, **values_of(command)})
    return command.tomogram_id


def _movie_of(run: CommandRun, command: TiltImageAlignment) -> int:
    import sqlalchemy as sa

    name = PurePath(str(command.path or "")).stem.replace(_CORRECTED, "")
    table = results_table("Movie")
    wanted = sa.select(table.c.movieId, table.c.movieFullPath).where(table.c.dataCollectionId == command.dcid)
    found: list[Any] = [
        row.movieId for row in run.session.execute(wanted) if name and name in (row.movieFullPath or "")
    ]
    if not found:
        raise RejectedMessageError(
            f"insert_tilt_image_alignment: no movie of {command.path!r} in data collection {command.dcid} is known"
        )
    return int(max(found))


COMMANDS = (
    row_command("insert_movie", Movie, "Movie", "movie_id"),
    Command("insert_motion_correction", MotionCorrection, _motion_correction, ("MotionCorrection", "Movie")),
    Command("insert_ctf", Ctf, _ctf, ("CTF",)),
    row_command("insert_relative_ice_thickness", RelativeIceThickness, "RelativeIceThickness"),
    row_command("insert_tomogram", Tomogram, "Tomogram", "tomogram_id"),
    Command("insert_tilt_image_alignment", TiltImageAlignment, _tilt_alignment, ("TiltImageAlignment",)),
)
