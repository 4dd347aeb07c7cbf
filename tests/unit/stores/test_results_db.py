"""The results database on SQLite, its rows, and the address it is found at."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateTable

from glimt.model.errors import RejectedMessageError, ResultsDatabaseError, UsageError
from glimt.stores.results_address import results_address, shown
from glimt.stores.results_db import ResultsBusyError, ResultsDatabase, prepare_results
from glimt.stores.results_done import record_result, recorded_result
from glimt.stores.results_rows import checked_value, insert_row, moment, require_row, update_row, upsert_row
from glimt.stores.results_schema import mariadb_metadata, results_table, sqlite_metadata, table_names
from ispyb_rows import make_collection, make_processing


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    address = f"sqlite:///{tmp_path_factory.mktemp('results')}/results.sqlite"
    prepare_results(address)
    return address


@pytest.fixture
def database(url: str) -> Iterator[ResultsDatabase]:
    database = ResultsDatabase(url)
    yield database
    database.close()


def test_all_tables_of_ispyb_are_there_and_one_of_ours(database: ResultsDatabase) -> None:
    with database.reading() as session:
        found = set(sa.inspect(session.get_bind()).get_table_names())

    assert len(table_names()) >= 205
    assert found == {*table_names(), "glimt_done"}


def test_every_table_of_ispyb_can_be_read(database: ResultsDatabase) -> None:
    with database.reading() as session:
        assert all(session.execute(sa.select(results_table(name)).limit(1)).all() is not None for name in table_names())


def test_file_is_written_ahead_with_foreign_keys_and_not_for_everybody(url: str, database: ResultsDatabase) -> None:
    with database.transaction() as session:
        found = {name: session.execute(sa.text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "foreign_keys")}

    assert found == {"journal_mode": "wal", "foreign_keys": 1}
    assert Path(url.removeprefix("sqlite:///")).stat().st_mode & 0o007 == 0


def test_what_mariadb_is_sent_does_not_change() -> None:
    table = mariadb_metadata().tables["GridInfo"]
    before = str(CreateTable(table).compile(dialect=mysql.dialect()))
    sqlite_metadata()

    assert str(CreateTable(table).compile(dialect=mysql.dialect())) == before
    assert "TINYINT" in before
    assert "current_timestamp()" in before
    assert sqlite_metadata() is sqlite_metadata()


def test_keys_count_up_and_times_have_a_default(database: ResultsDatabase) -> None:
    with database.transaction() as session:
        rows = make_collection(session)
        job = make_processing(session, rows.dcid).job_id
        table = results_table("ProcessingJob")
        made = session.execute(sa.select(table.c.recordTimestamp).where(table.c.processingJobId == job)).scalar_one()

    assert abs((datetime.now(UTC).replace(tzinfo=None) - made).total_seconds()) < 60


def test_transaction_that_raises_leaves_nothing(database: ResultsDatabase) -> None:
    def write() -> None:
        with database.transaction() as session:
            insert_row(session, "Person", {"familyName": "nobody"})
            raise KeyError

    with pytest.raises(KeyError):
        write()
    person = results_table("Person")
    with database.reading() as session:
        assert session.execute(sa.select(person).where(person.c.familyName == "nobody")).first() is None


def test_readers_do_not_wait_for_a_writer(database: ResultsDatabase) -> None:
    with database.transaction() as session:
        insert_row(session, "Person", {"familyName": "unseen"})
        done = threading.Event()

        def read() -> None:
            with database.reading() as other:
                other.execute(sa.select(results_table("Person")).limit(1)).all()
            done.set()

        threading.Thread(target=read).start()
        assert done.wait(10)


def test_writer_that_waits_sees_what_the_other_wrote(database: ResultsDatabase) -> None:
    numbers: list[int] = []

    def write() -> None:
        for _ in range(20):
            with database.transaction() as session:
                person = results_table("Person")
                numbers.append(session.execute(sa.select(sa.func.count()).select_from(person)).scalar_one())
                insert_row(session, "Person", {"familyName": "one of many"})

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(numbers) == len(set(numbers)) == 60


def test_database_without_tables_says_how_to_make_them(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "empty.sqlite").close()
    database = ResultsDatabase(f"sqlite:///{tmp_path}/empty.sqlite")
    (tmp_path / "empty.sqlite").touch()
    with pytest.raises(ResultsDatabaseError, match="glimt db init"), database.reading() as session:
        session.execute(sa.select(results_table("Person")))
    database.close()


def test_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.sqlite").write_text("this is not a database, but long enough to be looked at" * 20)
    with pytest.raises(ResultsDatabaseError, match="not a database"):
        prepare_results(f"sqlite:///{tmp_path}/x.sqlite")


def test_full_disk_is_told_and_passes(tmp_path: Path) -> None:
    address = f"sqlite:///{tmp_path}/results.sqlite"
    prepare_results(address)
    database = ResultsDatabase(address)

    def write(n_pages: int) -> None:
        with database.transaction() as session:
            now = session.execute(sa.text("PRAGMA page_count")).scalar_one()
            session.execute(sa.text(f"PRAGMA max_page_count = {now + n_pages}"))
            for _ in range(200):
                insert_row(session, "Person", {"familyName": "x" * 100, "cache": "y" * 10000})

    with pytest.raises(ResultsDatabaseError, match="full"):
        write(2)
    write(100_000)
    database.close()


def test_result_that_was_recorded_is_found_again(database: ResultsDatabase) -> None:
    identities = ["plain", "PLAIN", "ü" * 100, "x" * 200, "\udcff"]
    with database.transaction() as session:
        for number, identity in enumerate(identities):
            assert recorded_result(session, identity) is None
            record_result(session, identity, "step", {"number": number})
        assert [recorded_result(session, identity) for identity in identities] == [
            {"number": number} for number in range(len(identities))
        ]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"dataCollectionGroupId": 10**9}, "no such row in DataCollectionGroup"),
        ({}, "dataCollectionGroupId must be given"),
        ({"dataCollectionGroupId": 1, "numberOfImages": 2**31}, "numberOfImages: .*outside"),
        ({"dataCollectionGroupId": 1, "wavelength": float("inf")}, "wavelength"),
        ({"dataCollectionGroupId": 1, "wavelength": 1e39}, "too large"),
        ({"dataCollectionGroupId": 1, "rotationAxis": "Chi"}, "none of Omega, Kappa, Phi"),
        ({"dataCollectionGroupId": 1, "imagePrefix": "x" * 46}, "46 characters"),
        ({"dataCollectionGroupId": 1, "imagePrefix": "\udcff"}, "imagePrefix"),
        ({"dataCollectionGroupId": 1, "imagePrefix": ["x"]}, "list is no text"),
        ({"dataCollectionGroupId": 1, "startTime": "yesterday"}, "no time"),
        ({"dataCollectionGroupId": 1, "startTime": 1e30}, "startTime"),
        ({"dataCollectionGroupId": 1.5}, "whole number"),
    ],
)
def test_row_that_does_not_fit_is_rejected_with_the_column(
    database: ResultsDatabase, values: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RejectedMessageError, match=reason), database.transaction() as session:
        insert_row(session, "DataCollection", values)


@pytest.mark.parametrize(
    ("text", "kept"), [("y" * 70_000, "y" * 65_535), ("ü" * 40_000, "ü" * 32_767), ("y" * 65_535, "y" * 65_535)]
)
def test_prose_of_a_text_column_is_cut_to_its_bytes(text: str, kept: str) -> None:
    assert checked_value(results_table("AutoProcProgramMessage").c["description"], text) == kept


def test_other_text_that_has_more_bytes_than_its_column_is_rejected() -> None:
    column = sa.Column("list", sa.Text())
    sa.Table("Files", sa.MetaData(), column)
    assert checked_value(column, "ü" * 32_767) == "ü" * 32_767
    with pytest.raises(RejectedMessageError, match=r"Files.list: .*65536 bytes, and the column takes 65535"):
        checked_value(column, "ü" * 32_768)


def test_database_that_refuses_a_statement_answers_and_one_that_is_gone_does_not(tmp_path: Path) -> None:
    file = tmp_path / "r.sqlite"
    database = ResultsDatabase(f"sqlite:///{file}")
    assert not database.answers()
    database.prepare(ispyb=False)
    with pytest.raises(ResultsDatabaseError) as caught, database.transaction() as session:
        session.execute(sa.text("SELECT * FROM nothing"))
    assert not isinstance(caught.value, ResultsBusyError)
    assert database.answers()
    database.close()
    file.write_bytes(b"no database at all" * 100)
    assert not database.answers()


def test_row_is_updated_where_there_is_a_value(database: ResultsDatabase) -> None:
    with database.transaction() as session:
        program = insert_row(session, "AutoProcProgram", {"processingPrograms": "a", "processingStatus": 1})
        assert update_row(session, "AutoProcProgram", program, {"processingPrograms": "b", "processingStatus": None})
        assert not update_row(session, "AutoProcProgram", 10**8, {"processingPrograms": "b"})
        assert upsert_row(session, "AutoProcProgram", 10**8, {"processingPrograms": "c"}) == 10**8
        require_row(session, "AutoProcProgram", 10**8)
        with pytest.raises(RejectedMessageError, match="no AutoProcProgram 7654321"):
            require_row(session, "AutoProcProgram", 7654321)


def test_times_lose_their_zone_and_become_local() -> None:
    aware = datetime(2026, 11, 21, 12, tzinfo=UTC)

    assert moment("2026-11-21T12:00:00Z") == aware.astimezone().replace(tzinfo=None)
    assert moment(aware.timestamp()) == moment(str(aware.timestamp())) == aware.astimezone().replace(tzinfo=None)
    assert moment("2026-11-21") == datetime(2026, 11, 21)


@pytest.mark.parametrize("url", ["mysql://u:p@h/d", "mariadb://u:p@h/d", "mysql+mysqlconnector://u:p@h/d"])
def test_servers_are_reached_by_pymysql_and_shown_without_password(url: str) -> None:
    assert shown(results_address(url)) == "mysql+pymysql://u:***@h/d"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "no results database is named"),
        ("results", "no address"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("postgresql://h/d", "cannot be 'postgresql'"),
        ("ispyb:", "ISPYB_CREDENTIALS"),
        ("ispyb:/no/such/file", "cannot be read"),
        ("mysql://h:port/d", "no address"),
    ],
)
def test_address_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch, url: str, reason: str) -> None:
    monkeypatch.delenv("ISPYB_CREDENTIALS", raising=False)
    with pytest.raises(UsageError, match=reason):
        results_address(url)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nothing", "cannot be read"),
        ("[other]\n", "cannot be read"),
        ("[ispyb_sqlalchemy]\nhost = h\ndatabase = d\n", "has no username"),
        ("[ispyb_sqlalchemy]\nhost = h\nport = x\n", "port is not a number"),
    ],
)
def test_credentials_that_are_incomplete_are_told(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "c.cfg").write_text(text)
    with pytest.raises(UsageError, match=reason):
        results_address(f"ispyb:{tmp_path}/c.cfg")


def test_credentials_become_an_address(tmp_path: Path) -> None:
    (tmp_path / "c.cfg").write_text("[ispyb_sqlalchemy]\nusername = u\npassword = p@%/\nhost = h\ndatabase = d\n")
    address = results_address(f"ispyb:{tmp_path}/c.cfg")
    assert (address.username, address.password, address.host, address.port) == ("u", "p@%/", "h", 3306)
