"""Track the attempts that may still run at Runpod after their requests ended, and whose job ids are unknown. Pure.

They are relayed requests whose answers were not read to the end, and submissions whose replies were lost. Runpod makes
a job of every relayed request (worker-vllm `src/handler.py`) and returns no id for it. Whether it ends the job when the
connection is closed is not documented, so the job is assumed to run on. Each attempt keeps its seat until readings of
/health show that it has ended, or until its maximum time has passed.

/health counts the jobs of an endpoint that wait or run. The jobs of requests in flight are known here. The number of
jobs of the endpoint's other clients is known from readings at times without abandoned attempts. All remaining jobs may
be abandoned attempts. Two counts of the requests in flight are subtracted:

- Only those that Runpod *certainly* had when /health was requested. The remainder is never too low.
- All of them. The remainder may be too low for a moment, because a request may be on its way to Runpod's queue, so the
  maximum over the readings of three seconds is used. Without this count, a steady flow of short requests would delay
  the end of every abandoned attempt indefinitely.

The number of jobs of other clients is the minimum of the last three such readings.

/health does not show which of the abandoned attempts have ended: those that were expected to end first, by the usual
duration of their tenants' answers, are taken to have ended. The order includes the attempts of other replicas and is
the same at every replica, by the Unix time that each reports for its own attempts; each replica ends only its own.
"""

import itertools
from collections import Counter, deque
from collections.abc import Callable, Sequence

import msgspec

from gateway.endpoints.jobs_in_flight import SUBMIT_S, InFlightCounts
from gateway.fairshare.replica_jobs import AbandonedElsewhere
from gateway.wire.runpod import EndpointHealth

STEADY_S = 3.0
STEADY_READINGS = 10
"""Minimum number of readings in the last STEADY_S seconds for which the count of all requests in flight is used."""
STRANGERS_S = 20.0
"""Seconds for which a count of other clients' jobs is used."""
STRANGERS_READINGS = 3
"""Number of readings that must have counted other clients' jobs: a single one may include a job whose end was seen here
a moment before."""
REPORTED_MAX = 256
"""Maximum number of attempts that are reported to other replicas. With more of them, fewer of the other replicas'
attempts can be shown to have ended."""


class _Attempt(msgspec.Struct, frozen=True, eq=False):
    tenant: str
    since_s: float
    """Time from which readings show whether it still runs."""
    expected_at: float
    """Unix time at which it is expected to end."""
    until_s: float
    """Time at which it has certainly ended."""
    end: Callable[[float], None]


class AbandonedAttempts:
    """Track those of one Runpod endpoint. Times are monotonic seconds; Unix times are `unix_ahead_s` later."""

    def __init__(self, unix_ahead_s: float = 0.0) -> None:
        self._unix_ahead_s = unix_ahead_s
        self._attempts: list[_Attempt] = []
        self._counts = Counter[str]()
        self._rests: deque[tuple[float, int]] = deque()
        """Times of recent /health requests, each with the number of jobs that belonged to no request in flight."""
        self._strangers: deque[tuple[float, int]] = deque(maxlen=STRANGERS_READINGS)
        """The same, from readings without abandoned attempts."""
        self._until_s: float | None = None
        """Time until which there may have been abandoned attempts."""
        self._probed_at_s: float | None = None
        """Time at which the last usable reading was requested."""

    def __len__(self) -> int:
        return len(self._attempts)

    def count_of(self, tenant: str) -> int:
        """Return the number of abandoned attempts of this tenant."""
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

        `end` is called once, when it has ended, with the estimated time of its end.
        """
        self._counts[tenant] += 1
        since_s, expected_at = max(now_s, sent_at_s + SUBMIT_S), expected_s + self._unix_ahead_s
        self._attempts.append(_Attempt(tenant, since_s, expected_at, until_s, end))

    def until_s(self, now_s: float) -> float | None:
        """Return the time until which readings could show abandoned attempts; None if there were none."""
        return now_s if self._attempts else self._until_s

    def report(self) -> list[AbandonedElsewhere]:
        """Return the attempts to report to other replicas, sorted by expected end."""
        first = sorted(self._attempts, key=lambda each: each.expected_at)[:REPORTED_MAX]
        return [AbandonedElsewhere(each.since_s, each.expected_at) for each in first]

    def look(
        self,
        health: EndpointHealth | None,
        *,
        asked_at_s: float,
        jobs_in_flight: InFlightCounts,
        elsewhere: Sequence[AbandonedElsewhere] = (),
        elsewhere_until_s: float = float("-inf"),
    ) -> None:
        """End the attempts that a reading of /health shows to have ended, of those that it can show.

        `elsewhere` are the abandoned attempts of other replicas. `elsewhere_until_s` is the time until which there may
        have been some: readings before it are not used to count other clients' jobs.
        """
        jobs_count = None if health is None else unfinished_jobs(health)
        if jobs_count is None:
            return
        over_at_s = asked_at_s if self._probed_at_s is None else (self._probed_at_s + asked_at_s) / 2
        self._probed_at_s = asked_at_s
        if not self._attempts:
            if asked_at_s > max(elsewhere_until_s, self._until_s or float("-inf")):
                self._strangers.append((asked_at_s, max(0, jobs_count - jobs_in_flight.all)))
            self._rests.clear()
            return
        jobs_count -= self._strangers_count(asked_at_s)
        # An attempt that may be in the last reading, and is not in this one, ended between them.
        self._keep_to(jobs_count - jobs_in_flight.sure, asked_at_s, elsewhere, over_at_s=over_at_s)
        self._rests.append((asked_at_s, jobs_count - jobs_in_flight.all))
        while self._rests[0][0] < asked_at_s - STEADY_S:
            self._rests.popleft()
        if len(self._rests) >= STEADY_READINGS:
            since_s = self._rests[0][0]
            self._keep_to(max(rest for _, rest in self._rests), since_s, elsewhere, over_at_s=since_s)

    def _strangers_count(self, at_s: float) -> int:
        counts = [count for seen_at_s, count in self._strangers if seen_at_s >= at_s - STRANGERS_S]
        return min(counts) if len(counts) == STRANGERS_READINGS else 0

    def _keep_to(self, most: int, at_s: float, elsewhere: Sequence[AbandonedElsewhere], *, over_at_s: float) -> None:
        """End all but `most` of the attempts that readings since `at_s` can show, those expected to end first."""
        every = itertools.chain[_Attempt | AbandonedElsewhere](self._attempts, elsewhere)
        judged = sorted((each for each in every if each.since_s <= at_s), key=lambda each: each.expected_at)
        for each in judged[: max(0, len(judged) - max(0, most))]:
            if isinstance(each, _Attempt):
                self._end(each, max(each.since_s, over_at_s), shown_at_s=self._probed_at_s or at_s)

    def advance(self, now_s: float) -> None:
        """End the attempts whose maximum time has passed."""
        for each in [each for each in self._attempts if each.until_s <= now_s]:
            self._end(each, each.until_s, shown_at_s=each.until_s)

    def _end(self, attempt: _Attempt, at_s: float, *, shown_at_s: float) -> None:
        self._attempts.remove(attempt)
        self._until_s = shown_at_s
        self._counts[attempt.tenant] -= 1
        if not self._counts[attempt.tenant]:
            del self._counts[attempt.tenant]
        attempt.end(at_s)


def unfinished_jobs(health: EndpointHealth) -> int | None:
    """Return the number of waiting and running jobs in a reading of /health; None if it lacks a count."""
    queued, running = health.jobs.get("inQueue"), health.jobs.get("inProgress")
    return None if queued is None or running is None else max(0, queued) + max(0, running)
