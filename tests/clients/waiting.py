"""What tests of a client that leaves have in common."""

import time
from collections.abc import Callable

from tests.stacks import Stack

WAIT_S_MAX = 5.0


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it is true, for a bounded time."""
    ends_s = time.perf_counter() + WAIT_S_MAX
    while not condition():
        assert time.perf_counter() < ends_s, "it did not come true in time"
        time.sleep(0.02)


def cancelled_jobs(stack: Stack) -> set[str]:
    """The ids of the jobs that /cancel was called for, with success."""
    return {call["job_id"] for call in stack.calls() if call["operation"] == "cancel" and call["status"] == 200}
