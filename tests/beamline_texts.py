"""Texts of small beamline files, and what loading one gives or complains of."""

from __future__ import annotations

from pathlib import Path

import pytest

from glimt.app.beamline import Beamline
from glimt.app.beamline_file import load_beamline
from glimt.model.errors import UsageError

PIPELINE = '[pipeline]\nworker = "src.worker:TestWorker"\nreducer = "src.reducer:TestReducer"\n'
STREAM = '[streams.eiger]\ntransport = "zmq-pull"\naddress = "tcp://127.0.0.1:9999"\nprotocol = "dectris-v1"\n'
HTTP = '[streams.http]\ntransport = "http"\naddress = "http://127.0.0.1:PORT"\nprotocol = "sardana"\n'
SMALL = PIPELINE + STREAM
TOKEN = "0123456789abcdef"


def load(text: str) -> Beamline:
    """Read a beamline file with this text in the working folder."""
    Path("beamline.toml").write_text(text, encoding="utf-8")
    return load_beamline("beamline.toml")


def problems(text: str) -> list[str]:
    """Return what is said of a file that cannot be read, a line each."""
    with pytest.raises(UsageError) as caught:
        load(text)
    return str(caught.value).splitlines()


def problem(text: str) -> str:
    """Return the only thing that is said of a file that cannot be read."""
    found = problems(text)
    assert len(found) == 1, found
    return found[0]
