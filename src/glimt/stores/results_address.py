"""Where the results database is: ``sqlite:///PATH``, ``mysql+pymysql://…`` or ``ispyb:FILE``."""

from __future__ import annotations

import configparser
import os
from pathlib import Path
from typing import TYPE_CHECKING

from glimt.model.errors import UsageError

if TYPE_CHECKING:
    import sqlalchemy as sa

ISPYB_PREFIX = "ispyb:"
_SECTION = "ispyb_sqlalchemy"
_FORMS = "sqlite:///PATH, mysql+pymysql://USER:PASSWORD@HOST:PORT/DATABASE or ispyb:CREDENTIALS_FILE"
_SERVERS = ("mysql", "mariadb")


def results_address(url: str) -> sa.URL:
    """Return the address that SQLAlchemy connects to.

    Parameters
    ----------
    url : str
        ``sqlite:///PATH``; ``mysql+pymysql://…`` (``mysql://`` and ``mariadb://`` mean the same: the connection is
        always PyMySQL's); ``ispyb:FILE``, a file of ISPyB's credentials with ``[ispyb_sqlalchemy]``; ``ispyb:`` alone
        takes the file that ``ISPYB_CREDENTIALS`` names.

    Raises
    ------
    UsageError
        It is none of these, the file cannot be read, or SQLAlchemy is not installed.
    """
    try:
        import sqlalchemy as sa
    except ImportError:
        raise UsageError("the results database needs SQLAlchemy: install glimt[services,ispyb]") from None
    if not url:
        raise UsageError(f"no results database is named; write one of {_FORMS}")
    if url.startswith(ISPYB_PREFIX):
        return _from_credentials(url.removeprefix(ISPYB_PREFIX) or os.environ.get("ISPYB_CREDENTIALS", ""))
    try:
        address = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise UsageError(f"this is no address of a results database ({error}); write one of {_FORMS}") from None
    kind = address.get_backend_name()
    if kind == "sqlite":
        if not address.database or address.database == ":memory:":
            raise UsageError("a results database in memory would be lost at once; write sqlite:///PATH")
        return address
    if kind in _SERVERS:
        return address.set(drivername="mysql+pymysql")
    raise UsageError(f"a results database cannot be {kind!r}; write one of {_FORMS}")


def shown(address: sa.URL) -> str:
    """Return the address for people, without its password."""
    return address.render_as_string(hide_password=True)


def _from_credentials(file: str) -> sa.URL:
    import sqlalchemy as sa

    if not file:
        raise UsageError("ispyb: names no file, and ISPYB_CREDENTIALS is not set")
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(Path(file).read_text(encoding="utf-8"))
        section = dict(parser.items(_SECTION))
        port = int(section.get("port") or 3306)
        database, host, user = section["database"], section["host"], section["username"]
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise UsageError(f"{file}: cannot be read as ISPyB credentials: {str(error).splitlines()[0]}") from None
    except KeyError as error:
        raise UsageError(f"{file}: [{_SECTION}] has no {error.args[0]}") from None
    except ValueError:
        raise UsageError(f"{file}: [{_SECTION}] port is not a number") from None
    return sa.URL.create("mysql+pymysql", user, section.get("password"), host, port, database)
