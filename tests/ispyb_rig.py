"""The ISPyB service at work on a real database: what was sent to it, and the rows that came of it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from glimt.services.ispyb import IspybService
from glimt.services.recipe_step import RecipeStep
from glimt.services.service import ServiceSetup
from glimt.stores.results_db import ResultsDatabase
from glimt.stores.results_schema import results_table
from ispyb_rows import CollectionRows, ProcessingRows, make_collection, make_processing
from service_steps import plain_step, sent, step_for

PIA = "store_per_image_analysis_results"

_NUMBERS = itertools.count(1)


class IspybRig:
    """A service, its database, and one data collection that was processed.

    Attributes
    ----------
    service : IspybService
    database : ResultsDatabase
    collection : CollectionRows
    processing : ProcessingRows
    """

    def __init__(self, url: str, roots: tuple[Path, ...], **configuration: Any) -> None:
        setup = ServiceSetup(configuration, roots=roots, state_folder=roots[0], results_url=url)
        self.service = IspybService(setup)
        self.database = ResultsDatabase(url)
        with self.database.transaction() as session:
            self.collection: CollectionRows = make_collection(session)
            self.processing: ProcessingRows = make_processing(session, self.collection.dcid)

    def close(self) -> None:
        self.service.close()
        self.database.close()

    def run(self, command: str, payload: Any = None, **parameters: Any) -> Any:
        """Run a command as the step of a recipe, and return its result."""
        step = self.step(command, payload, **parameters)
        self.service.handle(step)
        return self.result(step)

    def step(
        self,
        command: str,
        payload: Any = None,
        *,
        message_id: str = "",
        known: Mapping[str, Any] | None = None,
        **parameters: Any,
    ) -> RecipeStep:
        """Return a message with a command; no two have the same identity unless one is given.

        ``known`` is the environment of the recipe, ``parameters`` those of its step.
        """
        return step_for(
            {"ispyb_command": command, **parameters},
            payload,
            {"output": 2, "trigger": 3, "held": 4},
            known,
            message_id=message_id or f"m-{next(_NUMBERS)}-{id(self)}",
        )

    @staticmethod
    def plain(parameters: Mapping[str, Any], content: Any) -> RecipeStep:
        """Return a message that belongs to no recipe."""
        return plain_step({"parameters": dict(parameters), "content": content}, message_id=f"p-{next(_NUMBERS)}")

    @staticmethod
    def result(step: RecipeStep) -> Any:
        """Return the result that a step sent on."""
        (payload,) = [payload for target, payload in sent(step) if target == 2]
        return payload["result"]

    def rows(self, table: str, **where: Any) -> list[dict[str, Any]]:
        """Return rows by the values of their columns, in the order of their keys."""
        target = results_table(table)
        query = sa.select(target).where(*(target.c[name] == value for name, value in where.items()))
        with self.database.reading() as session:
            found = session.execute(query.order_by(*target.primary_key.columns))
            return [dict(row._mapping) for row in found]

    def row(self, table: str, **where: Any) -> dict[str, Any]:
        """Return the one row with these values."""
        (row,) = self.rows(table, **where)
        return row

    def count(self, table: str, **where: Any) -> int:
        return len(self.rows(table, **where))
