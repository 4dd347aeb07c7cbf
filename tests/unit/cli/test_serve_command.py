"""What `glimt serve` says when it starts and ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from glimt.app.serve import Serving
from glimt.app.site_file import load_site
from glimt.cli import serve as serve_command


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GLIMT_SITE", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    return tmp_path


def serving(names: tuple[str, ...] = ("file_watcher", "notify_gda")) -> Serving:
    return Serving(load_site(), names, tell=print)


def test_root_of_the_site_file_that_is_not_there_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "site.toml").write_text('[paths]\nroots = [".", "mounted/later"]\n')
    serve_command._introduce(serving(), None)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "WARNING" in line]
    assert f"no folder {folder / 'mounted/later'} now" in line


def test_service_that_got_no_message_handled_0(capsys: pytest.CaptureFixture[str]) -> None:
    serve_command._account(serving())
    assert capsys.readouterr().err.splitlines() == ["glimt: file_watcher: 0 handled", "glimt: notify_gda: 0 handled"]
