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
  of the readings of three seconds counts. Without it, other clients' short requests would hold up the end for ever.

Of other clients the fewest count that the last three such readings have shown.

Which of the abandoned ones are over cannot be told: those that were expected to end first, by what their tenants'
answers usually take. Those of other replicas are among them, and each replica ends its own, in an order that is the
same for all: by Unix time, as each replica tells it of its own.
"""

import itertools
from collections import Counter, deque
from collections.abc import Callable, Sequence

import msgspec

from gateway.exchange.under_way import SUBMIT_S, UnderWay
from gateway.fairshare.replica_jobs import AbandonedElsewhere
from gateway.wire.runpod import EndpointHealth

STEADY_S = 3.0
STEADY_READINGS = 10
"""Over so long, and in so many readings at least, all requests under way are counted."""
STRANGERS_S = 20.0
"""How long it is believed how many jobs of other clients there were."""
STRANGERS_READINGS = 3
"""So many readings have to have shown them: one may show a job whose end was seen here a moment before."""
TOLD_MAX = 256
"""Of how many others are told. While there are more, fewer of theirs can be shown to be over."""


class _Attempt(msgspec.Struct, frozen=True, eq=False):
    tenant: str
    since_s: float
    """From when on readings say something of it."""
    expected_at: float
    """When it is expected to end, in Unix time."""
    until_s: float
    """The time at which it will have ended in any case."""
    end: Callable[[float], None]


class AbandonedAttempts:
    """Those of one Runpod endpoint. Times are monotonic seconds, to which `unix_ahead_s` is added for Unix time."""

    def __init__(self, unix_ahead_s: float = 0.0) -> None:
        self._unix_ahead_s = unix_ahead_s
        self._attempts: list[_Attempt] = []
        self._counts = Counter[str]()
        self._rests: deque[tuple[float, int]] = deque()
        """When /health was asked for, and the jobs that belonged to no request under way."""
        self._strangers: deque[tuple[float, int]] = deque(maxlen=STRANGERS_READINGS)
        """The same while there were no abandoned attempts."""
        self._until_s: float | None = None
        """Until when there may have been some."""
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
        since_s, expected_at = max(now_s, sent_at_s + SUBMIT_S), expected_s + self._unix_ahead_s
        self._attempts.append(_Attempt(tenant, since_s, expected_at, until_s, end))

    def until_s(self, now_s: float) -> float | None:
        """Return until when there may have been some of which a reading could tell; None if there were none."""
        return now_s if self._attempts else self._until_s

    def tell(self) -> list[AbandonedElsewhere]:
        """Return what other replicas have to know of them, those first that are expected to end first."""
        told = sorted(self._attempts, key=lambda each: each.expected_at)[:TOLD_MAX]
        return [AbandonedElsewhere(each.since_s, each.expected_at) for each in told]

    def look(
        self,
        health: EndpointHealth | None,
        *,
        asked_at_s: float,
        under_way: UnderWay,
        elsewhere: Sequence[AbandonedElsewhere] = (),
        elsewhere_until_s: float = float("-inf"),
    ) -> None:
        """End as many as a reading of /health shows to be over, of those that it says something of.

        `elsewhere` are the abandoned attempts of other replicas, `elsewhere_until_s` is until when there may have been
        some: before that, nothing is learnt of other clients' jobs.
        """
        jobs_count = None if health is None else unfinished_jobs(health)
        if jobs_count is None:
            return
        over_at_s = asked_at_s if self._looked_at_s is None else (self._looked_at_s + asked_at_s) / 2
        self._looked_at_s = asked_at_s
        if not self._attempts:
            if asked_at_s > max(elsewhere_until_s, self._until_s or float("-inf")):
                self._strangers.append((asked_at_s, max(0, jobs_count - under_way.all)))
            self._rests.clear()
            return
        jobs_count -= self._strangers_count(asked_at_s)
        # An attempt that the last reading may have shown, and this one does not, ended between them.
        self._keep_to(jobs_count - under_way.sure, asked_at_s, elsewhere, over_at_s=over_at_s)
        self._rests.append((asked_at_s, jobs_count - under_way.all))
        while self._rests[0][0] < asked_at_s - STEADY_S:
            self._rests.popleft()
        if len(self._rests) >= STEADY_READINGS:
            since_s = self._rests[0][0]
            self._keep_to(max(rest for _, rest in self._rests), since_s, elsewhere, over_at_s=since_s)

    def _strangers_count(self, at_s: float) -> int:
        counts = [count for seen_at_s, count in self._strangers if seen_at_s >= at_s - STRANGERS_S]
        return min(counts) if len(counts) == STRANGERS_READINGS else 0

    def _keep_to(self, most: int, at_s: float, elsewhere: Sequence[AbandonedElsewhere], *, over_at_s: float) -> None:
        """End all but so many of those that readings since `at_s` say something of."""
        every = itertools.chain[_Attempt | AbandonedElsewhere](self._attempts, elsewhere)
        judged = sorted((each for each in every if each.since_s <= at_s), key=lambda each: each.expected_at)
        for each in judged[: max(0, len(judged) - max(0, most))]:
            if isinstance(each, _Attempt):
                self._end(each, max(each.since_s, over_at_s), shown_at_s=self._looked_at_s or at_s)

    def advance(self, now_s: float) -> None:
        """End those that have reached their longest time."""
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
    """Return how many jobs wait or run by a reading of /health; None where it does not say."""
    queued, running = health.jobs.get("inQueue"), health.jobs.get("inProgress")
    return None if queued is None or running is None else max(0, queued) + max(0, running)
