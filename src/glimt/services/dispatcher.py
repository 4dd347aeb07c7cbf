"""The Dispatcher: names of recipes and parameters go in, running recipes come out."""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import math
import re
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from glimt.brokers.broker import Outgoing
from glimt.model.errors import BrokerError, RecipeError, RejectedMessageError, ResultsDatabaseError, RetryMessageError
from glimt.model.recipe import Recipe
from glimt.model.recipe_envelope import start_recipe
from glimt.services.collection_context import CollectionContext, FileContext, IspybContext
from glimt.services.collection_names import FolderTemplates
from glimt.services.dispatcher_extensions import FILTERS, READINESS, DispatcherExtensions
from glimt.services.dispatcher_logbook import write_logbook
from glimt.services.recipe_files import SHIPPED_RECIPES, find_recipe, load_recipe
from glimt.services.recipe_lint import find_recipe_problems
from glimt.services.recipe_log import RECIPE_ID, about_recipe
from glimt.services.recipe_step import RecipeStep
from glimt.services.service import Service, ServiceSetup
from glimt.services.service_configuration import read_configuration
from glimt.stores.results_db import ResultsDatabase

QUEUE = "processing_recipe"
MAX_RECIPES = 100

_QUEUE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,255}", re.ASCII)
_SHOWN_PROBLEMS = 20

log = logging.getLogger(__name__)

Parameters = dict[str, Any]


class DispatcherConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[services.dispatcher]`` of the site file.

    Parameters
    ----------
    logbook : str
        Folder of the logbook; empty for none.
    lint : {"reject", "warn"}
        What becomes of a recipe of which a part would be lost on the way: an output that nothing sends to, a missing
        parameter, a name that was not filled in. ``warn`` runs it, as Zocalo does, and tells the log.
    not_ready_retry_s : float
        A message that waits for its data collection is looked at again after this time.
    not_ready_timeout_s : float
        It waits so long in all, if it does not say so itself (``dispatcher_timeout``).
    folders : FolderTemplates
        Where results go.
    """

    logbook: str = ""
    lint: Literal["reject", "warn"] = "reject"
    not_ready_retry_s: Annotated[float, msgspec.Meta(gt=0)] = 2.0
    not_ready_timeout_s: Annotated[float, msgspec.Meta(ge=0)] = 120.0
    folders: FolderTemplates = FolderTemplates()


class _Request(msgspec.Struct):
    recipes: list[str] = []
    custom_recipe: dict[str, Any] | None = None
    parameters: dict[str, Any] = {}


class DispatcherService(Service):
    """Turns a request into running recipes.

    The request, as a message of a recipe or by itself, is ``{"recipes": [names], "custom_recipe": {...}, "parameters":
    {...}}``. What is known of the data collection, other packages' filters and the parameters fill the recipes in; all
    of them run as one, whose environment has the run's ``ID``: the parameter ``guid``, else one made from the message's
    identity, so that a repeated delivery starts the very same run. A message without an identity of its own gets a
    random one: another request that says the same is another request.

    Parameters
    ----------
    setup : ServiceSetup
    clock : callable, optional
        Gives the time [s, UTC].
    filters, readiness : DispatcherExtensions, optional
        Instead of the installed packages'.

    Raises
    ------
    UsageError
        The configuration is wrong, or the results database's address is.
    """

    name: ClassVar[str] = "dispatcher"
    title: ClassVar[str] = "Dispatcher"
    queues: ClassVar[tuple[str, ...]] = (QUEUE,)
    accepts_plain: ClassVar[bool] = True

    def __init__(
        self,
        setup: ServiceSetup,
        *,
        clock: Callable[[], float] = time.time,
        filters: DispatcherExtensions | None = None,
        readiness: DispatcherExtensions | None = None,
    ) -> None:
        super().__init__(setup)
        self._configuration = read_configuration(setup, self.name, DispatcherConfiguration)
        self._configuration.folders.check()
        self._clock = clock
        self._has_queue: Callable[..., bool] | None = None
        self._filters = filters or DispatcherExtensions(FILTERS)
        self._readiness = readiness or DispatcherExtensions(READINESS)
        self._database = ResultsDatabase(setup.results_url) if setup.results_url else None
        self._contexts: list[CollectionContext] = [FileContext(setup.roots, self._configuration.folders)]
        if self._database is not None:
            self._contexts.insert(0, IspybContext(self._database, self._configuration.folders))

    def connected(self, has_queue: Callable[..., bool]) -> None:
        """Remember how to ask whether queues are there."""
        self._has_queue = has_queue

    def handle(self, step: RecipeStep) -> None:
        """Start what a request asks for, or let it wait."""
        message = copy.deepcopy(step.payload)
        if not isinstance(message, dict):
            raise RejectedMessageError(
                f"a request is an object with recipes and parameters, not {type(message).__name__}"
            )
        if not isinstance(message.get("parameters", {}), dict):
            raise RejectedMessageError(f"parameters is {str(message['parameters'])[:60]!r}; it has to be an object")
        parameters: Parameters = message.setdefault("parameters", {})
        guid = self._guid(parameters, step)
        with about_recipe(guid):
            try:
                if self._is_ready(message, parameters):
                    self._dispatch(step, message, parameters, guid)
                else:
                    self._wait(step, message, parameters, guid)
            except (BrokerError, ResultsDatabaseError) as error:
                raise RetryMessageError(str(error)) from None

    def close(self) -> None:
        """Close the connections to the results database."""
        if self._database is not None:
            self._database.close()

    @staticmethod
    def _guid(parameters: Parameters, step: RecipeStep) -> str:
        guid = parameters.get("guid")
        if not guid and not step.is_identified:
            guid = str(uuid.uuid4())  # its identity is made of what it says: an equal request would start the same run
        if not guid:
            message_id = step.message_id
            digest = hashlib.blake2b(f"dispatcher/{message_id}".encode(), digest_size=16).digest()
            guid = str(uuid.UUID(bytes=digest, version=4))
        if not isinstance(guid, str) or not RECIPE_ID.fullmatch(guid):
            raise RejectedMessageError(f"guid is {str(guid)[:60]!r}; 3 to 200 letters, digits and _ - are accepted")
        parameters["guid"] = guid
        return guid

    # Waiting

    def _is_ready(self, message: Parameters, parameters: Parameters) -> bool:
        return all(context.is_ready(parameters) for context in self._contexts) and all(
            self._readiness.call(message, parameters)
        )

    def _wait(self, step: RecipeStep, message: Parameters, parameters: Parameters, guid: str) -> None:
        """Send the request again, later; or, when it has waited for too long, where it wants to go then."""
        now = self._clock()
        if "dispatcher_expiration" not in parameters:
            patience = _number(parameters, "dispatcher_timeout", self._configuration.not_ready_timeout_s)
            parameters["dispatcher_expiration"] = now + patience
        if _number(parameters, "dispatcher_expiration", now) > now:
            delay_s = self._configuration.not_ready_retry_s
            if step.recipe is not None:
                step.checkpoint(message, delay_s=delay_s)
            else:
                step.post(Outgoing(_json(message), queue=QUEUE, headers=_kept_headers(step), delay_s=delay_s))
            return
        error_queue = parameters.get("dispatcher_error_queue")
        if not error_queue:
            why = self._why_not_ready(parameters, guid)
            raise RejectedMessageError(
                f"what the request is about is still not ready for processing; the wait is over{why}"
            )
        if not isinstance(error_queue, str) or not _QUEUE_NAME.fullmatch(error_queue):
            raise RejectedMessageError(f"dispatcher_error_queue is {str(error_queue)[:60]!r}, not the name of a queue")
        log.info("the request is still not ready for processing and goes to %s", error_queue)
        step.post(Outgoing(_json(message), queue=error_queue, headers=_kept_headers(step)))

    def _why_not_ready(self, parameters: Parameters, guid: str) -> str:
        try:
            for context in self._contexts:
                context.find_names(parameters, guid=guid)
        except RejectedMessageError as error:
            return f": {error}"
        return ""

    # Dispatching

    def _dispatch(self, step: RecipeStep, message: Parameters, parameters: Parameters, guid: str) -> None:
        parsed, parameters = self._filled(message, parameters, guid)
        try:
            request = msgspec.convert(parsed, _Request)
        except msgspec.ValidationError as error:
            raise RejectedMessageError(f"the request: {error}") from None
        template = self._recipe(request)
        try:
            self._check(template, parameters)
            recipe = template.substituted(parameters)
            self._check_queues(recipe)
            envelopes = start_recipe(recipe, environment={"ID": guid})
        except RecipeError as error:
            raise RejectedMessageError(str(error)) from None
        step.start(envelopes)
        if self._configuration.logbook:
            write_logbook(
                Path(self._configuration.logbook),
                guid,
                headers=step.headers,
                message=step.payload,
                parsed={**parsed, "parameters": parameters},
                recipe=recipe.to_dict(),
                now=self._clock(),
            )
        log.info("started %s", ", ".join(request.recipes) or "a recipe of its own")

    def _filled(self, message: Parameters, parameters: Parameters, guid: str) -> tuple[Parameters, Parameters]:
        """Return message and parameters with what is known of the data collection, and as filters change them."""
        recipes = message.get("recipes") or []
        if not isinstance(recipes, list) or not all(isinstance(name, str) for name in recipes):
            raise RejectedMessageError(f"recipes is {str(recipes)[:60]!r}; it has to be a list of names")
        message = {**message, "recipes": list(recipes)}
        for context in self._contexts:
            found = context.find_names(parameters, guid=guid)
            parameters = parameters | found.parameters
            message["recipes"] += found.recipes
        return self._filters.filtered({**message, "parameters": parameters}, parameters)

    def _recipe(self, request: _Request) -> Recipe:
        """Return all recipes of a request as one: its own first, then the named ones."""
        if len(request.recipes) > MAX_RECIPES:
            raise RejectedMessageError(f"the request names {len(request.recipes)} recipes, more than {MAX_RECIPES}")
        folders: Sequence[Path] = self.setup.recipe_folders or (SHIPPED_RECIPES,)
        parts: list[tuple[str, Recipe]] = []
        try:
            if request.custom_recipe:
                parts.append(("custom_recipe", Recipe.from_dict(request.custom_recipe)))
            parts += [(name, load_recipe(find_recipe(name, folders))) for name in request.recipes]
        except RecipeError as error:
            raise RejectedMessageError(str(error)) from None
        merged: Recipe | None = None
        for name, part in parts:
            try:
                part.check()
                merged = part if merged is None else merged.merged_with(part)
            except RecipeError as error:
                raise RejectedMessageError(f"recipe {name!r}: {error}") from None
        if merged is None:
            raise RejectedMessageError("the request names no recipe and brings none of its own")
        return merged

    def _check(self, recipe: Recipe, parameters: Parameters) -> None:
        """Reject a recipe of which a part would be lost on the way, or tell the log."""
        problems = find_recipe_problems(recipe, parameters=parameters)
        is_strict = self._configuration.lint == "reject"
        errors = [str(problem) for problem in problems if problem.is_error]
        told = [problem for problem in problems if not (problem.is_error and is_strict)]
        for problem in told[:_SHOWN_PROBLEMS]:
            log.warning("recipe: %s", problem)
        if len(told) > _SHOWN_PROBLEMS:
            log.warning("recipe: and %d more; `glimt recipe check` says all", len(told) - _SHOWN_PROBLEMS)
        if errors and is_strict:
            more = f"; and {len(errors) - _SHOWN_PROBLEMS} more" if len(errors) > _SHOWN_PROBLEMS else ""
            if self._database is None and "ispyb_dcid" in parameters:
                more += "; (ispyb_dcid is given, but the site file names no results database to look it up in)"
            raise RejectedMessageError("the recipe cannot run as it is: " + "; ".join(errors[:_SHOWN_PROBLEMS]) + more)

    def _check_queues(self, recipe: Recipe) -> None:
        """Reject a recipe with a step whose queue is not there, or tell the log."""
        if self._has_queue is None:
            return
        missing = [
            f"step {number}: the broker has no queue {queue!r}"
            for number, node in recipe.nodes.items()
            if (queue := node.get("queue"))
            and not self._has_queue(str(queue), exchange=str(node.get("exchange") or ""))
        ]
        if missing and self._configuration.lint == "reject":
            raise RejectedMessageError(
                f"the recipe cannot run as it is: {'; '.join(missing[:_SHOWN_PROBLEMS])}; "
                "`glimt broker configure QUEUE` makes one that another program reads"
            )
        for problem in missing[:_SHOWN_PROBLEMS]:
            log.warning("recipe: %s", problem)


def _number(parameters: Parameters, name: str, default: float) -> float:
    try:
        number = msgspec.convert(parameters.get(name, default), float, strict=False)
    except msgspec.ValidationError:
        number = math.nan
    if not math.isfinite(number):
        raise RejectedMessageError(f"{name} is {str(parameters[name])[:60]!r}; a number of seconds is needed")
    return number


def _json(message: Parameters) -> bytes:
    return json.dumps(message).encode()


def _kept_headers(step: RecipeStep) -> dict[str, Any]:
    """Return who asked, which travels with a request; nothing else of a message's headers does."""
    return {name: value for name, value in step.headers.items() if name.startswith("zocalo.")}
