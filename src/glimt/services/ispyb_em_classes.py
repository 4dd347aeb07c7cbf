"""Electron microscopy, particle by particle: picking, classes and initial models."""

from __future__ import annotations

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

_LINK = "ParticleClassification_has_CryoemInitialModel"


class ParticlePicker(msgspec.Struct, frozen=True, kw_only=True):
    """A picking of particles."""

    particle_picker_id: Id = None
    program_id: Annotated[Id, Column("programId")] = None
    motion_correction_id: Annotated[Id, Column("firstMotionCorrectionId")] = None
    particle_picking_template: Annotated[Text, Column("particlePickingTemplate")] = None
    particle_diameter: Annotated[Number, Column("particleDiameter")] = None
    number_of_particles: Annotated[Count, Column("numberOfParticles")] = None
    summary_image_full_path: Annotated[Text, Column("summaryImageFullPath")] = None


class ClassificationGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A classification, 2D or 3D, of a batch of particles."""

    particle_classification_group_id: Id = None
    particle_picker_id: Annotated[Id, Column("particlePickerId")] = None
    program_id: Annotated[Id, Column("programId")] = None
    type: Annotated[Text, Column("type")] = None
    batch_number: Annotated[Count, Column("batchNumber")] = None
    number_of_particles_per_batch: Annotated[Count, Column("numberOfParticlesPerBatch")] = None
    number_of_classes_per_batch: Annotated[Count, Column("numberOfClassesPerBatch")] = None
    symmetry: Annotated[Text, Column("symmetry")] = None
    binned_pixel_size: Annotated[Number, Column("binnedPixelSize")] = None


class Classification(msgspec.Struct, frozen=True, kw_only=True):
    """One class."""

    particle_classification_id: Id = None
    particle_classification_group_id: Annotated[Id, Column("particleClassificationGroupId")] = None
    class_number: Annotated[Count, Column("classNumber")] = None
    class_image_full_path: Annotated[Text, Column("classImageFullPath")] = None
    particles_per_class: Annotated[Count, Column("particlesPerClass")] = None
    rotation_accuracy: Annotated[Number, Column("rotationAccuracy")] = None
    translation_accuracy: Annotated[Number, Column("translationAccuracy")] = None
    estimated_resolution: Annotated[Number, Column("estimatedResolution")] = None
    overall_fourier_completeness: Annotated[Number, Column("overallFourierCompleteness")] = None
    class_distribution: Annotated[Number, Column("classDistribution")] = None
    selected: Annotated[Flag, Column("selected")] = None
    bfactor_fit_intercept: Annotated[Number, Column("bFactorFitIntercept")] = None
    bfactor_fit_linear: Annotated[Number, Column("bFactorFitLinear")] = None
    bfactor_fit_quadratic: Annotated[Number, Column("bFactorFitQuadratic")] = None
    angular_efficiency: Annotated[Number, Column("angularEfficiency")] = None
    suggested_tilt: Annotated[Number, Column("suggestedTilt")] = None


class InitialModel(msgspec.Struct, frozen=True, kw_only=True):
    """An initial model, made once and joined to each class that it was made from."""

    cryoem_initial_model_id: Id = None
    cryoem_inital_model_id: Id = None
    particle_classification_id: Id = None
    resolution: Annotated[Number, Column("resolution")] = None
    number_of_particles: Annotated[Count, Column("numberOfParticles")] = None


class Class2d3d(msgspec.Struct, frozen=True, kw_only=True):
    """What older pipelines send of their classes; ISPyB has no table for it."""

    program_id: Id = None
    dcid: Id = None


def _initial_model(run: CommandRun, command: InitialModel) -> int:
    import sqlalchemy as sa

    # The second name is a slip of the pen that senders have copied from Zocalo.
    model_id = command.cryoem_initial_model_id or command.cryoem_inital_model_id
    model_id = upsert_row(run.session, "CryoemInitialModel", model_id, values_of(command))
    if command.particle_classification_id is not None:
        link = {
            "particleClassificationId": command.particle_classification_id,
            "cryoemInitialModelId": model_id,
        }
        table = results_table(_LINK)
        same = sa.and_(*(table.c[name] == value for name, value in link.items()))
        if run.session.execute(sa.select(table).where(same)).first() is None:
            insert_row(run.session, _LINK, link)
    return model_id


def _nothing(_run: CommandRun, _command: Class2d3d) -> None:
    return None


COMMANDS = (
    row_command("insert_particle_picker", ParticlePicker, "ParticlePicker", "particle_picker_id"),
    row_command(
        "insert_particle_classification",
        Classification,
        "ParticleClassification",
        "particle_classification_id",
    ),
    row_command(
        "insert_particle_classification_group",
        ClassificationGroup,
        "ParticleClassificationGroup",
        "particle_classification_group_id",
    ),
    Command("insert_cryoem_initial_model", InitialModel, _initial_model, ("CryoemInitialModel", _LINK)),
    Command("insert_class2d", Class2d3d, _nothing, ()),
    Command("insert_class3d", Class2d3d, _nothing, ()),
)
