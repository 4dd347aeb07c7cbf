"""What a site file says: the sections of ``site.toml`` as records, every key with its default.

`glimt.app.site_file.load_site` makes them; paths in them are absolute, and URLs complete.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from glimt.app.written import FilePath, Secret, SecretText

_QUEUE_SAYS = "the name of a queue: letters, digits and _ . - / (200 at most)"
_SERVICE_SAYS = "the name of a service, or package.module:Class in quotes"

QueueName = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_./-]{0,199}\Z", extra={"says": _QUEUE_SAYS})]
ServiceName = Annotated[
    str, Meta(pattern=r"\A[A-Za-z_][A-Za-z0-9_.-]{0,199}(:[A-Za-z0-9_.]{1,200})?\Z", extra={"says": _SERVICE_SAYS})
]
FolderPaths = Annotated[list[Path], Meta(extra={"written": "paths", "says": "a list of paths"})]
Seconds = Annotated[float, Meta(ge=0, le=1e6)]


class BrokerSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[broker]``: what carries messages between services.

    Attributes
    ----------
    url : str
        ``sqlite:PATH`` (a file of this machine) or ``amqp://user:password@host/vhost`` (RabbitMQ); ``${NAME}`` in it is
        replaced from the environment.
    url_file : Path or None
        A file that holds the URL, for passwords; instead of ``url``.
    """

    url: SecretText = Secret("")
    url_file: FilePath | None = None


class ResultsSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[results]``: the database of results.

    Attributes
    ----------
    url : str
        As SQLAlchemy writes it: ``sqlite:///file`` or ``mysql+pymysql://user:password@host/ispyb``; ``${NAME}`` in it
        is replaced from the environment.
    url_file : Path or None
        A file that holds the URL, for passwords; instead of ``url``.
    """

    url: SecretText = Secret("")
    url_file: FilePath | None = None


class PathsSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[paths]``: which folders services may use.

    Attributes
    ----------
    roots : list of Path
        Files that messages name must lie in one of these; the folder in which the command runs without any.
    recipes : list of Path
        Where recipes are looked for, before those that come with glimt.
    state : Path or None
        Where services keep what must survive them; a folder of the user's without it.
    """

    roots: FolderPaths = []
    recipes: FolderPaths = []
    state: FilePath | None = None


class BeamlineSection(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[beamline]``: which one this is.

    Attributes
    ----------
    name : str
        As messages and database name it, such as ``i03``. Without a name the site is taken for one without beamline
        control: it is called ``local``, and what is for GDA goes to this machine.
    """

    name: Annotated[str, Meta(max_length=100, pattern=r"\A[A-Za-z0-9_.-]*\Z", extra={"says": "a short name"})] = ""


class SiteFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole file, as it is written."""

    broker: BrokerSection = BrokerSection()
    results: ResultsSection = ResultsSection()
    paths: PathsSection = PathsSection()
    beamline: BeamlineSection = BeamlineSection()
    services: dict[ServiceName, dict[str, Any]] = {}


class ServicePlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[services.NAME]``: how a service is run. All other keys of the table are the service's own.

    Attributes
    ----------
    instances : int
        So many processes.
    queues : list of str
        Where it takes its messages from; its own queues if none are given.
    prefetch : int or None
        Messages fetched ahead of the one at hand; what the service says without it.
    retry_first_s, retry_longest_s : float
        How long a message that failed waits [s]: the first time, twice as long each further time, and at most.
    configuration : dict
        The service's own keys.
    """

    instances: Annotated[int, Meta(ge=0, le=256)] = 1
    queues: list[QueueName] = []
    prefetch: Annotated[int, Meta(ge=1, le=65535)] | None = None
    retry_first_s: Seconds = 1.0
    retry_longest_s: Seconds = 300.0
    configuration: dict[str, Any] = {}


PLAN_KEYS = frozenset(ServicePlan.__struct_fields__) - {"configuration"}


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Where services run and what they use.

    Attributes
    ----------
    file : Path or None
        The site file, if there is one.
    broker_url, results_url : str
    roots, recipe_folders : tuple of Path
    state_folder : Path
    beamline : str
    plans : dict of str to ServicePlan
        Of the services that the file names.
    """

    file: Path | None
    broker_url: Secret
    results_url: Secret
    roots: tuple[Path, ...]
    recipe_folders: tuple[Path, ...]
    state_folder: Path
    beamline: str
    plans: dict[str, ServicePlan]

    def plan_of(self, service: str) -> ServicePlan:
        """Return how a service is run; as one instance without configuration if the file does not name it."""
        return self.plans.get(service) or ServicePlan()


def default_state_folder() -> Path:
    """Return where state is kept that no file says a place for: ``~/.local/state/glimt``, as the XDG rules have it."""
    base = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(base) if os.path.isabs(base) else Path("~/.local/state").expanduser()
    return folder / "glimt"
