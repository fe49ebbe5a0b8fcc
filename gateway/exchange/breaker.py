"""Whether an endpoint may be asked, and by whom. Pure: it is told what happened, when, and to whose request.

A failure that the content of a request can cause never shuts out a tenant that had none itself: see Evidence, and
docs/decisions/0012-failures-by-tenant.md.
"""

from collections import deque
from enum import Enum, auto

FAILURES_MAX = 5
"""So many failures within WINDOW_S, and nothing served since the first of them, give a rest."""
WINDOW_S = 60.0
"""Older failures do not count: else an endpoint with few requests would be more sensitive than a busy one."""
TENANT_COUNTS_MAX = 3
"""Of FAILURES_MAX, so many at the most are those of one tenant: it takes two, and not one by a single failure."""
ALONE_S = 15.0
"""How long the failures of one tenant alone have to go on until an unreadable /health makes them an outage."""
LOOK_S = 5.0
"""How often /health is asked for on suspicion."""
PAUSE_S_FIRST = 5.0
PAUSE_S_MAX = 60.0
TRIAL_S_MAX = 30.0
"""When another request may try, should the one that tried first never tell: its client may have left."""
TRIAL_RETRY_S = 1.0
TRIALS_IN_VAIN_MAX = 2
"""So many tenants have to have tried in vain until all rest again."""
LATELY_S = 300.0
"""For so long after work was taken, an answer that only seems to come from Runpod is held to be a worker's."""


class Evidence(Enum):
    """What the outcome of one submission says of the endpoint."""

    SERVED = auto()
    """Work was taken."""
    HEARD = auto()
    """Work was refused, or failed, and somebody was there to say so: the end of a trial, and no news otherwise."""
    CERTAIN = auto()
    """A failure that no content of a request can cause: no connection was made, or Runpod's API refused the key."""
    SUSPECT = auto()
    """A failure that looks like an outage, and that content can cause: a prompt on which a worker dies or hangs."""
    DOUBTFUL = auto()
    """A refusal, it is not known by whom: SUSPECT, but HEARD at an endpoint that took work lately."""
    NONE = auto()
    """The gateway itself failed or refused: it had no descriptor left, or no memory for the answer."""


class _State(Enum):
    CLOSED = auto()
    OPEN = auto()
    TRIAL_DUE = auto()
    """The endpoint's health was read; requests may find out whether it takes work too."""
    TRIAL = auto()


class _Run:
    """The suspect failures of one tenant since anything was served, and the rest that they give this tenant alone."""

    __slots__ = ("_failed_at_s", "is_trying", "rests_until_s", "since_s")

    def __init__(self, now_s: float) -> None:
        self._failed_at_s: deque[float] = deque(maxlen=FAILURES_MAX)
        self.since_s = now_s
        self.rests_until_s: float | None = None
        self.is_trying = False

    def failed(self, now_s: float) -> None:
        if self._failed_at_s and now_s - self._failed_at_s[-1] > WINDOW_S:
            self.since_s = now_s
        self._failed_at_s.append(now_s)
        if self.rests_until_s is not None or self.count(now_s) >= FAILURES_MAX:
            self.rests_until_s, self.is_trying = now_s + PAUSE_S_FIRST, False

    def count(self, now_s: float) -> int:
        return sum(now_s - each <= WINDOW_S for each in self._failed_at_s)

    def is_long(self, now_s: float) -> bool:
        return self.count(now_s) >= FAILURES_MAX and now_s - self.since_s >= ALONE_S


class Breaker:
    """Open after failures that are the endpoint's own, or those of several tenants.

    It closes over two steps: /health is read, which wakes no worker; then one request of each tenant is let through,
    and all others when one was taken. Where /health cannot be read either, the second step follows after the longest.
    While it is closed, a tenant whose own requests fail rests for a moment, and is then let through one at a time.
    """

    def __init__(self) -> None:
        self._state = _State.CLOSED
        self._pause_s = PAUSE_S_FIRST
        self._until_s = 0.0
        self._certain_at_s: deque[float] = deque(maxlen=FAILURES_MAX)
        self._runs: dict[str, _Run] = {}
        self._trials: dict[str, float] = {}
        """By tenant: when it may try again."""
        self._in_vain: set[str] = set()
        """The tenants whose trial failed."""
        self._succeeded_at_s = float("-inf")
        self._looked_at_s = float("-inf")
        self._unread_at_s: float | None = None
        """When /health, which was readable before, was last found not to be; None where the last look read it."""
        self._was_read = False

    @property
    def is_open(self) -> bool:
        """Tell whether all requests are turned away, but for those that try."""
        return self._state is not _State.CLOSED

    @property
    def is_calm(self) -> bool:
        """Tell whether nothing has failed since work was last taken, so that its being taken is no news."""
        return self._state is _State.CLOSED and not self._runs and not self._certain_at_s

    def wants_look(self, now_s: float) -> bool:
        """Tell whether it is time to read the endpoint's health."""
        if self._state is _State.CLOSED:
            is_due = bool(self._runs) and now_s - self._looked_at_s >= LOOK_S
            return is_due and any(run.is_long(now_s) for run in self._runs.values())
        return self._state is _State.OPEN and now_s >= self._until_s

    def rest_s(self, tenant: str, now_s: float) -> float | None:
        """Return for how many seconds no request of this tenant is let through; None where one may be."""
        if self._state is _State.OPEN:
            until_s = self._until_s
        elif self._state is _State.CLOSED:
            run = self._runs.get(tenant)
            if run is None or run.rests_until_s is None or run.is_trying or now_s >= run.rests_until_s:
                return None
            until_s = run.rests_until_s
        elif tenant in self._in_vain and now_s < self._trials[tenant]:
            until_s = self._trials[tenant]
        else:
            return None
        return max(TRIAL_RETRY_S, until_s - now_s)

    def enter_s(self, tenant: str, now_s: float) -> float | None:
        """Let a request go, perhaps as its tenant's trial, and return None; else return in how many seconds one may."""
        rest_s = self.rest_s(tenant, now_s)
        if rest_s is not None:
            return rest_s
        if self._state is _State.CLOSED:
            run = self._runs.get(tenant)
            if run is None or run.rests_until_s is None:
                return None
            if now_s < run.rests_until_s:
                return TRIAL_RETRY_S
            run.rests_until_s, run.is_trying = now_s + TRIAL_S_MAX, True
            return None
        if now_s < self._trials.get(tenant, float("-inf")):
            return TRIAL_RETRY_S
        self._state = _State.TRIAL
        self._trials[tenant] = now_s + TRIAL_S_MAX
        self._in_vain.discard(tenant)
        return None

    def looked(self, *, is_well: bool, now_s: float) -> None:
        """Note that the endpoint's health was read, or could not be."""
        self._looked_at_s = now_s
        self._was_read |= is_well
        # Of an endpoint whose health never was readable, as by a restricted key, that says nothing.
        self._unread_at_s = None if is_well or not self._was_read else now_s
        if self._state is _State.CLOSED:
            self._weigh(now_s)
        elif self._state is _State.OPEN and now_s >= self._until_s:
            # Health that cannot be read may be all that is wrong: after the longest rest requests find out.
            if is_well or self._pause_s >= PAUSE_S_MAX:
                self._state = _State.TRIAL_DUE
            else:
                self._open(now_s)

    def tell(self, evidence: Evidence, tenant: str, now_s: float) -> None:
        """Note the outcome of a submission."""
        if evidence is Evidence.DOUBTFUL:
            is_lately = now_s - self._succeeded_at_s <= LATELY_S
            evidence = Evidence.HEARD if is_lately else Evidence.SUSPECT
        match evidence:
            case Evidence.SERVED:
                self._succeeded_at_s = now_s
                if not self.is_calm:
                    self.reset()
            case Evidence.HEARD:
                self._heard(tenant)
            case Evidence.CERTAIN:
                self._failed(now_s)
            case Evidence.SUSPECT:
                self._suspect(tenant, now_s)
            case _:
                pass

    def reset(self) -> None:
        """Close it, and forget all failures."""
        self._state, self._pause_s = _State.CLOSED, PAUSE_S_FIRST
        self._forget()

    def _forget(self) -> None:
        self._certain_at_s.clear()
        self._runs.clear()
        self._trials.clear()
        self._in_vain.clear()

    def _heard(self, tenant: str) -> None:
        run = self._runs.get(tenant)
        if self._state is _State.TRIAL and tenant in self._trials:
            # Of a request that was sent before it rested, the answer may be older than the outage.
            self.reset()
        elif run is not None and run.is_trying:
            del self._runs[tenant]

    def _failed(self, now_s: float) -> None:
        if self._state is _State.TRIAL:
            self._open(now_s)
        elif self._state is _State.CLOSED:
            self._certain_at_s.append(now_s)
            is_row = len(self._certain_at_s) == FAILURES_MAX
            if is_row and now_s - self._certain_at_s[0] <= WINDOW_S:
                self._open(now_s)

    def _suspect(self, tenant: str, now_s: float) -> None:
        if self._state is _State.TRIAL and tenant in self._trials:
            # One tenant's request that fails does not keep the other tenants from trying.
            self._trials[tenant] = now_s + PAUSE_S_FIRST
            self._in_vain.add(tenant)
            if len(self._in_vain) >= TRIALS_IN_VAIN_MAX:
                self._open(now_s)
        elif self._state is _State.CLOSED:
            run = self._runs.get(tenant)
            if run is None:
                run = self._runs[tenant] = _Run(now_s)
            run.failed(now_s)
            self._weigh(now_s)

    def _weigh(self, now_s: float) -> None:
        """Open it where the failures of several tenants, or of one and of /health, make an outage."""
        counts = {tenant: run.count(now_s) for tenant, run in self._runs.items()}
        for tenant in [tenant for tenant, count in counts.items() if not count]:
            del self._runs[tenant]
        if sum(min(count, TENANT_COUNTS_MAX) for count in counts.values()) >= FAILURES_MAX:
            self._open(now_s)
            return
        unread_at_s = self._unread_at_s
        if unread_at_s is not None and any(
            run.is_long(now_s) and unread_at_s >= run.since_s for run in self._runs.values()
        ):
            self._open(now_s)

    def _open(self, now_s: float) -> None:
        self._state, self._until_s = _State.OPEN, now_s + self._pause_s
        self._pause_s = min(PAUSE_S_MAX, 2 * self._pause_s)
        self._forget()
