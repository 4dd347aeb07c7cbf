"""Dead letters that died of the same: of a thousand images that no service could read, one line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from glimt.app.broker_dead_letters import DeadLetter

# What differs from one message to the next that dies of the same: identities, and numbers, of files above all.
_VARYING = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+", re.ASCII)


@dataclass(frozen=True, slots=True)
class DeadLetterGroup:
    """Dead letters of one queue whose reasons differ in nothing but numbers.

    Attributes
    ----------
    queue : str
    reason : str
        Of the last one.
    is_same : bool
        Whether all have this very reason.
    n_letters : int
    n_recipes : int
        Runs of recipes that they belong to.
    first_died_ns, last_died_ns : int
        [ns, UTC]; 0 if unknown.
    message_id, recipe_id : str
        Of the last one.
    """

    queue: str
    reason: str
    is_same: bool
    n_letters: int
    n_recipes: int
    first_died_ns: int
    last_died_ns: int
    message_id: str
    recipe_id: str


def group_dead_letters(letters: Iterable[DeadLetter]) -> list[DeadLetterGroup]:
    """Return dead letters by queue and reason, the groups with the newest ones last."""
    alike: dict[tuple[str, str], list[DeadLetter]] = {}
    for letter in letters:
        alike.setdefault((letter.queue, _VARYING.sub("#", letter.reason)), []).append(letter)
    groups = []
    for (queue, _), members in alike.items():
        last = max(members, key=lambda letter: letter.died_ns)
        known = [letter.died_ns for letter in members if letter.died_ns]
        groups.append(
            DeadLetterGroup(
                queue=queue,
                reason=last.reason,
                is_same=len({letter.reason for letter in members}) == 1,
                n_letters=len(members),
                n_recipes=len({letter.recipe_id for letter in members if letter.recipe_id}),
                first_died_ns=min(known, default=0),
                last_died_ns=last.died_ns,
                message_id=last.message_id,
                recipe_id=last.recipe_id,
            )
        )
    return sorted(groups, key=lambda group: group.last_died_ns)
