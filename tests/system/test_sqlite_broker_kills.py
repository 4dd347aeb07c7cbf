"""The broker in a SQLite file, when processes are killed or stopped at any moment, and when the disk is full."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from glimt.brokers.broker import Delivery, Outgoing, QueueSpec
from glimt.brokers.sqlite import SqliteBroker

N_MESSAGES, N_KILLS = 12_000, 25

MOVES = """
import sys
from glimt.brokers.broker import Outgoing
from glimt.brokers.sqlite import SqliteBroker
broker = SqliteBroker(sys.argv[1])
broker.subscribe("work", prefetch=int(sys.argv[2]))
while True:
    deliveries = broker.receive(int(sys.argv[2]), timeout_s=1.0)
    if deliveries:
        broker.settle(deliveries, [Outgoing(d.body, queue="done") for d in deliveries])
"""

SENDS = """
import sys
from glimt.brokers.broker import Outgoing
from glimt.brokers.sqlite import SqliteBroker
broker = SqliteBroker(sys.argv[1])
n = 0
while True:
    broker.send([Outgoing(b"%d" % n, queue="work"), Outgoing(b"%d" % n, queue="done")])
    n += 1
    print(n, flush=True)
"""

HOLDS = """
import sys
from glimt.brokers.broker import Outgoing
from glimt.brokers.sqlite import SqliteBroker
from glimt.model.errors import LostDeliveryError
broker = SqliteBroker(sys.argv[1])
broker.subscribe("work", prefetch=10)
taken = broker.receive(10, timeout_s=10)
print("holds", len(taken), flush=True)
sys.stdin.readline()
try:
    broker.settle(taken, [Outgoing(b"wrong", queue="done")])
except LostDeliveryError:
    print("lost", flush=True)
"""


def started(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> str:
    """Kill a process, and return what it still said."""
    process.kill()
    said, _ = process.communicate()
    return said


def everything(broker: SqliteBroker, queue: str) -> list[Delivery]:
    taken: list[Delivery] = []
    broker.subscribe(queue, prefetch=10**6)
    while deliveries := broker.receive(1000, timeout_s=0.3):
        taken += deliveries
    return taken


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path / 'broker.db'}"


@pytest.mark.parametrize("batch", [1, 20])
def test_receivers_killed_at_random_lose_nothing_and_double_nothing(url: str, batch: int) -> None:
    broker = SqliteBroker(url)
    broker.declare([QueueSpec("work"), QueueSpec("done")])
    for first in range(0, N_MESSAGES, 1000):
        broker.send([Outgoing(b"%d" % n, queue="work") for n in range(first, first + 1000)])
    rng = random.Random(batch)
    workers = [started(MOVES, url, batch) for _ in range(3)]
    for _ in range(N_KILLS):
        time.sleep(rng.uniform(0.02, 0.25))
        ended(workers.pop(0))
        workers.append(started(MOVES, url, batch))
    end = time.monotonic() + 60
    while time.monotonic() < end:
        states = {status.name: status for status in broker.status()}
        if not (states["work"].n_ready or states["work"].n_unsettled):
            break
        time.sleep(0.05)
    for worker in workers:
        ended(worker)
    # A message whose receivers died six times is a dead letter: there, and nowhere else.
    found = everything(broker, "done")
    if "dlq.work" in states:
        found += everything(broker, "dlq.work")
    broker.close()
    assert Counter(int(delivery.body) for delivery in found) == Counter(range(N_MESSAGES))


def test_messages_that_are_handed_to_idle_receivers_survive_kills(url: str) -> None:
    broker = SqliteBroker(url)
    broker.declare([QueueSpec("work"), QueueSpec("done")])
    rng = random.Random(7)
    workers = [started(MOVES, url, 1) for _ in range(3)]
    n_messages = 600
    for number in range(n_messages):
        broker.send([Outgoing(b"%d" % number, queue="work")])
        time.sleep(0.005)  # so that they wait, and their sender claims for them
        if rng.random() < 0.05:
            ended(workers.pop(0))
            workers.append(started(MOVES, url, 1))
    end = time.monotonic() + 60
    while time.monotonic() < end:
        states = {status.name: status for status in broker.status()}
        if not (states["work"].n_ready or states["work"].n_unsettled):
            break
        time.sleep(0.05)
    for worker in workers:
        ended(worker)
    found = everything(broker, "done")
    broker.close()
    assert Counter(int(delivery.body) for delivery in found) == Counter(range(n_messages))


def test_a_sender_killed_at_random_sent_all_or_nothing(url: str) -> None:
    broker = SqliteBroker(url)
    broker.declare([QueueSpec("work"), QueueSpec("done")])
    rng = random.Random(1)
    told: Counter[int] = Counter()
    for _ in range(5):
        sender = started(SENDS, url)
        assert sender.stdout is not None
        sender.stdout.readline()
        time.sleep(rng.uniform(0.05, 0.2))
        told.update(range(int(ended(sender).split()[-1])))
    work, done = (Counter(int(d.body) for d in everything(broker, queue)) for queue in ("work", "done"))
    broker.close()
    assert work == done
    assert not told - work  # what send returned from is there


def test_what_a_stopped_process_had_goes_to_another_and_it_learns_so(url: str) -> None:
    broker = SqliteBroker(url)
    broker.declare([QueueSpec("work"), QueueSpec("done")])
    broker.send([Outgoing(b"x", queue="work")])
    holder = started(HOLDS, url)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holds 1\n"
    broker.subscribe("work")
    start = time.monotonic()
    holder.send_signal(signal.SIGSTOP)
    (again,) = broker.receive(timeout_s=60)
    assert time.monotonic() - start > 3.0
    assert again.n_deliveries == 2
    holder.send_signal(signal.SIGCONT)
    said, _ = holder.communicate("\n", timeout=20)
    assert said == "lost\n"
    broker.settle([again])
    assert everything(broker, "done") == []
    broker.close()


# In a mount namespace of its own: a disk of 6 MB, most of which is taken while messages are sent.
FULL_DISK = """
import sys
import time
from pathlib import Path
from glimt.brokers.broker import Outgoing, QueueSpec
from glimt.brokers.sqlite import SqliteBroker
from glimt.model.errors import BrokerError

disk = Path(sys.argv[1])
url = f"sqlite:{disk / 'broker.db'}"
sender, receiver = SqliteBroker(url), SqliteBroker(url)
sender.declare([QueueSpec("work"), QueueSpec("done")])
receiver.subscribe("work", prefetch=10)
sender.send([Outgoing(b"held", queue="work")])
held = receiver.receive(timeout_s=5)
ballast = disk / "ballast"
ballast.write_bytes(bytes(3_000_000))
n_sent, problems = 0, 0
while problems < 3:
    try:
        sender.send([Outgoing(b"%d" % n_sent + bytes(20_000), queue="work") for _ in range(1)])
        n_sent += 1
    except BrokerError as error:
        assert "full" in str(error), error
        assert str(disk) in str(error), error
        problems += 1
        print("problem:", error)
assert n_sent > 20, n_sent
time.sleep(8)  # longer than a lease: nobody can renew one now
ballast.unlink()
receiver.settle(held, [Outgoing(b"held", queue="done")])
found = []
while deliveries := receiver.receive(10, timeout_s=2.0):
    receiver.settle(deliveries)
    found += [int(d.body[:-20_000]) for d in deliveries]
assert found == list(range(n_sent)), (found, n_sent)
sender.send([Outgoing(b"more", queue="work")])
assert [d.body for d in receiver.receive(timeout_s=2.0)] == [b"more"]
sender.close()
receiver.close()
print("went on")
"""


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("a small disk needs unshare")
    disk = tmp_path / "disk"
    disk.mkdir()
    script = 'mount -t tmpfs -o size=6m none "$1" || exit 77; shift; exec "$@"'
    run = [sys.executable, "-c", FULL_DISK, str(disk)]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(disk), *run],
        capture_output=True, text=True, timeout=120, check=False, env=os.environ,
    )  # fmt: skip
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"a small disk needs a mount that is not allowed here: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "went on" in done.stdout
