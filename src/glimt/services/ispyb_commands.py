"""Every ``ispyb_command`` that writes or reads rows; ``multipart_message`` and ``buffer`` are in `ispyb_sequence`."""

from __future__ import annotations

from glimt.services import (
    ispyb_centring,
    ispyb_collections,
    ispyb_em,
    ispyb_em_classes,
    ispyb_images,
    ispyb_integration,
    ispyb_jobs,
    ispyb_phasing,
    ispyb_programs,
    ispyb_refinement,
    ispyb_retrieval,
    ispyb_screening,
)
from glimt.services.ispyb_command import Command

_SUBJECTS = (
    ispyb_jobs,
    ispyb_programs,
    ispyb_images,
    ispyb_screening,
    ispyb_integration,
    ispyb_refinement,
    ispyb_phasing,
    ispyb_centring,
    ispyb_collections,
    ispyb_em,
    ispyb_em_classes,
    ispyb_retrieval,
)

COMMANDS: dict[str, Command] = {command.name: command for subject in _SUBJECTS for command in subject.COMMANDS}
