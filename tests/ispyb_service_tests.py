"""What the ISPyB service must do on every database: inherit, and give a fixture ``url``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ispyb_command_tests import IspybCommandTests
from ispyb_delivery_tests import IspybDeliveryTests
from ispyb_field_tests import IspybFieldTests
from ispyb_rig import IspybRig
from ispyb_sequence_tests import IspybSequenceTests


class IspybServiceTests(IspybCommandTests, IspybFieldTests, IspybDeliveryTests, IspybSequenceTests):
    """The service on one database."""

    @pytest.fixture
    def rig(self, url: str, tmp_path: Path) -> Iterator[IspybRig]:
        rig = IspybRig(url, (tmp_path,))
        yield rig
        rig.close()
