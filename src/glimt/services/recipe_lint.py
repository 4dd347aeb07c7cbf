"""What is wrong with a recipe beyond its form: what Zocalo would lose without a word, found before anything is sent."""

from __future__ import annotations

import difflib
import string
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from typing import Any

from glimt.model.errors import RecipeError
from glimt.model.recipe import Recipe
from glimt.model.recipe_envelope import MAX_DELAY_S
from glimt.services.service_outputs import CONTRACTS, QueueContract

_LABELS = frozenset({"service", "comment", "description"})
_ROUTING = ("queue", "topic", "exchange")
_ENTRIES = (*_ROUTING, "parameters", "output", "error", "transport-delay", "gridinfo", *sorted(_LABELS))
_NEAR = 0.75
_MOST_ALIKE = 100
"""Of problems of one kind in one step: to find what each of a million names was meant to be takes minutes."""


@dataclass(frozen=True, slots=True)
class RecipeProblem:
    """One thing that is wrong with a recipe.

    Attributes
    ----------
    step : int or None
        ``None`` where it is the recipe as a whole.
    what : str
        What, and what to do.
    is_error : bool
        Messages would be lost or rejected; otherwise it may be meant so.
    """

    step: int | None
    what: str
    is_error: bool = True

    def __str__(self) -> str:
        return self.what if self.step is None else f"step {self.step}: {self.what}"


def find_recipe_problems(
    recipe: Recipe,
    *,
    parameters: Mapping[str, Any] | None = None,
    known_queues: Collection[str] | None = None,
    contracts: Mapping[str, QueueContract] = CONTRACTS,
) -> list[RecipeProblem]:
    """Return all that is wrong with a recipe: first of the recipe as a whole, then step by step.

    Parameters
    ----------
    recipe : Recipe
        As it is written, before substitution.
    parameters : mapping or None
        What will be substituted; names that are not among them are reported. ``None``: not known yet, and what
        depends on a substitution is not looked at.
    known_queues : collection of str or None
        All queues that the broker has; ``None``: queues are not looked at. One to which an ``exchange`` leads is not
        looked for: who binds there is not known.
    contracts : mapping of str to QueueContract
        By queue; outputs and parameters of steps at other queues are not looked at.
    """
    try:
        recipe.check()
    except RecipeError as error:
        return [RecipeProblem(None, str(error))]
    problems: list[RecipeProblem] = []
    if parameters is not None:
        problems += _missing_names(recipe, parameters)
        try:
            recipe = recipe.substituted(parameters)
        except RecipeError as error:
            return [*problems, RecipeProblem(None, str(error))]
    for number, node in recipe.nodes.items():
        contract = contracts.get(str(node.get("queue")))
        found = [*_routing_problems(node, known_queues, is_final=parameters is not None), *_delay_problems(node)]
        found += islice(_unread_entries(node, contract), _MOST_ALIKE)
        if contract is not None:
            found += islice(_output_problems(node, contract), _MOST_ALIKE)
            found += _parameter_problems(node, contract)
            found += islice(_unread_parameters(node, contract, contracts), _MOST_ALIKE)
        problems += [RecipeProblem(number, what, is_error) for what, is_error in found]
    return sorted(problems, key=lambda problem: (problem.step is not None, problem.step or 0))


def _routing_problems(
    node: Mapping[str, Any], known_queues: Collection[str] | None, *, is_final: bool
) -> Iterator[tuple[str, bool]]:
    if not node.get("queue") and not node.get("topic"):
        yield "it has neither 'queue' nor 'topic', so everything sent to it would be lost", True
    for kind in _ROUTING:
        if node.get(kind) is not None and not isinstance(node[kind], str):
            yield f"{kind} is {node[kind]!r:.60}, not a name", True
    queue = node.get("queue")
    if not queue or not isinstance(queue, str) or known_queues is None or node.get("exchange"):
        return
    if queue not in known_queues and (is_final or "{" not in queue):
        near = difflib.get_close_matches(queue, list(known_queues), n=1, cutoff=0.6)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        yield f"there is no queue {queue!r:.120}{hint}", True


def _delay_problems(node: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    delay = node.get("transport-delay")
    if delay is None or (isinstance(delay, str) and "{" in delay):
        return
    try:
        is_time = not isinstance(delay, bool) and isfinite(float(delay)) and float(delay) >= 0
    except (TypeError, ValueError, OverflowError):
        is_time = False
    if not is_time:
        yield f"transport-delay is {delay!r:.60}, not a number of seconds", True
    elif float(delay) > MAX_DELAY_S:
        yield f"transport-delay is {delay!r:.60}, more than 49 days ({MAX_DELAY_S:.0f} s)", True


def _output_problems(node: Mapping[str, Any], contract: QueueContract) -> Iterator[tuple[str, bool]]:
    output = node.get("output")
    queue = node["queue"]
    if not output:
        if contract.needs_output:
            yield f"it has no 'output', so what {queue} finds goes nowhere", False
    elif not isinstance(output, Mapping):
        if contract.default_output is None:
            yield f"its output has no name, and {queue} sends nothing there; {_sent(contract)}", True
    else:
        for name in output:
            if not contract.sends_to(name) and "{" not in name:
                near = difflib.get_close_matches(name, contract.outputs, n=1, cutoff=0.6)
                hint = f"; did you mean {near[0]!r}?" if near else f"; {_sent(contract)}"
                yield f"{queue} never sends to an output {name!r:.60}{hint}", True


def _sent(contract: QueueContract) -> str:
    return f"it sends to {', '.join(contract.outputs)}" if contract.outputs else "it sends nothing on"


def _parameter_problems(node: Mapping[str, Any], contract: QueueContract) -> Iterator[tuple[str, bool]]:
    parameters = node.get("parameters")
    if parameters is not None and not isinstance(parameters, Mapping):
        yield f"'parameters' is {parameters!r:.60}, not an object", True
        return
    given = {name for name, value in (parameters or {}).items() if value is not None and value != ""}
    for required in contract.required_parameters:
        names = required.split("|")
        if given.isdisjoint(names):
            yield f"the parameter {' or '.join(names)} is missing, which {node['queue']} needs", True
    for name, others in (contract.required_with or {}).items():
        missing = [other for other in others if other not in given]
        if name in given and missing:
            yield f"the parameter {' and '.join(missing)} is missing, which {name} needs", True
    for entry in contract.required_entries:
        if node.get(entry) is None:
            yield f"the entry {entry!r} is missing, which {node['queue']} needs", True


def _unread_entries(node: Mapping[str, Any], contract: QueueContract | None) -> Iterator[tuple[str, bool]]:
    """Yield keys of a step that nobody reads; of other people's services only those that look misspelt."""
    for name in node:
        if name in _ENTRIES:
            continue
        near = difflib.get_close_matches(name.lower().replace("_", "-"), _ENTRIES, n=1, cutoff=_NEAR)
        if near:
            yield f"nobody reads the key {name!r:.60}; did you mean {near[0]!r}?", False
        elif contract is not None:
            hint = "; put it among 'parameters'" if name in _all_parameters(contract) else ""
            yield f"{node['queue']} does not read the key {name!r:.60} of a step{hint}", False


def _unread_parameters(
    node: Mapping[str, Any], contract: QueueContract, contracts: Mapping[str, QueueContract]
) -> Iterator[tuple[str, bool]]:
    """Yield parameters that the service of the queue does not read; Zocalo says nothing of them."""
    parameters = node.get("parameters")
    if contract.parameters is None or not isinstance(parameters, Mapping):
        return
    for name in parameters:
        if name in contract.parameters or "{" in name:
            continue
        near = difflib.get_close_matches(name, contract.parameters, n=1, cutoff=_NEAR)
        others = [queue for queue, other in contracts.items() if name in _all_parameters(other)]
        hint = f"; did you mean {near[0]!r}?" if near else f"; {others[0]} does" if others else ""
        yield f"{node['queue']} does not read the parameter {name!r:.60}{hint}", False


def _all_parameters(contract: QueueContract) -> frozenset[str]:
    return (contract.parameters or frozenset()) | {
        name for names in contract.required_parameters for name in names.split("|")
    }


def _missing_names(recipe: Recipe, parameters: Mapping[str, Any]) -> Iterator[RecipeProblem]:
    """Yield a problem for each name that substitution would leave as it is written."""
    for number, node in recipe.nodes.items():
        told: set[str] = set()
        for entry, value in node.items():
            for name in _field_names(value):
                if name not in parameters and name not in told:
                    told.add(name)
                    what = f"{entry}: {{{name}}} is not among the parameters of the run, so it stays as it is written"
                    yield RecipeProblem(number, what, entry not in _LABELS)


def _field_names(value: Any) -> Iterator[str]:
    """Yield the names of all fields in texts and keys; ``{$REPLACE:...}`` without a value is meant so."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _field_names(key)
            yield from _field_names(item)
    elif isinstance(value, list):
        for item in value:
            yield from _field_names(item)
    elif isinstance(value, str) and "{" in value and not value.startswith("{$REPLACE"):
        try:
            fields = [field for _, field, _, _ in string.Formatter().parse(value)]
        except ValueError:
            return  # substitution says what is wrong with it
        for field in fields:
            if field:
                yield field.partition("[")[0].partition(".")[0]
