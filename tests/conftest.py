"""What all tests share."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Time is not what the property tests are about: the machines are shared, and the first example compiles the kernels.
settings.register_profile("glimt", deadline=None)
settings.load_profile("glimt")

# A shell that runs the tests in the background makes them deaf to Ctrl-C, and with them every process they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Escape half characters in what was captured: the processes of a parallel run can only send each other UTF-8."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


_LOG_LEVEL = os.environ.get("LOG_LEVEL")
_ROOT_LEVEL = logging.getLogger().level


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """Undo what commands do to the log of their process, which tests share: levels, loggers switched off."""
    yield
    logging.getLogger().setLevel(_ROOT_LEVEL)
    for known in logging.getLogger().manager.loggerDict.values():
        if isinstance(known, logging.Logger):
            known.disabled = False
    if _LOG_LEVEL is None:
        os.environ.pop("LOG_LEVEL", None)
    else:
        os.environ["LOG_LEVEL"] = _LOG_LEVEL


SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings that lie beside the checkout and are not ours to commit."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real recordings are not here ({SHARED_DATA})")
    return SHARED_DATA
