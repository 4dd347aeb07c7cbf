"""What the log says while kernels are got ready."""

from __future__ import annotations

import logging

import pytest
from numba import njit
from numba.core.event import install_listener

from glimt.services import warm_kernels as module
from glimt.services.image_request import AnalysisParameters
from glimt.services.warm_kernels import warm_kernels


def test_kernels_that_are_on_disk_are_not_said_to_be_compiled(caplog: pytest.LogCaptureFixture) -> None:
    spots = AnalysisParameters().spots()
    warm_kernels(spots)  # which compiles what is not there yet
    with caplog.at_level(logging.INFO, module.log.name):
        caplog.clear()
        warm_kernels(spots)
    assert caplog.messages[0] == "getting ready"
    assert caplog.messages[1].startswith("ready, after ")
    assert len(caplog.messages) == 2


def test_first_kernel_that_is_compiled_is_said_and_no_other(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, module.log.name), install_listener("numba:compile", module._TellFirst()):
        for kernel in (njit(lambda x: x + 1), njit(lambda x: x + 2)):
            kernel(1)
    assert [text.partition(",")[0] for text in caplog.messages] == ["compiling kernels"]
