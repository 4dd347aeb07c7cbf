"""The process of one role on a machine of a cluster: what `glimt.engines.dask_keeper` starts."""

from __future__ import annotations

import os
import sys
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler

from glimt.engines.parent import ParentWatch
from glimt.engines.placement import run_role


def main() -> None:
    """Take the role from the standard input, then be it for as long as that stays open."""
    refuse = Connection(int(sys.argv[1]), readable=False)
    # What it does and what to do it with comes from the process that started this one, as with `multiprocessing`.
    source = Connection(os.dup(0), writable=False)
    content = source.recv_bytes()
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)  # user code that reads its input must not wait for the keeper
    ParentWatch.pipe = source.fileno()
    run, role = ForkingPickler.loads(content)
    run_role(run, role, refuse)


if __name__ == "__main__":
    main()
