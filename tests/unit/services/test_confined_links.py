"""Services give the folders that are open to messages to whatever opens HDF5 files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glimt.model.errors import RejectedMessageError
from glimt.services.file_watcher import FileWatcherService
from glimt.services.images import ImagesService
from glimt.services.per_image_analysis import PerImageAnalysisService
from glimt.services.service import ServiceSetup
from hdf5_masters import frames, write_data, write_master
from service_steps import step_for


@pytest.mark.parametrize(
    ("service_class", "parameters"),
    [
        (ImagesService, {"image_command": "diffraction", "file": "{file}", "output": "{root}/x.jpeg"}),
        (PerImageAnalysisService, {"file": "{file}", "file-number": 1, "file-seen-at": 0.0}),
        (FileWatcherService, {"hdf5": "{file}"}),
    ],
)
def test_master_that_leads_elsewhere_is_refused(service_class: Any, parameters: Any, tmp_path: Path) -> None:
    root = tmp_path / "mine"
    root.mkdir()
    write_data(tmp_path / "secret.h5", frames(1))
    write_master(root / "m.h5", {"data_000001": ("../secret.h5", "/entry/data/data")})
    given = {
        key: value.format(file=root / "m.h5", root=root) if isinstance(value, str) else value
        for key, value in parameters.items()
    }
    service = service_class(ServiceSetup({}, (root,), root))
    with pytest.raises(RejectedMessageError, match=r"data_000001 leads to '../secret\.h5'"):
        service.handle(step_for(given, {"file": str(root / "m.h5")}))
    service.close()
    assert [path.name for path in root.iterdir()] == ["m.h5"]
