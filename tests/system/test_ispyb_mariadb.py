"""The ISPyB service on a real MariaDB: every command, the database away for a while, processes that are killed."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest
import sqlalchemy as sa

from glimt.model.errors import RejectedMessageError, ResultsDatabaseError, RetryMessageError
from glimt.stores.results_db import ResultsDatabase, prepare_results
from glimt.stores.results_schema import table_names
from ispyb_rig import PIA, IspybRig
from ispyb_service_tests import IspybServiceTests
from ispyb_worker import N_MESSAGES, killed_at
from mariadb_server import MariadbServer, mariadb_server, why_no_mariadb
from service_steps import sent

pytestmark = pytest.mark.skipif(bool(why_no_mariadb()), reason=why_no_mariadb() or "MariaDB is here")

_AWAY_S = 10.0


@pytest.fixture(scope="module")
def server() -> Iterator[MariadbServer]:
    # The path of a socket may have 107 characters, and pytest's folders are long.
    with tempfile.TemporaryDirectory(prefix="maria") as folder, mariadb_server(Path(folder)) as running:
        yield running


@pytest.fixture(scope="module")
def prepared(server: MariadbServer) -> str:
    url = server.new_database()
    assert prepare_results(url) == len(table_names()) + 1
    assert prepare_results(url) == 0
    return url


class TestIspybOnMariadb(IspybServiceTests):
    @pytest.fixture
    def url(self, prepared: str) -> str:
        return prepared


@pytest.fixture
def rig(prepared: str, tmp_path: Path) -> Iterator[IspybRig]:
    rig = IspybRig(prepared, (tmp_path,))
    yield rig
    rig.close()


def test_database_away_for_ten_seconds_loses_and_doubles_nothing(server: MariadbServer, rig: IspybRig) -> None:
    dcid = rig.collection.dcid
    steps = [rig.step(PIA, {"file-number": n, "n_spots_total": n}, dcid=dcid) for n in range(1, 101)]
    movies = [rig.step("insert_movie", dcid=dcid, movie_number=n) for n in range(100)]
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for number in range(100):
                rig.service.handle(steps[number])
                rig.service.handle(movies[number])
                time.sleep(0.01)
        except BaseException as error:  # noqa: BLE001 - the test's thread tells the test
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.5)
    server.stop(signal.SIGKILL)
    time.sleep(_AWAY_S)
    assert thread.is_alive()
    server.start()
    thread.join(120)

    assert not thread.is_alive()
    assert failed == []
    images = rig.rows("ImageQualityIndicators", dataCollectionId=dcid)
    assert [(row["imageNumber"], row["spotTotal"]) for row in images] == [(n, n) for n in range(1, 101)]
    assert sorted(row["movieNumber"] for row in rig.rows("Movie", dataCollectionId=dcid)) == list(range(100))
    assert all(len(sent(step)) == 1 for step in (*steps, *movies))


def test_kill_between_rows_and_acknowledgement_leaves_each_row_once(rig: IspybRig, prepared: str) -> None:
    results = killed_at(prepared, rig.collection.dcid, (3, 11, 12, 25, 33))

    rows = rig.rows("Movie", dataCollectionId=rig.collection.dcid)
    assert [row["movieNumber"] for row in rows] == list(range(N_MESSAGES))
    assert list(results.values()) == [row["movieId"] for row in rows]


def test_lock_of_another_is_waited_for(rig: IspybRig) -> None:
    program = rig.processing.program_id
    address = sa.make_url(rig.service.setup.results_url)
    other = pymysql.connect(host=address.host, port=address.port or 0, user="root", database=address.database)
    with other, other.cursor() as cursor:
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 50")
        cursor.execute("UPDATE AutoProcProgram SET processingMessage = 'x' WHERE autoProcProgramId = %s", (program,))
        step = rig.step("update_program_name", program_id=program, program="after the lock")
        thread = threading.Thread(target=rig.service.handle, args=(step,))
        thread.start()
        time.sleep(0.5)
        assert thread.is_alive()
        other.commit()
        thread.join(30)

    assert rig.row("AutoProcProgram", autoProcProgramId=program)["processingPrograms"] == "after the lock"


def test_lock_that_is_never_given_up_gives_the_message_back(rig: IspybRig, tmp_path: Path) -> None:
    program = rig.processing.program_id
    address = sa.make_url(rig.service.setup.results_url)
    impatient = IspybRig(
        f"{rig.service.setup.results_url}?init_command=SET innodb_lock_wait_timeout=1", (tmp_path,), wait_s=0
    )
    other = pymysql.connect(host=address.host, port=address.port or 0, user="root", database=address.database)
    with other, other.cursor() as cursor:
        cursor.execute("UPDATE AutoProcProgram SET processingMessage = 'x' WHERE autoProcProgramId = %s", (program,))
        with pytest.raises(RetryMessageError, match="Lock wait timeout"):
            impatient.service.handle(impatient.step("update_program_name", program_id=program, program="never"))
        other.rollback()
    impatient.close()


def test_message_that_is_too_large_for_the_server_is_rejected_and_holds_up_no_other(
    server: MariadbServer, rig: IspybRig, tmp_path: Path
) -> None:
    address = sa.make_url(rig.service.setup.results_url)
    root = pymysql.connect(host=address.host, port=address.port or 0, user="root", database=address.database)
    with root, root.cursor() as cursor:
        cursor.execute("SELECT @@max_allowed_packet")
        (before,) = cursor.fetchone() or ()
        cursor.execute("SET GLOBAL max_allowed_packet = 65536")
        other = IspybRig(rig.service.setup.results_url, (tmp_path,))
        try:
            quotes = {"severity": "INFO", "description": "'" * 65_000}  # two bytes each in a statement
            began = time.monotonic()
            with pytest.raises(RejectedMessageError, match="the database answers otherwise"):
                other.service.handle(other.step("add_program_message", quotes, program_id=other.processing.program_id))
            assert time.monotonic() - began < 60
            other.run("add_program_message", {"severity": "INFO"}, program_id=other.processing.program_id)
        finally:
            cursor.execute(f"SET GLOBAL max_allowed_packet = {before}")
            other.close()
    assert other.count("AutoProcProgramMessage", autoProcProgramId=other.processing.program_id) == 1


def test_tables_that_are_missing_are_named_with_what_to_do(server: MariadbServer) -> None:
    database = ResultsDatabase(server.new_database())
    with pytest.raises(ResultsDatabaseError, match="glimt db init"), database.reading() as session:
        session.execute(sa.text("SELECT * FROM DataCollection"))
    database.close()


def test_wrong_password_is_told_without_the_password(server: MariadbServer) -> None:
    database = ResultsDatabase(server.url("mysql").replace("root@", "nobody:secret@"))
    with pytest.raises(ResultsDatabaseError, match="denied") as caught, database.reading() as session:
        session.execute(sa.text("SELECT 1"))
    assert "secret" not in str(caught.value)
    database.close()


def test_credentials_file_of_ispyb_is_read(server: MariadbServer, prepared: str, tmp_path: Path) -> None:
    address = sa.make_url(prepared)
    file = tmp_path / "credentials.cfg"
    place = f"host = 127.0.0.1\nport = {server.port}\ndatabase = {address.database}\n"
    file.write_text(f"[ispyb_sqlalchemy]\nusername = root\npassword =\n{place}")
    database = ResultsDatabase(f"ispyb:{file}")
    with database.reading() as session:
        assert session.execute(sa.text("SELECT count(*) FROM DataCollection")).scalar() is not None
    database.close()
