"""Attempts that may still run at Runpod although their requests are over, and that have no id to be asked about. Pure.

They are relayed requests whose answers were not read to the end, and submissions whose replies were lost. Runpod makes
a job of every relayed request (worker-vllm `src/handler.py`) and tells its caller no id. Whether it ends the job when
the connection is closed is documented nowhere, so the job is taken to run on. Each keeps its seat until a reading of
/health shows that it is over, or until it would have reached its longest time.

/health counts the jobs of an endpoint that wait or run. Those of them that belong to requests under way are known here,
so the rest is what may be left of the abandoned ones. It is too large where other clients use the same endpoint: then
seats are held for longer. It is too small where a job is over and its client still reads the answer; that request holds
a seat of its own, so that there are never fewer seats held than jobs.
"""

from collections import Counter, deque
from collections.abc import Callable

import msgspec

from gateway.wire.runpod import EndpointHealth


class _Attempt(msgspec.Struct, frozen=True, eq=False):
    tenant: str
    since_s: float
    """When its request was over."""
    until_s: float
    """When it has reached its longest time."""
    end: Callable[[], None]


class AbandonedAttempts:
    """Those of one Runpod endpoint, the longest abandoned first. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._attempts: deque[_Attempt] = deque()
        self._counts = Counter[str]()

    def __len__(self) -> int:
        return len(self._attempts)

    def count_of(self, tenant: str) -> int:
        """Return how many of them are this tenant's."""
        return self._counts[tenant]

    def add(self, tenant: str, *, now_s: float, until_s: float, end: Callable[[], None]) -> None:
        """Add an attempt; `end` is called once, when it is over."""
        self._counts[tenant] += 1
        self._attempts.append(_Attempt(tenant, now_s, until_s, end))

    def look(self, health: EndpointHealth | None, *, asked_at_s: float, live: int) -> None:
        """End as many as a reading of /health shows to be over.

        `live` is how many jobs of requests under way Runpod surely had when /health was asked for, here and at other
        replicas. Attempts that were abandoned after that are not judged by it.
        """
        jobs_count = None if health is None else unfinished_jobs(health)
        if jobs_count is None:
            return
        judged = sum(each.since_s <= asked_at_s for each in self._attempts)
        for _ in range(judged - max(0, jobs_count - live)):
            self._end(self._attempts.popleft())

    def advance(self, now_s: float) -> None:
        """End those that have reached their longest time."""
        over = [each for each in self._attempts if each.until_s <= now_s]
        if over:
            self._attempts = deque(each for each in self._attempts if each.until_s > now_s)
        for each in over:
            self._end(each)

    def _end(self, attempt: _Attempt) -> None:
        self._counts[attempt.tenant] -= 1
        if not self._counts[attempt.tenant]:
            del self._counts[attempt.tenant]
        attempt.end()


def unfinished_jobs(health: EndpointHealth) -> int | None:
    """Return how many jobs wait or run by a reading of /health; None where it does not say."""
    queued, running = health.jobs.get("inQueue"), health.jobs.get("inProgress")
    return None if queued is None or running is None else max(0, queued) + max(0, running)
