"""The reducer of the ready-made workers with a result file."""

from __future__ import annotations

from typing import Any

from glimt.model.event import ResultData
from glimt.model.parameters import Parameter, StrParameter
from glimt.pipeline.workers.collecting import CollectingReducer
from glimt.pipeline.workers.detector_stream import Values, setting
from glimt.stores.hdf5 import Hdf5Store


class FileReducer(CollectingReducer):
    """Collect results as `glimt.pipeline.workers.CollectingReducer` does, and in an HDF5 file if it has a name."""

    def __init__(self, parameters: Values | None = None) -> None:
        super().__init__()
        self._open(parameters)

    @staticmethod
    def describe_parameters() -> list[Parameter]:
        """Return the parameters."""
        return [
            StrParameter(name="filename", description="HDF5 file for the results; numbered if it exists; empty: none")
        ]

    def _open(self, parameters: Any) -> None:
        name = setting(parameters, "filename", "")
        if name and self.store is None:
            self.store = Hdf5Store(name, parameters=parameters, numbered=True, reducer=type(self))

    def process_result(self, result: ResultData, parameters: Values | None = None) -> None:
        """Take the result of one event; see `glimt.pipeline.workers.CollectingReducer.process_result`."""
        self._open(parameters)  # the name may come after the start of a live run
        super().process_result(result, parameters)
