"""Run the command of a message, several in one transaction, or one that waits for a key that another will make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from glimt.model.errors import RejectedMessageError
from glimt.services.ispyb_command import CommandRun
from glimt.services.ispyb_commands import COMMANDS
from glimt.services.ispyb_fields import Fields, without_missing
from glimt.stores.results_rows import checked_value, insert_row
from glimt.stores.results_schema import results_table

MULTIPART, BUFFER = "multipart_message", "buffer"
_NAME = "ispyb_command"
_LIST = "ispyb_command_list"
_BUFFER_TABLE = "zc_ZocaloBuffer"
_MOST_STEPS = 1000


class UnresolvedError(Exception):
    """A key that a ``buffer`` command needs is not there yet; nothing of the message may be kept."""


class Buffer(msgspec.Struct, frozen=True, kw_only=True):
    """A command whose keys are known to the sender by numbers of its own."""

    buffer_command: dict[str, Any]
    program_id: int | None = None
    buffer_lookup: dict[str, int] = {}
    buffer_store: int | None = None


def run_message(fields: Fields, message: Mapping[str, Any], run: CommandRun) -> Any:
    """Run what a message asks for and return its result; ``store_result`` is kept in ``run``.

    Parameters
    ----------
    fields : Fields
        Of the message and its recipe.
    message : mapping
        The message itself; empty if it is none.
    run : CommandRun

    Raises
    ------
    RejectedMessageError
        A command is unknown or cannot be done; with a sequence the text names the step.
    UnresolvedError
        A key is not there yet.
    """
    name = command_name(fields)
    result = _sequence(fields, message, run) if name == MULTIPART else _one(name, fields, run)
    run.store(fields.get("store_result"), result)
    return result


def command_name(fields: Fields) -> str:
    """Return which command a message is, and raise `RejectedMessageError` if it is none that is known."""
    name = fields.get(_NAME)
    if not isinstance(name, str):
        raise RejectedMessageError(f"the message has no {_NAME}")
    if name not in COMMANDS and name not in {MULTIPART, BUFFER}:
        raise RejectedMessageError(f"there is no {_NAME} {name[:80]!r}")
    return name


def _one(name: str, fields: Fields, run: CommandRun) -> Any:
    if name == BUFFER:
        return _buffer(fields, run)
    command = COMMANDS[name]
    return command.write(run, fields.record(command))


def _sequence(fields: Fields, message: Mapping[str, Any], run: CommandRun) -> Any:
    """Run the steps of a list; each sees its own fields first, then the message's and the recipe's."""
    steps = fields.written(_LIST)  # what a step stores is for the next: nothing is replaced before its turn
    if not isinstance(steps, list) or not steps:
        raise RejectedMessageError(f"{MULTIPART}: {_LIST} is no list of commands")
    if len(steps) > _MOST_STEPS:
        raise RejectedMessageError(f"{MULTIPART}: {len(steps)} commands; {_MOST_STEPS} are the most")
    # A Zocalo service may have done some steps before: it sends the rest, and counts what is done.
    done, state = message.get("checkpoint"), message.get("step_message")
    offset = done if isinstance(done, int) else 0
    result: Any = None
    for number, step in enumerate(steps, start=1):
        name = step.get(_NAME) if isinstance(step, Mapping) else None
        try:
            if name is None or name == MULTIPART:
                raise RejectedMessageError(f"is {name!r}" if name else f"has no {_NAME}")
            own = {**step, **state} if number == 1 and isinstance(state, Mapping) else step
            inner = fields.below({"store_result": "", **own}, run.environment)
            result = _one(command_name(inner), inner, run)
            run.store(inner.get("store_result"), result)
        except RejectedMessageError as error:
            raise RejectedMessageError(f"step {number + offset} of {len(steps) + offset} ({name}): {error}") from None
    return result


def _buffer(fields: Fields, run: CommandRun) -> Any:
    values = {name: fields.get(name) for name in ("program_id", "buffer_lookup", "buffer_store")}
    values["buffer_command"] = fields.written("buffer_command")
    try:
        buffer = msgspec.convert(without_missing(values), Buffer, strict=False)
    except msgspec.ValidationError as error:
        raise RejectedMessageError(f"{BUFFER}: {error}") from None
    if (buffer.buffer_lookup or buffer.buffer_store is not None) and buffer.program_id is None:
        raise RejectedMessageError(f"{BUFFER}: program_id says whose numbers these are, and is missing")
    keys = {name: _looked_up(run, buffer, name, number) for name, number in buffer.buffer_lookup.items()}
    inner = fields.below({**buffer.buffer_command, **keys}, run.environment)
    name = buffer.buffer_command.get(_NAME)
    if name in {BUFFER, MULTIPART}:
        raise RejectedMessageError(f"{BUFFER}: buffer_command cannot be {name}")
    result = _one(command_name(inner), inner, run)
    if buffer.buffer_store is not None:
        _remember(run, buffer, result)
    return result


def _looked_up(run: CommandRun, buffer: Buffer, name: str, number: int) -> int:
    import sqlalchemy as sa

    table = results_table(_BUFFER_TABLE)
    wanted = sa.select(table.c.Reference).where(*_entry(buffer.program_id, number))
    found: int | None = run.session.execute(wanted).scalar()
    if found is None:
        raise UnresolvedError(f"{name}: program {buffer.program_id} has not stored number {number} yet")
    return found


def _remember(run: CommandRun, buffer: Buffer, result: Any) -> None:
    import sqlalchemy as sa

    table = results_table(_BUFFER_TABLE)
    reference = {"Reference": checked_value(table.c.Reference, result)}
    found: Any = run.session.execute(
        sa.update(table).where(*_entry(buffer.program_id, buffer.buffer_store)).values(reference)
    )
    if not found.rowcount:
        key = {"AutoProcProgramID": buffer.program_id, "UUID": buffer.buffer_store}
        insert_row(run.session, _BUFFER_TABLE, {**key, **reference})


def _entry(program_id: Any, number: Any) -> list[Any]:
    table = results_table(_BUFFER_TABLE)
    keys = {"AutoProcProgramID": program_id, "UUID": number}
    return [table.c[name] == checked_value(table.c[name], value) for name, value in keys.items()]
