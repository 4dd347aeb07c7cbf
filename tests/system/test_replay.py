"""``glimt replay`` as a user runs it: results, errors, exit codes."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from captures import pixels, stins_messages, write_capture
from glimt.model.event import InternalWorkerMessage

GLIMT = str(Path(sys.executable).parent / "glimt")

WORKER = """
import logging
import os
from dranspose.middlewares.stream1 import parse
from dranspose.data.stream1 import Stream1Data, Stream1Start
from dranspose.parameters import IntParameter

class Worker:
    @staticmethod
    def describe_parameters():
        return [IntParameter(name="factor", default=1)]

    def __init__(self, parameters, context, state, **kwargs):
        self.name = state.name

    def process_event(self, event, parameters=None):
        sums = {}
        for name, stream in event.streams.items():
            packet = parse(stream)
            if isinstance(packet, Stream1Data):
                sums[name] = int(packet.data.sum()) * parameters["factor"].value
        return (os.getpid(), sums) if sums else None

class Starts(Worker):
    def process_event(self, event, parameters=None):
        if any(isinstance(parse(stream), Stream1Start) for stream in event.streams.values()):
            return (self.name, os.getpid())

class Raises(Worker):
    def process_event(self, event, parameters=None):
        if event.event_number == 3:
            raise RuntimeError("no beam")
        return super().process_event(event, parameters)

class Unpicklable(Worker):
    def process_event(self, event, parameters=None):
        return lambda: None

class KilledOnce(Worker):
    def process_event(self, event, parameters=None):
        if event.event_number == int(open("kill_at").read()) and not os.path.exists("killed"):
            open("killed", "w").close()
            os.kill(os.getpid(), 9)
        return super().process_event(event, parameters)

class KilledAlways(Worker):
    def process_event(self, event, parameters=None):
        if event.event_number == 20:
            os.kill(os.getpid(), 11)
        return super().process_event(event, parameters)

class Ticks(Worker):
    def get_tick_interval(self, parameters=None):
        return 0.5
    def process_event(self, event, parameters=None, tick=False):
        return "tick" if tick else None

class Slow(Worker):
    def process_event(self, event, parameters=None):
        import time
        time.sleep(0.02)
        if event.event_number == 50:
            open("event-50", "w").close()
        return super().process_event(event, parameters)

class Source:
    def get_source_generators(self):
        from dranspose.event import InternalWorkerMessage
        def generate():
            import numpy as np
            start = Stream1Start(htype="header", filename="", msg_number=0)
            yield InternalWorkerMessage(event_number=0, streams={"x": start.to_stream_data()})
            for number in range(1, 30):
                image = Stream1Data(
                    htype="image", msg_number=number, frame=number - 1, shape=(2, 2), type="uint16", compression="none"
                )
                image.data = np.full((2, 2), number, np.uint16)
                yield InternalWorkerMessage(event_number=number, streams={"x": image.to_stream_data()})
        return [generate()]
"""

REDUCER = """
import json

class Reducer:
    def __init__(self, *args, **kwargs):
        self.results = []
        self.pids = set()

    def process_result(self, result, parameters=None):
        pid, sums = result.payload
        self.pids.add(pid)
        self.results.append([result.event_number, sums])

    def finish(self, parameters=None):
        with open("result.json", "w") as file:
            json.dump({"results": self.results, "n_processes": len(self.pids)}, file)

class Everything:
    def __init__(self, *args, **kwargs):
        self.results = []
    def process_result(self, result, parameters=None):
        self.results.append([result.event_number, result.worker, result.payload])
    def finish(self, parameters=None):
        with open("result.json", "w") as file:
            json.dump(self.results, file)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "reducer.py").write_text(REDUCER)
    return tmp_path


def replay(
    project: Path, *options: str, worker: str = "Worker", reducer: str = "Reducer", level: str = "INFO"
) -> subprocess.CompletedProcess[str]:
    command = [GLIMT, "replay", "-w", f"worker:{worker}", "-r", f"reducer:{reducer}", *options]
    return subprocess.run(
        command,
        cwd=project,
        env=os.environ | {"LOG_LEVEL": level},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,  # a run always ends
    )


def result(project: Path) -> object:
    import json

    return json.loads((project / "result.json").read_text())


def expected(n_frames: int, factor: int = 1) -> list[list[object]]:
    return [[frame + 1, {"xrd": int(pixels(frame).sum()) * factor}] for frame in range(n_frames)]


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("name", ["a.cbors", "a.cbors.gz"])
def test_the_result_is_the_same_for_any_number_of_workers(workers: int, name: str, project: Path) -> None:
    write_capture(project / name, stins_messages(300))
    done = replay(project, "-f", name, "--nworkers", str(workers))
    assert done.returncode == 0, done.stderr
    assert result(project) == {"results": expected(300), "n_processes": workers}
    assert "replay: 302 events, 300 results reduced, none failed" in done.stderr


def test_start_packets_go_to_every_worker_each_its_own_process(project: Path) -> None:
    write_capture(project / "a.cbors", stins_messages(10))
    assert replay(project, "-f", "a.cbors", "--nworkers", "3", worker="Starts", reducer="Everything").returncode == 0
    found = result(project)
    assert isinstance(found, list)
    assert [(number, name) for number, name, _ in found] == [(0, "worker-0"), (0, "worker-1"), (0, "worker-2")]
    assert len({payload[1] for _, _, payload in found}) == 3


@pytest.mark.parametrize("workers", ["1", "2"])
def test_files_are_joined_by_number_to_the_end_of_the_longest_and_holes_are_named(workers: str, project: Path) -> None:
    every = stins_messages(40, stream="fast")
    write_capture(project / "fast.cbors", every)
    some = [message for message in stins_messages(50, stream="slow") if message.event_number % 5 == 0]
    write_capture(project / "slow.cbors", some)
    done = replay(project, "-f", "fast.cbors", "-f", "slow.cbors", "--nworkers", workers)
    assert done.returncode == 0, done.stderr
    found = result(project)
    assert isinstance(found, dict)
    sums = dict(found["results"])
    assert sums[7] == {"fast": int(pixels(6).sum())}
    assert sums[35] == {"fast": int(pixels(34).sum()), "slow": int(pixels(34).sum())}
    assert sums[50] == {"slow": int(pixels(49).sum())}
    assert "slow.cbors has 11 events and nothing for 33 others: 1 to 4, 6 to 9, 11 to 14" in done.stderr
    assert "fast.cbors has 42 events and nothing for 2 others: 45, 50" in done.stderr
    replay(project, "-f", "fast.cbors", "slow.cbors")
    assert result(project)["results"] == found["results"], "one -f may take several files"  # type: ignore[index]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_truncated_capture_is_reduced_up_to_the_damage_and_fails(workers: str, project: Path) -> None:
    path = write_capture(project / "a.cbors", stins_messages(60))
    os.truncate(path, path.stat().st_size - 150)
    done = replay(project, "-f", "a.cbors", "--nworkers", workers)
    assert done.returncode == 1
    assert re.search(r"ERROR:glimt:a.cbors: truncated: .* at byte \d+; last good event is 59", done.stderr)
    assert result(project)["results"] == expected(59)  # type: ignore[index]


@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_worker_that_raises_fails_one_event_visibly(workers: str, project: Path) -> None:
    write_capture(project / "a.cbors", stins_messages(9))
    done = replay(project, "-f", "a.cbors", "--nworkers", workers, worker="Raises")
    assert done.returncode == 1
    assert "ERROR:glimt:Raises.process_event raised at event 3: RuntimeError: no beam" in done.stderr
    assert 'raise RuntimeError("no beam")' in done.stderr, "their own line is shown"
    assert "site-packages" not in done.stderr
    assert "glimt/engines" not in done.stderr
    assert "1 failed" in done.stderr
    assert result(project)["results"] == [entry for entry in expected(9) if entry[0] != 3]  # type: ignore[index]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_result_that_cannot_be_sent_is_named(workers: str, project: Path) -> None:
    write_capture(project / "a.cbors", stins_messages(2))
    done = replay(project, "-f", "a.cbors", "--nworkers", workers, worker="Unpicklable")
    assert done.returncode == 1
    assert "a result of type builtins.function cannot be sent to the reducer" in done.stderr
    assert "return numbers, text, arrays, lists, dicts or a dataclass" in done.stderr
    assert "4 failed" in done.stderr or "5 failed" in done.stderr, "start packets go to both workers"


@pytest.mark.parametrize("event", [1, 2, 3, 20, 57, 130, 299, 301])
def test_a_killed_worker_is_replaced_and_nothing_is_lost_or_counted_twice(event: int, project: Path) -> None:
    write_capture(project / "a.cbors", stins_messages(300))
    (project / "kill_at").write_text(str(event))
    done = replay(project, "-f", "a.cbors", "--nworkers", "2", worker="KilledOnce")
    assert done.returncode == 0, done.stderr
    assert "was killed by SIGKILL while it had events" in done.stderr
    assert result(project)["results"] == expected(300)  # type: ignore[index]


def test_events_that_kill_every_worker_are_given_up_and_named(project: Path) -> None:
    write_capture(project / "a.cbors", stins_messages(300))
    done = replay(project, "-f", "a.cbors", "--nworkers", "2", worker="KilledAlways")
    assert done.returncode == 1
    line = re.search(r"was killed by SIGSEGV twice on events (\d+) to (\d+): they are given up", done.stderr)
    assert line is not None, done.stderr
    lost = range(int(line[1]), int(line[2]) + 1)
    assert 20 in lost
    assert f", {len(lost)} failed;" in done.stderr
    assert result(project)["results"] == [entry for entry in expected(300) if entry[0] not in lost]  # type: ignore[index]


@pytest.mark.parametrize("workers", ["1", "3"])
def test_ticks_follow_the_recorded_time_in_every_run(workers: str, project: Path) -> None:
    write_capture(project / "a.cbors", stins_messages(40, period_s=0.1))
    assert replay(project, "-f", "a.cbors", "--nworkers", workers, worker="Ticks", reducer="Everything").returncode == 0
    found = result(project)
    assert isinstance(found, list)
    assert sorted({number for number, *_ in found}) == [0, 5, 10, 15, 20, 25, 30, 35, 40]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_source_class_takes_the_place_of_files(workers: str, project: Path) -> None:
    done = replay(project, "-s", "worker:Source", "--nworkers", workers)
    assert done.returncode == 0, done.stderr
    assert result(project)["results"] == [[number, {"x": 4 * number}] for number in range(1, 30)]  # type: ignore[index]


def test_parameters_come_from_a_file(project: Path) -> None:
    write_capture(project / "a.cbors", stins_messages(4))
    (project / "p.json").write_text('[{"name": "factor", "data": "3"}, {"name": "unknown", "data": "x"}]')
    done = replay(project, "-f", "a.cbors", "-p", "p.json", "--nworkers", "2")
    assert done.returncode == 0
    assert "parameter unknown is described by neither class" in done.stderr
    assert result(project)["results"] == expected(4, factor=3)  # type: ignore[index]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("-f", "none.cbors"), "cannot read capture none.cbors: No such file or directory"),
        ((), "replay needs capture files (-f FILE...) or a source class (-s module:Class)"),
        (("-f", "a.cbors", "--nworkers", "0"), "--nworkers is 0; at least one worker is needed"),
        (("-f", "a.cbors", "-p", "none.json"), "cannot read parameter file none.json"),
        (("-f", "a.cbors", "-p", "bad.json"), "parameter 'factor' takes a whole number, got b'two'"),
        (("-f", "a.cbors", "-w", "worker"), "write it as package.module:Class"),
        (("-f", "a.cbors", "-w", "worker:Nothing"), "module 'worker' has no class 'Nothing'; it has KilledAlways, Ki"),
        (("-f", "a.cbors", "-w", "nothing:Worker"), "cannot find module 'nothing'"),
        (("-f", "a.cbors", "-w", "broken:Worker"), "importing broken raised SyntaxError"),
        (("-f", "a.cbors", "-w", "needs:Worker"), "needs imports 'not_installed_anywhere', which is not installed"),
        (("-f", "a.cbors", "-r", "worker:Worker"), "Worker has no method process_result"),
        (("-f", "a.cbors", "-w", "reducer:Reducer"), "Reducer has no method process_event"),
        (
            ("-f", "a.cbors", "-w", "needs_more:Worker"),
            "needs the argument 'camera'; glimt can give it parameters, con",
        ),
        (("-f", "a.cbors", "--keep-alive"), "--keep-alive keeps the live view: say where with --port"),
        (
            (
                "-f",
                "empty.cbors",
            ),
            "there are no events in empty.cbors",
        ),
    ],
)
def test_a_mistake_is_one_clear_line_and_a_failure(options: tuple[str, ...], says: str, project: Path) -> None:
    write_capture(project / "a.cbors", stins_messages(2))
    (project / "empty.cbors").touch()
    (project / "bad.json").write_text('[{"name": "factor", "data": "two"}]')
    (project / "broken.py").write_text("def process_event(self:\n")
    (project / "needs.py").write_text("import not_installed_anywhere\n")
    (project / "needs_more.py").write_text(
        "class Worker:\n    def __init__(self, camera): pass\n    def process_event(self, event): pass\n"
    )
    done = replay(project, *options)
    assert done.returncode == 1
    assert says in done.stderr
    assert "site-packages" not in done.stderr
    assert len(done.stderr.splitlines()) <= 6


def test_debug_shows_where_a_mistake_was_found(project: Path) -> None:
    done = replay(project, "-f", "none.cbors", level="DEBUG")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_bad_log_level_says_which_there_are(project: Path) -> None:
    write_capture(project / "a.cbors", stins_messages(2))
    assert "it can be DEBUG, INFO" in replay(project, "-f", "a.cbors", level="LOUD").stderr


def test_ctrl_c_finishes_what_was_reduced_and_says_so(project: Path) -> None:
    write_capture(project / "a.cbors", stins_messages(2000))
    command = [GLIMT, "replay", "-w", "worker:Slow", "-r", "reducer:Reducer", "-f", "a.cbors", "--nworkers", "2"]
    process = subprocess.Popen(
        command, cwd=project, stderr=subprocess.PIPE, text=True, env=os.environ | {"LOG_LEVEL": "INFO"}
    )
    deadline = time.monotonic() + 60
    while not (project / "event-50").exists() and process.poll() is None:
        assert time.monotonic() < deadline, "the replay does not come to event 50"
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 130, printed
    assert "glimt: stopped" in printed
    found = result(project)["results"]  # type: ignore[index]
    assert found == expected(2000)[: len(found)]


def test_h5py_in_the_reducer_and_files_of_one_scan_after_another(project: Path) -> None:
    first, second = stins_messages(5), stins_messages(7)
    write_capture(project / "a.cbors", [*first, *second])
    (project / "h5reducer.py").write_text(
        "import h5py\n"
        "class Reducer:\n"
        "    def __init__(self, **kwargs):\n"
        "        self.file = h5py.File('out.h5', 'w')\n"
        "        self.sums = self.file.create_dataset('sums', (0,), maxshape=(None,), dtype='i8')\n"
        "    def process_result(self, result):\n"
        "        self.sums.resize(self.sums.shape[0] + 1, axis=0)\n"
        "        self.sums[-1] = result.payload[1]['xrd']\n"
        "    def finish(self):\n"
        "        self.file.close()\n"
    )
    command = ("-f", "a.cbors", "-r", "h5reducer:Reducer", "--nworkers", "2")
    done = replay(project, *command)
    assert done.returncode == 0, done.stderr
    with h5py.File(project / "out.h5") as file:
        sums = [int(pixels(frame).sum()) for frame in (*range(5), *range(7))]
        np.testing.assert_array_equal(file["sums"][:], sums)


def test_captures_with_the_same_stream_cannot_be_joined(project: Path) -> None:
    messages: list[InternalWorkerMessage] = stins_messages(3)
    write_capture(project / "a.cbors", messages)
    write_capture(project / "b.cbors", messages)
    done = replay(project, "-f", "a.cbors", "-f", "b.cbors")
    assert done.returncode == 1
    assert "the captures cannot be joined: stream 'xrd' occurs twice in event 0" in done.stderr


def test_a_trimmed_capture_counts_no_event_twice(project: Path) -> None:
    write_capture(project / "a.cbors", stins_messages(40)[10:])
    replay(project, "-f", "a.cbors")
    alone = result(project)["results"]  # type: ignore[index]
    replay(project, "-f", "a.cbors", "--nworkers", "3")
    assert result(project)["results"] == alone  # type: ignore[index]
    assert alone == expected(40)[9:]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sys_exit_in_user_code_fails_its_event_and_not_the_run(workers: str, project: Path) -> None:
    (project / "exits.py").write_text(
        "import sys, worker\n"
        "class Worker(worker.Worker):\n"
        "    def process_event(self, event, parameters=None):\n"
        "        if event.event_number == 3:\n"
        "            sys.exit(0)\n"
        "        return super().process_event(event, parameters)\n"
    )
    write_capture(project / "a.cbors", stins_messages(9))
    done = replay(project, "-f", "a.cbors", "-w", "exits:Worker", "--nworkers", workers)
    assert done.returncode == 1
    assert "raised at event 3: SystemExit" in done.stderr
    assert result(project)["results"] == [entry for entry in expected(9) if entry[0] != 3]  # type: ignore[index]
