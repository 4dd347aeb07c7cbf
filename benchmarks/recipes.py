"""Recipes through three services and a sink: glimt on RabbitMQ and on SQLite beside python-workflows on RabbitMQ.

    ./x python benchmarks/recipes.py [--quick] [--pairs 3] [--recipes 2000] [--probes 200]

One RabbitMQ of its own (the command ``rabbitmq-server`` must be installed), quorum queues with dead letters as at
Diamond, one process a service (python-workflows: two, its Frontend starts another), at-least-once throughout: every
message is acknowledged together with what was sent because of it. The sink is glimt's for all. *Rate*: all recipes are
sent at once; from the first sent to the last in the sink. *Latency*: one recipe at a time through an idle chain, from
before it is sent until the sink has it, divided by the services.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from glimt.app.open_broker import open_broker  # noqa: E402
from glimt.brokers.broker import Broker, Outgoing, QueueSpec  # noqa: E402
from glimt.brokers.layout import TOPICS  # noqa: E402
from glimt.model.recipe import Recipe  # noqa: E402
from glimt.model.recipe_envelope import start_recipe  # noqa: E402
from glimt.services.recipe_step import RECIPE_HEADER  # noqa: E402
from rabbitmq_server import RabbitServer, running_rabbitmq, why_no_rabbitmq  # noqa: E402  found by the line above

N_HOPS = 3
STEPS = [f"bench.{n}" for n in range(1, N_HOPS + 1)]
SINK = "bench.sink"
_READY_S, _END_S = 30.0, 300.0


@dataclass(frozen=True, slots=True)
class Side:
    """What is measured.

    Attributes
    ----------
    title : str
    broker : str
        ``rabbitmq`` or ``sqlite``.
    script : str
    options : tuple of str
        Of the script, after address and queue.
    """

    title: str
    broker: str
    script: str
    options: tuple[str, ...]


PEERS = [
    Side("workflows, RabbitMQ, transacted, prefetch 1", "rabbitmq", "recipes_workflows.py", ("1", "txn")),
    Side("workflows, RabbitMQ, transacted, prefetch 100", "rabbitmq", "recipes_workflows.py", ("100", "txn")),
    Side("workflows, RabbitMQ, acknowledged, prefetch 100", "rabbitmq", "recipes_workflows.py", ("100", "ack")),
]
OURS = [
    Side("glimt, RabbitMQ, prefetch 1", "rabbitmq", "recipes_glimt.py", ("1",)),
    Side("glimt, RabbitMQ, prefetch 10", "rabbitmq", "recipes_glimt.py", ("10",)),
    Side("glimt, RabbitMQ, prefetch 100", "rabbitmq", "recipes_glimt.py", ("100",)),
    Side("glimt, SQLite, prefetch 1", "sqlite", "recipes_glimt.py", ("1",)),
    Side("glimt, SQLite, prefetch 100", "sqlite", "recipes_glimt.py", ("100",)),
]


@dataclass(frozen=True, slots=True)
class Found:
    """One run: recipes a second, and the latency of one hop [ms], median and the 99th percentile."""

    rate_hz: float
    latency_ms: float
    slow_ms: float


def envelopes(kind: str, n: int) -> list[bytes]:
    """Return the first messages of ``n`` recipes: of four steps (0.8 kB), or of eight with twelve paths each (8 kB)."""
    large = kind == "large"
    n_nodes = 8 if large else 4
    nodes: dict[str, object] = {}
    for number in range(1, n_nodes + 1):
        queue = ([*STEPS, SINK] + ["bench.never"] * 4)[number - 1]
        padding = {
            f"parameter-{k:02d}": f"/facility/i03/data/2026/cm31105-5/raw/sample_{number}/{k:04d}"
            for k in range(12 if large else 2)
        }
        nodes[str(number)] = {"service": f"Step {number}", "queue": queue, "parameters": padding}
        if number < n_nodes:
            nodes[str(number)] |= {"output": number + 1}  # type: ignore[operator]  # it is a dict
    recipe = Recipe.from_dict({**nodes, "start": [[1, {"file": "/facility/i03/image_0001.cbf", "file-number": 1}]]})
    return [
        envelope.encode() for i in range(n) for envelope in start_recipe(recipe, environment={"ID": f"recipe-{i:08d}"})
    ]


@contextmanager
def chain(side: Side, server: RabbitServer, folder: Path) -> Iterator[Broker]:
    """Start the services of a side; yield a connection that is subscribed to the sink."""
    rabbit = side.broker == "rabbitmq"
    url = server.url if rabbit else f"sqlite:{tempfile.mkdtemp(dir=folder)}/broker.db"
    broker = open_broker(url)
    # Frontends broadcast their status, and end if nobody has made that topic.
    broker.declare([QueueSpec(name) for name in (*STEPS, SINK, "bench.never")], topics=TOPICS)
    for name in (*STEPS, SINK):
        broker.purge(name)
    broker.subscribe(SINK, prefetch=500)
    where = str(server.port) if side.script == "recipes_workflows.py" else url
    script = Path(__file__).with_name(side.script)
    with (folder / "services.log").open("ab") as log:
        processes = [
            subprocess.Popen(
                [sys.executable, str(script), where, step, *side.options],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            for step in STEPS
        ]
    try:
        send(broker, envelopes("small", 20))
        if collect(broker, 20, _READY_S) is None:
            raise SystemExit(f"{side.title}: nothing arrives\n{(folder / 'services.log').read_text()[-3000:]}")
        yield broker
    finally:
        for process in processes:
            os.killpg(process.pid, signal.SIGKILL)
        for process in processes:
            process.wait()
        broker.close()


def send(broker: Broker, bodies: Sequence[bytes]) -> None:
    """Start recipes."""
    headers = {RECIPE_HEADER: True}
    broker.send([Outgoing(body, queue=STEPS[0], headers=headers) for body in bodies])


def collect(broker: Broker, n: int, within_s: float) -> float | None:
    """Take messages from the sink; return when the last came, or ``None`` if not all came."""
    n_found, end = 0, time.perf_counter() + within_s
    while n_found < n:
        deliveries = broker.receive(500, timeout_s=1.0)
        came = time.perf_counter()
        if came > end:
            return None
        broker.settle(deliveries)
        n_found += len(deliveries)
    return came


def measure(side: Side, server: RabbitServer, folder: Path, bodies: Sequence[bytes], n_probes: int) -> Found:
    """Run a side once."""
    with chain(side, server, folder) as broker:
        start = time.perf_counter()
        send(broker, bodies)
        end = collect(broker, len(bodies), _END_S)
        if end is None:
            raise SystemExit(f"{side.title}: not all of {len(bodies)} recipes ended within {_END_S:.0f} s")
        latencies = []
        time.sleep(1.0)
        for body in bodies[:n_probes]:
            time.sleep(0.01)
            sent = time.perf_counter()
            send(broker, [body])
            came = collect(broker, 1, _READY_S)
            assert came is not None
            latencies.append((came - sent) / N_HOPS * 1000)
    latencies.sort()
    return Found(len(bodies) / (end - start), statistics.median(latencies), latencies[int(len(latencies) * 0.99)])


def spread(values: Sequence[float], form: str) -> str:
    """Return the median, with the smallest and the largest."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def ratios(ours: Sequence[Found], peer: Sequence[Found]) -> str:
    """Return by how much we are faster, run by run of the same pair."""
    rates = [mine.rate_hz / theirs.rate_hz for mine, theirs in zip(ours, peer, strict=True)]
    latencies = [theirs.latency_ms / mine.latency_ms for mine, theirs in zip(ours, peer, strict=True)]
    return f"rate × {spread(rates, '.1f')}, latency ÷ {spread(latencies, '.1f')}"


def main() -> None:
    """Print a block for each size of the envelope."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one pair, 400 recipes, 50 probes")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--recipes", type=int, default=2000)
    parser.add_argument("--probes", type=int, default=200)
    parser.add_argument("--only", default="", help="sides whose title holds this text, beside the first")
    wanted = parser.parse_args()
    if wanted.quick:
        wanted.pairs, wanted.recipes, wanted.probes = 1, 400, 50
    if missing := why_no_rabbitmq():
        raise SystemExit(missing)
    sides = [side for side in (*PEERS, *OURS) if wanted.only in side.title or side is PEERS[0]]
    with running_rabbitmq() as server, tempfile.TemporaryDirectory() as folder:
        for kind in ("small", "large"):
            bodies = envelopes(kind, wanted.recipes)
            size = len(bodies[0]) / 1000
            print(f"\nEnvelopes of {size:.1f} kB, {len(bodies)} recipes of {N_HOPS} services, median of {wanted.pairs}")
            found: dict[str, list[Found]] = {side.title: [] for side in sides}
            for _ in range(wanted.pairs):
                for side in sides:
                    found[side.title].append(measure(side, server, Path(folder), bodies, wanted.probes))
            for side in sides:
                runs = found[side.title]
                rates, latencies = [run.rate_hz for run in runs], [run.latency_ms for run in runs]
                print(
                    f"    {side.title:48} {spread(rates, ',.0f')} recipes/s, "
                    f"{statistics.median(rates) * N_HOPS:,.0f} hops/s; a hop, idle {spread(latencies, '.2f')} ms, "
                    f"p99 {statistics.median(run.slow_ms for run in runs):.1f} ms"
                )
                if side in OURS:
                    for peer in PEERS:
                        if peer in sides:
                            print(f"        beside {peer.title}: {ratios(runs, found[peer.title])}", flush=True)


if __name__ == "__main__":
    main()
