"""``glimt broker``: look into the queues between services, and move what is in them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from glimt.cli.serve import SiteOption
from glimt.cli.status_tables import count_text, plain
from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from glimt.app.broker_dead_letters import DeadLetter
    from glimt.brokers.broker import Broker, QueueStatus

_SOMETHING_LEFT = 1

broker = typer.Typer(
    name="broker", help="Look into the queues between services, and move what is in them.", no_args_is_help=True,
    rich_markup_mode=None,
)  # fmt: skip

BrokerOption = Annotated[
    str, typer.Option("--broker", help="URL of the broker; what the site's file says if empty.", envvar="GLIMT_BROKER")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print everything as JSON.")]
QueuesOption = Annotated[
    list[str] | None, typer.Option("--queue", help="Only of this queue; may be repeated.", metavar="QUEUE")
]


@broker.command()
def configure(
    queues: Annotated[list[str] | None, typer.Argument(help="Queues to make as well.", metavar="[QUEUE]...")] = None,
    url: BrokerOption = "",
    site: SiteOption = None,
) -> None:
    """Make the queues that services need. Those that are there stay as they are."""
    from glimt.brokers.broker import QueueSpec
    from glimt.brokers.layout import EXCHANGES, LAYOUT, TOPICS

    more = [QueueSpec(name) for name in queues or ()]
    with _opened(url, site) as connection:
        connection.declare([*LAYOUT, *more], topics=TOPICS, exchanges=EXCHANGES)
        print(f"{len(LAYOUT) + len(more)} queues and {len(TOPICS)} topics are there")


@broker.command()
def status(
    url: BrokerOption = "",
    site: SiteOption = None,
    as_json: JsonOption = False,
    show_all: Annotated[bool, typer.Option("--all", help="Also queues that are empty and that nobody serves.")] = False,
) -> None:
    """Show how full the queues are: those with messages or receivers."""
    with _opened(url, site) as connection:
        states = connection.status()
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(states), indent=2).decode())
    elif not states:
        print("there are no queues; glimt broker configure makes them")
    else:
        shown = [state for state in states if show_all or _is_in_use(state)]
        Console(highlight=False).print(_status_table(shown))
        if len(shown) < len(states):
            print(f"and {len(states) - len(shown)} empty queues that nobody serves (--all shows them)")


@broker.command()
def peek(
    queue: Annotated[str, typer.Argument(help="The queue.", metavar="QUEUE")],
    limit: Annotated[int, typer.Option(help="How many messages.", min=1)] = 10,
    full: Annotated[bool, typer.Option("--full", help="With the recipe, and nothing cut.")] = False,
    url: BrokerOption = "",
    site: SiteOption = None,
) -> None:
    """Print the first messages of a queue, one JSON object a line; they stay where they are."""
    import json

    from glimt.app.broker_message import shown_message

    with _opened(url, site) as connection:
        for delivery in connection.peek(queue, limit):
            print(json.dumps(shown_message(delivery, full=full)))


@broker.command()
def drain(
    source: Annotated[str, typer.Argument(help="The queue to take from.", metavar="FROM")],
    target: Annotated[
        str, typer.Argument(help="The queue to send to; '.' is where each message belongs.", metavar="TO")
    ],
    wait: Annotated[float, typer.Option(help="Pause after each message [s].", min=0)] = 5.0,
    stop: Annotated[float, typer.Option(help="End when none came for so long [s]; 0 is never.", min=0)] = 60.0,
    url: BrokerOption = "",
    site: SiteOption = None,
) -> None:
    """Move messages from a queue to another, one at a time.

    '.' sends a recipe's message to the queue of the step it is for, and a dead letter to the queue it was in.
    """
    from glimt.app.broker_drain import drain as drain_queue

    n_moved = 0
    with _opened(url, site) as connection:
        try:
            for moved in drain_queue(connection, source, target, wait_s=wait, stop_s=stop):
                n_moved += 1
                of_recipe = f" of recipe {plain(moved.recipe_id)}" if moved.recipe_id else ""
                print(f"{plain(moved.message_id)}{of_recipe} -> {plain(moved.queue)}", flush=True)
        finally:
            print(f"{n_moved} moved", file=sys.stderr)


@broker.command(name="dead-letters")
def dead_letters(
    queues: QueuesOption = None,
    export: Annotated[
        Path | None, typer.Option(help="Write each to a file in this folder, as zocalo.dlq_purge does.", metavar="DIR")
    ] = None,
    purge: Annotated[
        bool, typer.Option("--purge", help="Throw them away; with --export when they are safe on the disk.")
    ] = False,
    limit: Annotated[int, typer.Option(help="List at most so many of a queue.", min=1)] = 1000,
    show_all: Annotated[
        bool, typer.Option("--all", help="List each by itself; else those of a queue with the same reason together.")
    ] = False,
    as_json: JsonOption = False,
    url: BrokerOption = "",
    site: SiteOption = None,
) -> None:
    """List messages no service could deal with, by queue and why; or export them, or throw them away.

    Those that died of the same are one entry, with one of them as an example. --json has each by itself.
    """
    from glimt.app.broker_dead_letters import dead_letter_queues, export_dead_letters, list_dead_letters

    with _opened(url, site) as connection:
        if export is not None:
            n_written = 0
            for path in export_dead_letters(connection, export, queues or (), purge=purge):
                n_written += 1
                print(path, flush=True)
            print(f"{n_written} written", file=sys.stderr)
        elif purge:
            print(f"{sum(connection.purge(name) for name in dead_letter_queues(connection, queues or ()))} thrown away")
        else:
            found = list_dead_letters(connection, queues or (), limit=limit)
            if as_json:
                print(msgspec.json.format(msgspec.json.encode(found), indent=2).decode())
                return
            _print_dead_letters(found, each=show_all)
            n_left_out = sum(max(n - limit, 0) for n in dead_letter_queues(connection, queues or ()).values())
            more = f", and {n_left_out:,} more that are not listed or counted above (--limit)" if n_left_out else ""
            print(f"{len(found)} dead letters{more}", file=sys.stderr)


@broker.command()
def replay(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Exported dead letters; without, those with the broker.", metavar="[FILE]..."),
    ] = None,
    queues: QueuesOption = None,
    ids: Annotated[
        list[str] | None, typer.Option("--id", help="Only this message; may be repeated.", metavar="ID")
    ] = None,
    to: Annotated[str, typer.Option(help="Send to this queue instead of the one it was in.", metavar="QUEUE")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Delete each file when its message was sent.")] = False,
    url: BrokerOption = "",
    site: SiteOption = None,
) -> None:
    """Send dead letters again, to the queue each was in.

    Exit code 1 if some stay because their queue is not there.
    """
    from glimt.app.broker_dead_letters import replay_dead_letters, replay_files

    if files and (queues or ids):
        raise UsageError("--queue and --id choose from what is with the broker; leave them out with files")
    if remove and not files:
        raise UsageError("--remove is for files; without, dead letters are taken out as they are sent")
    with _opened(url, site) as connection:
        if files:
            replay_files(
                connection, files, to=to, remove=remove,
                told=lambda path, queue: print(f"{path} -> {plain(queue)}", flush=True),
            )  # fmt: skip
            return
        done = replay_dead_letters(connection, queues or (), message_ids=frozenset(ids or ()), to=to)
    print(f"{done.n_sent} sent")
    for queue, number in sorted(done.left.items()):
        print(f"{number} left: there is no queue {plain(queue)!r}; make it, or give --to", file=sys.stderr)
    if done.left:
        raise typer.Exit(_SOMETHING_LEFT)


def _print_dead_letters(found: list[DeadLetter], *, each: bool) -> None:
    """Print dead letters, or groups of them that died of the same."""
    if each:
        for letter in found:
            print(
                f"{_time_text(letter.died_ns)}  {plain(letter.queue)}  {plain(letter.message_id)}"
                f"  {plain(letter.recipe_id or '-')}  {plain(letter.reason or 'no reason given')}"
            )
        return
    from glimt.app.broker_dead_letter_groups import group_dead_letters

    for group in group_dead_letters(found):
        when = _time_text(group.last_died_ns)
        if group.n_letters > 1 and group.first_died_ns != group.last_died_ns:
            when = f"{_time_text(group.first_died_ns)} to {when}"
        why = plain(group.reason or "no reason given")
        alike = "" if group.is_same else " (the others say the same with other numbers)"
        print(f"{group.n_letters:,} of {plain(group.queue)}, {when.strip()}: {why}{alike}")
        runs = f" of run {plain(group.recipe_id)}" if group.recipe_id else ""
        more = f", and {group.n_recipes - 1:,} more runs" if group.n_recipes > 1 else ""
        print(
            f"    {'message' if group.n_letters == 1 else 'for example message'} {plain(group.message_id)}{runs}{more}"
        )


@contextmanager
def _opened(url: str, site: Path | None) -> Iterator[Broker]:
    """Connect to the broker that options or the site's file name."""
    from glimt.app.open_broker import open_broker

    if not url:
        from glimt.app.site_file import load_site

        url = str(load_site(site).broker_url)
    connection = open_broker(url)
    try:
        yield connection
    finally:
        connection.close()


def _is_in_use(state: QueueStatus) -> bool:
    return bool(state.n_ready or state.n_delayed or state.n_unsettled or state.n_receivers)


def _status_table(states: list[QueueStatus]) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("queue", overflow="fold")
    for name in ("ready", "delayed", "unsettled", "receivers"):
        table.add_column(name, justify="right", no_wrap=True)
    for state in states:
        numbers = (state.n_ready, state.n_delayed, state.n_unsettled, state.n_receivers)
        is_dead = state.name.startswith("dlq.") and state.n_ready
        style = "bold red" if is_dead else "" if any(numbers) else "dim"
        table.add_row(Text(plain(state.name)), *("?" if n is None else count_text(n) for n in numbers), style=style)
    return table


def _time_text(time_ns: int) -> str:
    """Return a time of day here, with the date."""
    import time

    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1e-9 * time_ns)) if time_ns else "at an unknown time "
