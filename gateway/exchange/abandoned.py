"""Keep the attempts that may still run at Runpod after their requests, and whose job ids are not known. Pure.

They are relayed requests whose answers were not read to the end, and submissions whose replies were lost. Runpod makes
a job of every relayed request (worker-vllm `src/handler.py`) and tells its caller no id. Whether it ends the job when
the connection is closed is documented nowhere, so the job is taken to run on. Each keeps its seat until readings of
/health show that it is over, or until it would have reached its longest time.

/health counts the jobs of an endpoint that wait or run. Those that belong to requests under way are known here, and
so is how many there are of other clients of the endpoint, as far as those were seen while there were no abandoned
ones. The rest may be abandoned ones. Two counts of the requests under way are used:

- Those that Runpod *surely* had when /health was asked for. What is left is never too few.
- All of them. What is left may be too few at one moment, as a request may be on its way to Runpod's queue, so the most
  of the readings of two seconds counts. Without it, other clients' short requests would hold up the end for ever.

Which of the abandoned ones are over cannot be told: those that were expected to end first, by what their tenants'
answers usually take.
"""

from collections import Counter, deque
from collections.abc import Callable

import msgspec

from gateway.exchange.under_way import SUBMIT_S, UnderWay
from gateway.wire.runpod import EndpointHealth

STEADY_S = 2.0
STEADY_READINGS = 5
"""Over so long, and in so many readings at least, all requests under way are counted."""
STRANGERS_S = 60.0
"""How long it is believed how many jobs of other clients there were."""


class _Attempt(msgspec.Struct, frozen=True, eq=False):
    tenant: str
    since_s: float
    """From when on readings say something of it."""
    expected_s: float
    until_s: float
    """The time at which it will have ended in any case."""
    end: Callable[[float], None]


class AbandonedAttempts:
    """Those of one Runpod endpoint. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._attempts: list[_Attempt] = []
        self._counts = Counter[str]()
        self._rests: deque[tuple[float, int]] = deque()
        """When /health was asked for, and the jobs that belonged to no request under way."""
        self._strangers: tuple[float, int] = (float("-inf"), 0)
        """The same, last seen while there were no abandoned attempts."""
        self._looked_at_s: float | None = None
        """When the last reading was asked for that says something."""

    def __len__(self) -> int:
        return len(self._attempts)

    def count_of(self, tenant: str) -> int:
        """Return how many abandoned attempts this tenant has."""
        return self._counts[tenant]

    def add(
        self,
        tenant: str,
        *,
        sent_at_s: float,
        now_s: float,
        expected_s: float,
        until_s: float,
        end: Callable[[float], None],
    ) -> None:
        """Add an attempt that is expected to end at `expected_s`.

        `end` is called once, when it is over, with the time at which it ended, as far as readings tell.
        """
        self._counts[tenant] += 1
        self._attempts.append(_Attempt(tenant, max(now_s, sent_at_s + SUBMIT_S), expected_s, until_s, end))

    def look(self, health: EndpointHealth | None, *, asked_at_s: float, under_way: UnderWay) -> None:
        """End as many as a reading of /health shows to be over, of those that it says something of."""
        jobs_count = None if health is None else unfinished_jobs(health)
        if jobs_count is None:
            return
        over_at_s = asked_at_s if self._looked_at_s is None else (self._looked_at_s + asked_at_s) / 2
        self._looked_at_s = asked_at_s
        if not self._attempts:
            self._strangers = asked_at_s, max(0, jobs_count - under_way.all)
            self._rests.clear()
            return
        seen_at_s, strangers = self._strangers
        jobs_count -= strangers if asked_at_s - seen_at_s <= STRANGERS_S else 0
        # An attempt that the last reading may have shown, and this one does not, ended between them.
        self._keep_to(jobs_count - under_way.sure, asked_at_s, over_at_s=over_at_s)
        self._rests.append((asked_at_s, jobs_count - under_way.all))
        while self._rests[0][0] < asked_at_s - STEADY_S:
            self._rests.popleft()
        if len(self._rests) >= STEADY_READINGS:
            since_s = self._rests[0][0]
            self._keep_to(max(rest for _, rest in self._rests), since_s, over_at_s=since_s)

    def _keep_to(self, most: int, at_s: float, *, over_at_s: float) -> None:
        """End all but so many of those that readings since `at_s` say something of."""
        judged = sorted((each for each in self._attempts if each.since_s <= at_s), key=lambda each: each.expected_s)
        for each in judged[: max(0, len(judged) - max(0, most))]:
            self._end(each, max(each.since_s, over_at_s))

    def advance(self, now_s: float) -> None:
        """End those that have reached their longest time."""
        for each in [each for each in self._attempts if each.until_s <= now_s]:
            self._end(each, each.until_s)

    def _end(self, attempt: _Attempt, at_s: float) -> None:
        self._attempts.remove(attempt)
        self._counts[attempt.tenant] -= 1
        if not self._counts[attempt.tenant]:
            del self._counts[attempt.tenant]
        attempt.end(at_s)


def unfinished_jobs(health: EndpointHealth) -> int | None:
    """Return how many jobs wait or run by a reading of /health; None where it does not say."""
    queued, running = health.jobs.get("inQueue"), health.jobs.get("inProgress")
    return None if queued is None or running is None else max(0, queued) + max(0, running)
