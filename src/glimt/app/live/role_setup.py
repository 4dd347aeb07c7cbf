"""What a process of a live run does first.

Kept apart from what starts the processes: each imports what is pickled to it, and a worker that imported the stores and
all sources with it would be ready a fifth of a second later.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from glimt.app.process import prepare_process
from glimt.pipeline.parameter_set import described_parameters
from glimt.pipeline.user_class import import_class


def prepare_role(path: str, level: str) -> None:
    """Set up a process: import path, log level (the environment's ``LOG_LEVEL`` comes first), other people's names."""
    if path not in sys.path:
        sys.path.insert(0, path)
    os.environ.setdefault("LOG_LEVEL", level.upper())
    prepare_process()


def describe_parameters(worker: str, reducer: str) -> list[Any]:
    """Return the descriptions of the parameters of two classes."""
    return described_parameters(import_class(worker), import_class(reducer))
