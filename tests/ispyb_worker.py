"""A process that has messages written by the ISPyB service, says so, and acknowledges none: to be killed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from glimt.services.ispyb import IspybService
from glimt.services.service import ServiceSetup
from service_steps import sent, step_for

N_MESSAGES = 40


def main(url: str, dcid: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        service = IspybService(ServiceSetup({}, (), Path(folder), url))
        for number in range(N_MESSAGES):
            fields = {"ispyb_command": "insert_movie", "dcid": dcid, "movie_number": number}
            step = step_for(fields, output=2, message_id=f"kill-{dcid}-{number}")
            service.handle(step)
            ((_, payload),) = sent(step)
            sys.stdout.write(json.dumps({"message": step.message_id, "result": payload["result"]}) + "\n")
            sys.stdout.flush()
            time.sleep(0.005)
        service.close()


def killed_at(url: str, dcid: int, lines: Sequence[int]) -> dict[str, int]:
    """Run the process, kill it after so many lines, run it again; the last time to its end. Return the results it gave.

    All messages are delivered each time, as a broker does that got no acknowledgement. Fails if a message that was done
    before is answered differently.
    """
    results: dict[str, int] = {}
    words = [sys.executable, __file__, url, str(dcid)]
    for last in (*lines, N_MESSAGES):
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for number, line in enumerate(process.stdout, start=1):
                answer = json.loads(line)
                assert answer["result"] == results.setdefault(answer["message"], answer["result"])
                if number == last < N_MESSAGES:
                    process.kill()
                    break
    return results


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
