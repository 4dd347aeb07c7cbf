"""The example of a beamline file, with the two classes it names: what somebody begins with who has none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from glimt.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_BEAMLINE = """\
# What glimt runs live: where messages come from, which classes look at them, and where results go.
# Every line that begins with "#" and a key shows a default, or what else there is; remove the "# " to use it.

name = "example"                        # of the beamline; may be part of file names

[pipeline]
worker = "src.worker:TestWorker"        # module.path:Class, seen from `path`
reducer = "src.reducer:TestReducer"
# path = "."                            # this and all other paths start at the folder of this file
# parameter_file = "params.json"        # as for `glimt replay -p`; values in [parameters] come first

[streams.detector]                      # one section for each stream; the name is the key in event.streams
transport = "zmq-pull"                  # zmq-pull, zmq-sub, zmq-req, tcp, http or capture
address = "tcp://127.0.0.1:9999"        # tcp://host:port, ipc:///path, http://host:port, or a capture file
protocol = "stins"                      # what is sent, such as stins, dectris-v1, contrast, xspress3, pandabox-text
# bind = false                          # true listens at the address instead of connecting to it
# queue = "256 MB"                      # so much of this stream may wait in memory
# when_full = "block"                   # block (holds up the sender), drop-oldest (counted) or spill (to disk)
# first_frame = "auto"                  # number of the first frame, where the protocol does not tell
# optional = false                      # true: events do not wait for this stream

# [streams.i0]                          # a second stream, joined to the first by frame number
# transport = "zmq-sub"
# address = "tcp://127.0.0.1:22004"
# protocol = "albaem"

# [streams.recorded]                    # a capture, played as if it came now
# transport = "capture"
# address = "data/ring.cbors"
# protocol = "stins"
# stream = "xrd"                        # its name in the capture, if that has several
# speed = 1.0                           # so many times as fast as recorded; 0 is as fast as it is taken
# loops = 1                             # 0 plays it without end

[events]
# mode = "automatic"                    # automatic, or map: a trigger map says which stream has which event
# map = "mapping.json"                  # the map of the first scan; others come by POST /api/v1/sequence
# join = "frame"                        # frame, trigger or clock; the latter two need number_field in each stream
# reorder = 8                           # so many events may a stream be ahead of one that is still expected
# late_s = 30.0                         # so long an event waits for its missing parts, or "never" gives up
# incomplete = "drop"                   # drop (counted), or deliver what is there

[engine]
use = "local:2"                         # inline: (one process), local:N, dask://host:port or slurm:PARTITION
# max_queue_bytes = "1 GiB"             # what all streams together may hold
# max_restarts = 100                      # a worker that dies more often in restart_window_s is not replaced
# restart_window_s = 60.0

# [[engine.slots]]                      # workers by tags, instead of a number; use = "local:"
# tags = ["generic"]
# workers = 2

[parameters]                            # what the classes describe; can be changed while it runs
roi_rows = 100

[output]
file = "results_{scan}.h5"              # what the reducer publishes, and the account; also {date} and {name}
# journal = true                        # keeps results on disk until the scan ends, should the reducer die
# journal_folder = "journal"
# spill_folder = "spill"

[control]
# host = "127.0.0.1"                    # any other address needs a token
# port = 5000                           # status, progress, parameters, trigger maps; 0 is any free port
# view_port = 5001                      # what the reducer publishes
# token_file = "token.txt"              # one line of 16 characters or more

[log]
# level = "info"                        # debug, info, warning or error
"""

_WORKER = '''\
"""The worker sees one event at a time and makes something small of it. There may be many workers."""

from glimt import IntParameter, parse
from glimt.codecs.stins import StinsImage


class TestWorker:
    @staticmethod
    def describe_parameters():
        return [IntParameter(name="roi_rows", default=100, minimum=1, unit="px", description="rows of the region")]

    def process_event(self, event, parameters):
        packet = parse(event.streams["detector"])
        if not isinstance(packet, StinsImage):
            return None  # the start or the end of a series
        return float(packet.data[: parameters["roi_rows"].value].mean())
'''

_REDUCER = '''\
"""The reducer sees what all workers returned, in the order of the events, and puts it together. There is one."""

import threading

import numpy as np


class TestReducer:
    def __init__(self, **kwargs):
        self.means = []
        self.publish = {"n_frames": 0, "mean": np.zeros(0), "mean_attrs": {"units": "counts"}}
        self.publish_rlock = threading.RLock()

    def process_result(self, result):
        with self.publish_rlock:
            self.means.append(result.payload)
            self.publish["n_frames"] = len(self.means)

    def timer(self):
        with self.publish_rlock:
            self.publish["mean"] = np.array(self.means)
        return 0.5  # again in half a second

    def finish(self):
        self.timer()
'''

_FILES = {"beamline.toml": _BEAMLINE, "src/worker.py": _WORKER, "src/reducer.py": _REDUCER}

_SMALL = """\
    [pipeline]
    worker = "src.worker:TestWorker"
    reducer = "src.reducer:TestReducer"

    [streams.detector]
    transport = "zmq-pull"
    address = "tcp://127.0.0.1:9999"
    protocol = "stins"
"""


def example_text() -> str:
    """Return a whole beamline file with comments: what is needed, and every other key as a comment."""
    return _BEAMLINE


def write_example(folder: Path | str = ".") -> list[Path]:
    """Write ``beamline.toml``, ``src/worker.py`` and ``src/reducer.py`` into a folder; make it if needed.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    UsageError
        One of them is there already, and then none is written; or the folder cannot be written to.
    """
    files = {Path(folder) / name: text for name, text in _FILES.items()}
    there = [str(file) for file in files if file.exists() or file.is_symlink()]
    if there:
        raise UsageError(f"{', '.join(there)} would be overwritten; move it away, or choose another folder")
    try:
        for file, text in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8") as stream:
                stream.write(text)
    except OSError as error:
        raise UsageError(f"cannot write the example to {folder}: {error.strerror or error}") from None
    return list(files)


def explain_text(written: Sequence[Path] = ()) -> str:
    """Return what ``glimt run`` says when it is given no file.

    Parameters
    ----------
    written : sequence of Path
        The files of the example, if it has just been written; the first is the beamline file.
    """
    file = written[0] if written else Path("beamline.toml")
    if written:
        names = "".join(f"    {name}\n" for name in written)
        example = f"One was written for you, with all other keys as comments, and the two classes:\n\n{names}"
    else:
        example = "This writes one, with all other keys as comments, and the two classes:\n\n    glimt run --example\n"
    return f"""\
glimt run needs a beamline file. It says where messages come from and which classes look at them:

{_SMALL}
{example}
Then start it, and in another terminal a detector that is not there:

    glimt run {file}
    glimt simulate stins --rate 20 --frames 1000

The account of the run is at http://127.0.0.1:5000/, what the reducer publishes at http://127.0.0.1:5001/.
"""
