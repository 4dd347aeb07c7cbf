"""Starts recipes: makes the message that Zocalo's ``zocalo.go`` sends, and sends it."""

from __future__ import annotations

import getpass
import json
import os
import re
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from glimt.app.open_broker import open_broker
from glimt.app.site import Site
from glimt.brokers.broker import Broker, Outgoing
from glimt.brokers.layout import EXCHANGES, LAYOUT, TOPICS
from glimt.model.errors import RecipeError, UsageError
from glimt.model.recipe import Recipe
from glimt.services.recipe_files import find_recipe, load_recipe
from glimt.services.recipe_log import RECIPE_ID

QUEUE = "processing_recipe"
_NUMBERS_END = 1 << 53  # as for the dispatcher: JSON carries no greater ones safely
_KEY = re.compile(r"\A[A-Za-z_][\w.-]*\Z", re.ASCII)


def read_setting(text: str) -> tuple[str, Any]:
    """Return name and value of ``name=text`` or ``name:=JSON``.

    Raises
    ------
    UsageError
        It is neither.
    """
    name, equals, value = text.partition("=")
    is_json = name.endswith(":")
    name = name.removesuffix(":").strip()
    if not equals or not _KEY.match(name):
        raise UsageError(f"cannot read the parameter {text!r}; write NAME=TEXT, or NAME:=JSON for other than text")
    if not is_json:
        return name, value
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the value of {name} is not JSON: {error}; write NAME=TEXT for a text") from None


def make_request(
    site: Site,
    recipes: Sequence[str] = (),
    *,
    recipe_file: Path | None = None,
    number: int | None = None,
    is_reprocessing: bool = False,
    scaling_id: int | None = None,
    settings: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the message that starts recipes.

    Parameters
    ----------
    site : Site
    recipes : sequence of str
        Names of recipes.
    recipe_file : Path or None
        A recipe of one's own, besides.
    number : int or None
        The data collection, or with ``is_reprocessing`` the processing job.
    is_reprocessing : bool
    scaling_id : int or None
        The scaling that a recipe continues with.
    settings : sequence of str
        Parameters as ``name=text`` or ``name:=JSON``.

    Raises
    ------
    UsageError
        Nothing is to be run, a number is none that there can be, or the run's identity is none.
    RecipeError
        A recipe is not there or not valid.
    """
    if not recipes and recipe_file is None and not is_reprocessing:
        raise UsageError("no recipe is named; `glimt recipe show` lists them, -f FILE takes one of your own")
    for what, each in (("the number of the data collection", number), ("the scaling's number", scaling_id)):
        if each is not None and not 0 < each < _NUMBERS_END:
            raise UsageError(f"{what} is {each!s:.40}; it must be 1 or more, and below {_NUMBERS_END}")
    if is_reprocessing and number is None:
        raise UsageError("--reprocessing needs the number of the processing job")
    _check_recipes(site, recipes)
    parameters: dict[str, Any] = dict(read_setting(text) for text in settings)
    if number is not None:
        parameters["ispyb_process" if is_reprocessing else "ispyb_dcid"] = number
    if scaling_id is not None:
        parameters["ispyb_autoprocscalingid"] = scaling_id
    # The dispatcher takes the identity of the run from here, so that whoever asked can follow it.
    guid = parameters.setdefault("guid", str(uuid.uuid4()))
    if not isinstance(guid, str) or not RECIPE_ID.fullmatch(guid):
        raise UsageError(f"guid is {str(guid)!r:.80}; the dispatcher takes 3 to 200 letters, digits and _ - only")
    request: dict[str, Any] = {"recipes": list(recipes), "parameters": parameters}
    if recipe_file is not None:
        request["custom_recipe"] = _own_recipe(recipe_file).to_dict()
    return request


@contextmanager
def open_for_requests(site: Site) -> Iterator[Broker]:
    """Connect to the site's broker, and see that the queues are there.

    Raises
    ------
    BrokerError
        The broker cannot be reached.
    UsageError
        The folder of its file cannot be made.
    """
    if site.broker_url.startswith("sqlite:"):
        try:
            site.state_folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"cannot make the folder {site.state_folder}: {error.strerror}; choose another: paths.state"
            ) from None
    broker = open_broker(str(site.broker_url))
    try:
        broker.declare(LAYOUT, topics=TOPICS, exchanges=EXCHANGES)
        yield broker
    finally:
        broker.close()


def send_request(broker: Broker, request: dict[str, Any]) -> None:
    """Send the message that starts recipes; it waits in its queue if no dispatcher runs.

    Raises
    ------
    BrokerError
        The broker cannot be reached.
    """
    message = Outgoing(
        body=json.dumps(request).encode(),
        queue=QUEUE,
        headers={"zocalo.go.user": _user(), "zocalo.go.host": socket.gethostname()},
    )
    broker.send([message])


def split_recipes(words: Sequence[str], file: Path | None) -> tuple[list[str], Path | None]:
    """Return the names of recipes, and the file of one's own: ``x.json`` is a file if there is one, else the recipe x.

    Raises
    ------
    UsageError
        Two files of one's own.
    """
    names: list[str] = []
    for word in words:
        if not word.endswith(".json") or ("/" not in word and not os.path.isfile(word)):
            names.append(word.removesuffix(".json"))
        elif file is not None:
            raise UsageError(f"{file} and {word}: only one recipe of your own can be given; others go by name")
        else:
            file = Path(word)
    return names, file


def recipe_id_of(request: dict[str, Any]) -> str:
    """Return the identity under which the run will be known."""
    return str(request["parameters"]["guid"])


def _check_recipes(site: Site, names: Sequence[str]) -> None:
    for name in names:
        try:
            path = find_recipe(name, site.recipe_folders)
        except RecipeError as error:
            if site.broker_url.startswith("amqp"):
                continue  # the dispatcher may run on another machine, with recipes of its own
            raise RecipeError(f"there is no file {f'{name}.json'!r:.120} here, and {error}") from None
        load_recipe(path).check()


def _own_recipe(file: Path) -> Recipe:
    recipe = load_recipe(file)
    try:
        recipe.check()
    except RecipeError as error:
        raise RecipeError(f"{file}: {error}") from None
    return recipe


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a process without a user, in a container
        return str(os.getuid())
