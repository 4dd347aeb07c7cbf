"""What all tests share."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import settings

# Time is not what the property tests are about: the machines are shared, and the first example compiles the kernels.
settings.register_profile("glimt", deadline=None)
settings.load_profile("glimt")

# A shell that runs the tests in the background makes them deaf to Ctrl-C, and with them every process they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings that lie beside the checkout and are not ours to commit."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real recordings are not here ({SHARED_DATA})")
    return SHARED_DATA
