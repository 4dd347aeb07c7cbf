"""What stays of a scan: the reducer's published tree and the account, in one HDF5 file."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from glimt import __version__
from glimt.app.beamline import Output
from glimt.model.errors import StoreError
from glimt.pipeline.value_history import Changes
from glimt.stores.publish_file import write_publish_file

log = logging.getLogger("glimt")

ACCOUNT_GROUP = "glimt"
"""Group of the file that glimt writes beside what the reducer publishes."""


@dataclass(frozen=True, slots=True)
class WriteOutput:
    """Writes the file of a scan; pickled to the reducer's process.

    Attributes
    ----------
    output : Output
        Where it goes.
    name : str
        Of the beamline.
    """

    output: Output
    name: str

    def __call__(
        self, tree: Mapping[str, Any], lock: Any, scan_id: str, account: dict[str, Any], changes: Changes
    ) -> str:
        """Write it; return why that failed, empty if it did not."""
        date = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
        path = self.output.file_of(scan=scan_id, date=date, name=self.name)
        if path is None:
            return ""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return f"{path.parent} cannot be made: {error.strerror or error}"
        whole = {**tree, ACCOUNT_GROUP: account_tree(scan_id, account, changes)}
        try:
            problems = write_publish_file(whole, path, lock=lock)
        except StoreError as error:
            return f"{_brief(error)}; it is tried again until it works"
        for problem in problems:
            log.warning("%s: %s", path, problem)
        log.info("results are in %s", path)
        return ""


def _brief(error: StoreError) -> str:
    """Return what is wrong without the time and the place in the file, which are new with every attempt."""
    text = str(error)
    reason = re.search(r"error message = '([^']*)'", text)
    return text if reason is None else f"{text.partition(' (')[0]}: {reason[1]}"


def account_tree(scan_id: str, account: dict[str, Any], changes: Changes) -> dict[str, Any]:
    """Return the account of a scan as a tree that HDF5 can hold."""
    ledger: dict[str, Any] = {}
    for stream, counts in account.items():
        kept = {key: value for key, value in counts.items() if not isinstance(value, dict | list)}
        ledger[stream] = kept | {"dropped": dict(counts.get("dropped", {}))}
    (_, first), *later = changes or [(0, {})]
    values: dict[str, Any] = {
        "scan_id": scan_id,
        "version": __version__,
        "ledger": ledger,
        "parameters": _values_from(0, first),
        "parameter_changes": {},
    }
    for number, (event_number, new) in enumerate(later):
        values["parameter_changes"][f"{number:04d}"] = _values_from(event_number, new)
    return values


def _values_from(event_number: int, values: Mapping[str, bytes]) -> dict[str, Any]:
    texts = {name: value.decode("utf-8", errors="replace") for name, value in values.items()}
    return {**texts, "_attrs": {"event_number": event_number}}
