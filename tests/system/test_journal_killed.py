"""A reducer killed at any moment goes on from its journal: nothing acknowledged is lost, nothing is reduced twice."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TIMEOUT_S = 120

# A reducer of which every result's place counts, as a process that is killed, again and again, in one scan. Blocks come
# in disorder and overlap; a block is acknowledged as soon as it is in the journal, although its results may still wait.
# After a kill the blocks that were not acknowledged are sent again, some of the others, too.
DRIVER = """
import json, os, random, signal, struct, sys, time, zlib
from pathlib import Path
from glimt.pipeline.checkpoint import checkpoint_hooks
from glimt.pipeline.result_order import ResultOrder
from glimt.stores.journal import Journal, journal_path

folder, mode, n_blocks, per_checkpoint = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
path = journal_path(folder, "scan")
chance = random.Random(n_blocks)
BLOCKS, serial = [], 0
for _ in range(n_blocks):
    size = chance.randrange(1, 9)
    BLOCKS.append(list(range(serial, serial + size)))
    serial += size
N_SERIALS = serial
RESULT, VOID = 1, 2
is_void = lambda serial: serial % 23 == 7
body = lambda serial: struct.pack("<q", serial) * (serial % 50)

class Reducer:
    def __init__(self):
        self.check, self.n_results = 0, 0
    def process(self, serial, data):
        self.check = zlib.crc32(data, zlib.crc32(struct.pack("<q", serial), self.check))
        self.n_results += 1
    def get_state(self):
        return self.check, self.n_results, bytes(200_000)
    def set_state(self, state):
        self.check, self.n_results, _ = state

TWIN, reducer = [(0, 0)], Reducer()  # by watermark
for serial in range(N_SERIALS):
    if not is_void(serial):
        reducer.process(serial, body(serial))
    TWIN.append((reducer.check, reducer.n_results))

def encode(serials, items):
    return struct.pack("<I", len(serials)) + b"".join(
        struct.pack("<qI", s, len(item)) + item for s, item in zip(serials, items))

def decode(data):
    serials, items, offset = [], [], 4
    for _ in range(struct.unpack_from("<I", data)[0]):
        s, n = struct.unpack_from("<qI", data, offset)
        offset += 12
        serials.append(s)
        items.append(data[offset:offset + n])
        offset += n
    return serials, items

def take(order, reducer, kind, data):
    serials, items = decode(data)
    for s, item in order.add(serials, items) if kind == RESULT else order.void(serials):
        reducer.process(s, item)

def recover(source):
    reducer = Reducer()
    with source as reader:
        if reader.state is not None:
            checkpoint_hooks(reducer).restore(reader.state)
        order = ResultOrder(reader.watermark)
        for kind, data in reader:
            take(order, reducer, kind, data)
    assert reader.is_complete, reader.end
    return order, reducer

def reduce(blocks, told, write, per_checkpoint=per_checkpoint):
    with Journal(path, scan_id="scan") as journal:
        order, reducer = recover(journal.recover())
        hooks = checkpoint_hooks(reducer)
        for count, number in enumerate(blocks, 1):
            for kind, serials in (
                (RESULT, [s for s in BLOCKS[number] if not is_void(s)]),
                (VOID, [s for s in BLOCKS[number] if is_void(s)]),
            ):
                data = encode(serials, [body(s) for s in serials])
                journal.append(kind, data)
                take(order, reducer, kind, data)
            assert journal.broken is None
            write(told, struct.pack("<I", number))
            if count % per_checkpoint == 0:
                waiting = order.waiting()
                journal.checkpoint(hooks.save(), watermark=order.watermark, waiting=[
                    (RESULT, encode([s for s, _ in waiting], [item for _, item in waiting])),
                    (VOID, encode(voids := order.waiting_voids(), [b""] * len(voids))),
                ])

def die_at_call(number):
    # Before the number-th system call that changes a file; of one that writes, half is done.
    calls = 0
    def dying(name, function):
        def call(*arguments, **keywords):
            nonlocal calls
            calls += 1
            if calls == number:
                if name in ("pwrite", "pwritev"):
                    data = bytes(arguments[1]) if name == "pwrite" else b"".join(arguments[1])
                    write(arguments[0], data[:len(data) // 2], arguments[2])
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **keywords)
        return call
    write = os.pwrite
    for name in ("open", "pwrite", "pwritev", "fsync", "replace", "ftruncate", "unlink", "close", "mkdir"):
        setattr(os, name, dying(name, getattr(os, name)))

def live(blocks, kill):
    # One process, until its end; returns which blocks it acknowledged, and whether it was killed.
    heard, told = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            write = os.write
            os.close(heard)
            if mode == "call":
                die_at_call(kill)
            is_last = not kill  # nobody kills it: it need not take the time
            reduce(blocks, told, write, per_checkpoint * 50 if is_last else per_checkpoint)
            status = 0
        finally:
            os._exit(status)
    os.close(told)
    if kill and mode == "time":
        time.sleep(kill)
        os.kill(child, signal.SIGKILL)
    data = b""
    while piece := os.read(heard, 1 << 16):
        data += piece
    os.close(heard)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
    return set(struct.unpack(f"<{len(data) // 4}I", data)), os.WIFSIGNALED(status)

def check(acknowledged):
    if not path.exists():
        assert not acknowledged
        return 0
    from glimt.stores.journal_reader import JournalReader
    order, reducer = recover(JournalReader(path, scan_id="scan"))
    assert (reducer.check, reducer.n_results) == TWIN[order.watermark]
    waiting = dict(order.waiting())
    assert all(item == body(s) for s, item in waiting.items())
    known = set(range(order.watermark)) | set(waiting) | set(order.waiting_voids())
    assert known >= {s for number in acknowledged for s in BLOCKS[number]}
    return order.watermark

def arrival(blocks):
    # Each comes at most a few places too early or too late.
    return sorted(blocks, key=lambda number: number + chance.random() * 6)

def kill_at_random_moments(n_times):
    # One scan; each process goes on where the one before was killed, the last one to the end.
    acknowledged, n_killed = set(), 0
    for life in range(n_times + 1):
        oldest = max(acknowledged, default=0) - 20  # some come again
        blocks = [number for number in range(n_blocks) if number not in acknowledged or number > oldest]
        done, was_killed = live(arrival(blocks), chance.random() * 0.03 if life < n_times else 0)
        acknowledged |= done
        n_killed += was_killed
        watermark = check(acknowledged)
    return watermark, n_killed, 0

def kill_at_every_call():
    # A scan for every system call: killed there, gone on with to the end.
    n_killed = n_left = 0
    while True:
        path.unlink(missing_ok=True)
        acknowledged, was_killed = live(arrival(range(n_blocks)), n_killed + 1)
        check(acknowledged)
        n_left += os.path.lexists(str(path) + ".new")
        nobody = os.open(os.devnull, os.O_WRONLY)
        reduce(arrival(set(range(n_blocks)) - acknowledged), nobody, os.write)
        os.close(nobody)
        watermark = check(range(n_blocks))
        assert watermark == N_SERIALS and os.listdir(folder) == [path.name]
        if not was_killed:
            return watermark, n_killed, n_left
        n_killed += 1

watermark, n_killed, n_left = kill_at_every_call() if mode == "call" else kill_at_random_moments(70)
assert watermark == N_SERIALS
print(json.dumps({"killed": n_killed, "left": n_left}))
"""


def _drive(folder: Path, mode: str, n_blocks: int, per_checkpoint: int) -> dict[str, Any]:
    command = [sys.executable, "-c", DRIVER, str(folder), mode, str(n_blocks), str(per_checkpoint)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_reducer_killed_at_random_moments_ends_with_the_right_answer(tmp_path: Path) -> None:
    assert _drive(tmp_path, "time", 10_000, 10)["killed"] >= 50


def test_a_reducer_killed_at_every_system_call_in_turn_goes_on_from_what_it_left(tmp_path: Path) -> None:
    found = _drive(tmp_path, "call", 12, 5)
    assert found["killed"] >= 50
    assert found["left"] >= 6  # killed in the middle of checkpoints


FULL_DISK = """
import sys
from pathlib import Path
from glimt.model.errors import StoreError
from glimt.stores.journal import Journal
folder = Path(sys.argv[1])
with Journal(folder / "scan.journal", scan_id="scan") as journal:
    while journal.broken is None:
        journal.append(1, bytes(10_000))
    print(journal.broken)
    n_records = journal.n_records
    try:
        journal.checkpoint(bytes(100_000), watermark=1)
    except StoreError as error:
        print(error)
    with journal.recover() as reader:
        assert sum(1 for _ in reader) == n_records > 10
        assert not reader.is_complete
    (folder / "ballast").unlink()
    journal.checkpoint(bytes(100_000), watermark=1)
    journal.append(1, b"room again")
    with journal.recover() as reader:
        assert list(reader) == [(1, b"room again")]
        assert reader.is_complete
print("good")
"""


def test_a_disk_that_is_full_is_told_and_survived(tmp_path: Path) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("a small disk needs unshare")
    mount = 'mount -t tmpfs -o size=1m none "$1" && head -c 500000 /dev/zero > "$1/ballast" || exit 77'
    script = f'{mount}; exec "$2" -c "$3" "$1"'
    arguments = [str(tmp_path), sys.executable, FULL_DISK]
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"a small disk cannot be made here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    broken, refused, end = done.stdout.splitlines()
    assert "results are lost if the reducer dies: No space left on device" in broken
    assert "the checkpoint cannot be written: No space left on device" in refused
    assert end == "good"
