"""Finds and reads the site file, and says of all that is wrong in it which key, which line and what is allowed."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from glimt.app.problems import Problems, path_text
from glimt.app.site import (
    BrokerSection,
    ResultsSection,
    ServicePlan,
    Site,
    SiteFile,
    default_state_folder,
)
from glimt.app.site_services import read_plans
from glimt.app.toml_file import parse_document, read_text, written_path, written_secret
from glimt.app.toml_lines import TomlLines
from glimt.app.toml_struct import StructReader
from glimt.app.written import Secret
from glimt.model.errors import UsageError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_RELATIVE_FILE = re.compile(r"\A(sqlite:(?:///)?)(?!/)([^/?:][^?]*)(.*)\Z", re.DOTALL)
SITE_VARIABLE = "GLIMT_SITE"
DEFAULT_FILE = "site.toml"
NO_BEAMLINE = "local"


def load_site(path: Path | str | None = None, *, roots: Sequence[Path] = ()) -> Site:
    """Return the site: from ``path``, else the file that ``$GLIMT_SITE`` names, else ``./site.toml``, else defaults.

    Without any file everything lies in a folder of the user's: an SQLite broker and an SQLite database of results.

    Parameters
    ----------
    path : Path or str or None
    roots : sequence of Path
        Further roots, before those of the file; they must be there. Those of the file may come later, as mounts do.

    Raises
    ------
    UsageError
        One of ``roots`` is no folder. Or the file cannot be read, is not TOML, or says something that cannot be. The
        text has one line for each problem then, as
        ``site.toml:14: services.images.instances is "two"; it must be a whole number from 0 to 256``.
    """
    for root in roots:
        if not os.path.isdir(root):
            what = "is no folder" if os.path.exists(root) else "is not there, or you may not see it"
            raise UsageError(f"--root {root} {what}; it must be a folder in which images lie")
    name = path or os.environ.get(SITE_VARIABLE) or (DEFAULT_FILE if os.path.isfile(DEFAULT_FILE) else None)
    if name is None:
        return _complete(SiteFile(), {}, None, roots)
    text = read_text(name, kind="site file", hint="without --site one is not needed")
    document = parse_document(text, str(name))
    file = Path(os.path.abspath(name))
    problems = Problems(str(name), TomlLines(text))
    reader = StructReader(
        problems,
        written={
            "path": partial(written_path, folder=file.parent),
            "paths": partial(_paths, folder=file.parent),
            "secret": written_secret,
        },
        checks={
            BrokerSection: partial(_address, problems=problems, what="broker"),
            ResultsSection: partial(_address, problems=problems, what="results database"),
        },
    )
    found = reader.read(SiteFile, document)
    plans = {} if found is None else read_plans(found.services, reader, problems)
    problems.raise_if_any()
    if found is None:
        raise UsageError(f"{name} cannot be used")
    return _complete(found, plans, file, roots)


def _paths(value: Any, *, folder: Path) -> list[Path]:
    if not isinstance(value, list):
        raise ValueError('it must be a list of paths, such as ["/data"]')
    return [written_path(each, folder=folder) for each in value]


def _address(section: Any, table: dict[str, Any], key: tuple[str | int, ...], *, problems: Problems, what: str) -> Any:
    """Complete a section that has a URL."""
    if section.url_file is not None:
        if section.url:
            problems.add((*key, "url_file"), "and url are both given; the URL can be in one place")
            return section
        try:
            url = Path(section.url_file).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
            problems.add((*key, "url_file"), f"is {path_text(section.url_file)}, which cannot be read: {reason}")
            return section
        if not url or not url.isprintable():
            problems.add((*key, "url_file"), f"is {path_text(section.url_file)}, which must hold one line: the URL")
            return section
        return replace(section, url=Secret(url))
    if "url" in table and not section.url:
        problems.add((*key, "url"), f"is empty; it must be the URL of the {what}")
        return section
    missing = [name for name in _VARIABLE.findall(section.url) if name not in os.environ]
    for name in missing:
        problems.add((*key, "url"), f"needs the environment variable {name}, which is not set")
    if missing:
        return section
    return replace(section, url=Secret(_VARIABLE.sub(lambda match: os.environ[match[1]], section.url)))


def _complete(found: SiteFile, plans: dict[str, ServicePlan], file: Path | None, roots: Sequence[Path]) -> Site:
    here = Path(os.path.abspath(os.curdir))
    folder = here if file is None else file.parent
    state = found.paths.state or default_state_folder()
    if not found.beamline.name:
        known = plans.get("notify_gda", ServicePlan())
        plans = {**plans, "notify_gda": replace(known, configuration={"host": "127.0.0.1"} | known.configuration)}
    given = [Path(os.path.abspath(root)) for root in roots] + list(found.paths.roots)
    return Site(
        file=file,
        broker_url=Secret(_absolute(found.broker.url, folder) or f"sqlite:{state / 'broker.sqlite'}"),
        results_url=Secret(_absolute(found.results.url, folder) or f"sqlite:///{state / 'results.sqlite'}"),
        roots=tuple(dict.fromkeys(given or [here])),
        recipe_folders=tuple(found.paths.recipes),
        state_folder=state,
        beamline=found.beamline.name or NO_BEAMLINE,
        plans=plans,
    )


def _absolute(url: str, folder: Path) -> str:
    """Return a URL of an SQLite file with its path relative to ``folder`` made absolute; other URLs as they are."""
    match = _RELATIVE_FILE.match(url)
    if match is None:
        return url
    path = os.path.normpath(os.path.join(folder, os.path.expanduser(match[2])))
    return f"{match[1]}{path}{match[3]}"
