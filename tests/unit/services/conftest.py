"""What tests of services share: a clock, and services that live by it in a folder of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import centering_service
import watch_rounds
from set_clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Iterator[centering_service.Make]:
    """Give what makes a service of X-ray centering."""
    with centering_service.services(tmp_path, clock) as make_service:
        yield make_service


@pytest.fixture
def watch(tmp_path: Path, clock: Clock) -> watch_rounds.Make:
    """Give what makes a recipe's watch."""
    return watch_rounds.watches(tmp_path, clock)
