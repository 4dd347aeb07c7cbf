"""The ISPyB service on SQLite."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from glimt.model.errors import RejectedMessageError, RetryMessageError, UsageError
from glimt.services.ispyb import IspybService
from glimt.services.ispyb_command import values_of
from glimt.services.ispyb_commands import COMMANDS
from glimt.services.service import ServiceSetup
from glimt.stores.results_db import prepare_results
from glimt.stores.results_schema import results_table
from ispyb_examples import EXAMPLES, READS, WITHOUT_ROWS
from ispyb_rig import IspybRig
from ispyb_service_tests import IspybServiceTests
from service_steps import plain_step

IMAGE = {
    "parameters": {"ispyb_command": "store_per_image_analysis_results", "dcid": 1},
    "content": {"file-number": 1, "dozor_score": 1},
}


@pytest.fixture(scope="session")
def empty_results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results database with its tables, to be copied: to make them takes a second."""
    path = tmp_path_factory.mktemp("results") / "empty.sqlite"
    prepare_results(f"sqlite:///{path}")
    return path


@pytest.fixture
def url(empty_results: Path, tmp_path: Path) -> str:
    path = tmp_path / "results.sqlite"
    shutil.copy(empty_results, path)
    return f"sqlite:///{path}"


class TestIspybOnSqlite(IspybServiceTests):
    pass


def test_every_command_has_an_example() -> None:
    assert set(COMMANDS) == {*EXAMPLES, *READS, *WITHOUT_ROWS}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_tables_of_a_command_exist(command: Any) -> None:
    for name in command.tables:
        assert results_table(name) is not None


@pytest.mark.parametrize(
    "name", ["insert_ctf", "insert_screening_output_lattice", "upsert_integration", "insert_tomogram"]
)
def test_columns_that_fields_name_exist(name: str) -> None:
    command = COMMANDS[name]
    record = command.record(**dict.fromkeys(command.record.__struct_fields__, 1))
    assert set(values_of(record)) <= set(results_table(command.tables[0]).c.keys())


@pytest.mark.parametrize("payload", [None, [], "x", {}, {"parameters": 1}, {"parameters": {}, "content": {}}])
def test_plain_message_that_says_nothing_is_rejected(url: str, tmp_path: Path, payload: Any) -> None:
    service = IspybService(ServiceSetup({}, (tmp_path,), tmp_path, url))
    with pytest.raises(RejectedMessageError):
        service.handle(plain_step(payload))
    service.close()


def test_unknown_command_is_rejected_by_name(url: str, tmp_path: Path) -> None:
    rig = IspybRig(url, (tmp_path,))
    with pytest.raises(RejectedMessageError, match="drop_tables"):
        rig.run("drop_tables")
    rig.close()


def test_message_cannot_choose_another_command_than_its_recipe(url: str, tmp_path: Path) -> None:
    rig = IspybRig(url, (tmp_path,))
    with pytest.raises(RejectedMessageError, match="insert_movie"):
        rig.run("insert_movie", {"ispyb_command": "insert_class2d"})
    rig.close()


def test_missing_file_of_the_database_is_made(tmp_path: Path) -> None:
    service = IspybService(ServiceSetup({}, (tmp_path,), tmp_path, f"sqlite:///{tmp_path}/new/results.sqlite"))
    step = plain_step(
        {
            "parameters": {"ispyb_command": "store_per_image_analysis_results", "dcid": 1},
            "content": {"file-number": 1, "dozor_score": 1},
        }
    )
    service.handle(step)
    service.close()
    assert (tmp_path / "new" / "results.sqlite").stat().st_mode & 0o007 == 0


def test_database_that_stays_away_gives_the_message_back(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    address = f"sqlite:///{tmp_path}/file/results.sqlite"
    service = IspybService(ServiceSetup({"wait_s": 0.0}, (tmp_path,), tmp_path, address))
    step = plain_step(
        {
            "parameters": {"ispyb_command": "store_per_image_analysis_results", "dcid": 1},
            "content": {"file-number": 1, "dozor_score": 1},
        }
    )
    with pytest.raises(RetryMessageError, match=r"file/results\.sqlite"):
        service.handle(step)
    service.close()


def test_stop_ends_the_wait_for_the_database(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    service = IspybService(ServiceSetup({}, (tmp_path,), tmp_path, f"sqlite:///{tmp_path}/file/results.sqlite"))
    service.stop()
    with pytest.raises(RetryMessageError):
        service.handle(plain_step({"parameters": {"ispyb_command": "insert_class2d"}}))
    service.close()


@pytest.mark.parametrize("configuration", [{"idempotent": True}, {"wait_s": "long"}])
def test_configuration_that_is_none_names_the_table(tmp_path: Path, url: str, configuration: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"\[services.ispyb\]"):
        IspybService(ServiceSetup(configuration, (tmp_path,), tmp_path, url))


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_command_is_in_the_reference_with_its_fields_and_tables(command: Any) -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "reference" / "ispyb-service.md"
    (row,) = [line for line in page.read_text().splitlines() if line.startswith(f"| `{command.name}` |")]
    _, fields, tables = row.strip("| ").rsplit(" | ", 2)

    wanted = [field.encode_name + ("*" if field.required else "") for field in msgspec.structs.fields(command.record)]
    assert sorted(field.replace("`", "").replace("\\", "") for field in fields.split(", ")) == sorted(wanted)
    assert tables == (", ".join(command.tables) or "-")
