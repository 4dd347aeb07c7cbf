# ruff: noqa: ANN001, ANN002, ANN003, ANN201, ANN204 - written as users write it
"""The analysis that both programs of ``live.py`` run, unmodified: classes in the style of dranspose."""

import json
import os
import time
from array import array

from dranspose.data.stream1 import Stream1Data
from dranspose.middlewares.stream1 import parse


class Worker:
    """Parses every packet and returns a small tuple of an image."""

    def __init__(self, *args, **kwargs):
        pass

    def process_event(self, event, parameters=None, *args, **kwargs):
        """Return the frame's number, when it was sent, and what is made of its pixels."""
        packet = parse(event.streams["det"])
        if isinstance(packet, Stream1Data):
            return packet.frame, packet.sent_ns, self.reduce(packet)
        return None

    def reduce(self, packet):
        """Return one pixel: the frame is received and parsed, nothing is computed."""
        return int(packet.data[0, 0])


class Mean(Worker):
    """Reads every pixel."""

    def reduce(self, packet):
        """Return the mean."""
        return float(packet.data.mean())


class Reducer:
    """Counts results and notes how old their frames are."""

    def __init__(self, *args, **kwargs):
        self.ages_ns = array("q")
        self.first_ns = self.last_ns = 0
        self.numbers = set()

    def process_result(self, result, parameters=None):
        """Take a result."""
        frame, sent_ns, _ = result.payload
        self.last_ns = time.monotonic_ns()
        if not self.ages_ns:
            self.first_ns = self.last_ns
        self.ages_ns.append(self.last_ns - sent_ns)
        self.numbers.add(frame)

    def finish(self, parameters=None):
        """Leave what was found for the benchmark."""
        path = os.environ["BENCHMARK_OUT"]
        found = {"n": len(self.ages_ns), "n_frames": len(self.numbers), "first_ns": self.first_ns}
        with open(path + ".new", "w") as file:
            json.dump(found | {"last_ns": self.last_ns, "ages_ns": self.ages_ns[-2000:].tolist()}, file)
        os.replace(path + ".new", path)
