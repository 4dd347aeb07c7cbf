"""What the doctor says of a beamline file before it is run."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from glimt.app.beamline_doctor import diagnose_file
from glimt.app.beamline_file import load_beamline
from glimt.app.finding import Finding

CLASSES = """
class Worker:
    def process_event(self, event, parameters): ...

class Reducer:
    def process_result(self, result, parameters): ...
"""


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def found(folder: Path, *, worker: str = "doctored:Worker", code: str = CLASSES, more: str = "") -> list[Finding]:
    (folder / "doctored.py").write_text(code)
    file = folder / "beamline.toml"
    file.write_text(
        f"""
[pipeline]
worker = "{worker}"
reducer = "doctored:Reducer"

[streams.det]
transport = "capture"
address = "det.cbors"
protocol = "stins"
{more}
"""
    )
    (folder / "det.cbors").write_bytes(b"")
    return diagnose_file(load_beamline(file))


@pytest.fixture(autouse=True)
def own_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:

    before = list(sys.path)
    yield
    sys.path[:] = before
    sys.modules.pop("doctored", None)


FREE = "[control]\nport = 0\nview_port = 0\n"


def test_a_file_in_order_gives_no_finding(tmp_path: Path) -> None:
    assert found(tmp_path, more=FREE) == []


def test_a_class_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    [finding] = found(tmp_path, worker="doctored:Wroker", more=FREE)
    assert finding.severity == "error"
    assert "pipeline.worker" in finding.what
    assert "Worker" in finding.what


def test_a_module_that_raises_is_quoted(tmp_path: Path) -> None:
    findings = found(tmp_path, code="raise RuntimeError('no license')", more=FREE)
    assert len(findings) == 2
    assert "no license" in findings[0].what


@pytest.mark.parametrize("key", ["port", "view_port"])
def test_a_taken_port_is_an_error_that_names_its_key(tmp_path: Path, taken_port: int, key: str) -> None:
    ports = {"port": 0, "view_port": 0} | {key: taken_port}
    more = "[control]\n" + "".join(f"{name} = {port}\n" for name, port in ports.items())
    [finding] = found(tmp_path, more=more)
    assert finding.severity == "error"
    assert f"control.{key}" in finding.what
    assert f"control.{key}" in finding.do


def test_a_token_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x" * 32)
    token.chmod(0o644)
    [finding] = found(tmp_path, more=f'{FREE}token_file = "token"\n')
    assert finding.severity == "warning"
    assert "chmod 600" in finding.do
    token.chmod(0o600)
    assert found(tmp_path, more=f'{FREE}token_file = "token"\n') == []
