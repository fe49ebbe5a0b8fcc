"""Asks one path again and again, from a process of its own: how long an event loop stands still, as others see it.

`python -m bench.speed.prober PORT PATH`; a line on stdin ends it. Then it prints its slowest answers as JSON.
"""

import contextlib
import json
import os
import select
import sys
import time
from http.client import HTTPConnection

PAUSE_S = 0.002
URGENT = -20
WAIT_S_MAX = 20.0
KEPT = 100


def probe(port: int, path: str) -> list[float]:
    """Milliseconds of the slowest answers, the slowest first."""
    with contextlib.suppress(PermissionError):
        # It shares a core with the load, whose work would look like the server's.
        os.setpriority(os.PRIO_PROCESS, 0, URGENT)
    waits_ms: list[float] = []
    connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_S_MAX)
    while not select.select([sys.stdin], [], [], PAUSE_S)[0]:
        asked_s = time.perf_counter()
        connection.request("GET", path)
        connection.getresponse().read()
        waits_ms.append(1000 * (time.perf_counter() - asked_s))
    return sorted(waits_ms, reverse=True)[:KEPT]


if __name__ == "__main__":
    json.dump(probe(int(sys.argv[1]), sys.argv[2]), sys.stdout)
