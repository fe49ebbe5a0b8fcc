"""Decide whether requests may be sent to an endpoint, and of which tenants: a circuit breaker. Pure.

A failure that the content of a request can cause never blocks a tenant that had no such failure itself: see Evidence,
and docs/decisions/0012-failures-by-tenant.md.
"""

from collections import deque
from enum import Enum, auto

FAILURES_MAX = 5
"""Number of failures within WINDOW_S, without a success since the first of them, that open the breaker."""
WINDOW_S = 60.0
"""Seconds for which a failure counts: otherwise an endpoint with few requests would be more sensitive than a busy one.
"""
TENANT_COUNTS_MAX = 3
"""Maximum number of one tenant's failures that count towards FAILURES_MAX: at least two tenants must have failed; if
only two, both more than once."""
ALONE_S = 15.0
"""Seconds for which a single tenant's failures must continue until an unreadable /health makes them an outage."""
LOOK_S = 5.0
"""Seconds between readings of /health while an outage is suspected."""
PAUSE_S_FIRST = 5.0
PAUSE_S_MAX = 60.0
TRIAL_S_MAX = 30.0
"""Seconds after which another trial request is allowed if the first one reports no outcome: its client may have left.
"""
TRIAL_RETRY_S = 1.0
TRIALS_IN_VAIN_MAX = 2
"""Number of tenants whose trial requests must fail until the breaker opens again."""
LATELY_S = 300.0
"""Seconds after a success for which a refusal that only appears to come from Runpod is attributed to a worker."""


class Evidence(Enum):
    """Name what the outcome of one submission shows about the endpoint."""

    SERVED = auto()
    """Work was accepted."""
    HEARD = auto()
    """Work was refused, or failed, with a reply: it ends a trial, and has no other effect."""
    CERTAIN = auto()
    """A failure that no content of a request can cause: no connection was made, or Runpod's API rejected the key."""
    SUSPECT = auto()
    """A failure that looks like an outage, and that content can cause: a prompt on which a worker crashes or hangs."""
    DOUBTFUL = auto()
    """A refusal of unknown origin: SUSPECT, but HEARD at an endpoint that accepted work in the last LATELY_S."""
    NONE = auto()
    """The gateway itself failed or refused: it was out of file descriptors, or of memory for the answer."""


class _State(Enum):
    CLOSED = auto()
    OPEN = auto()
    TRIAL_DUE = auto()
    """/health was read; trial requests may show whether the endpoint also accepts work."""
    TRIAL = auto()


class _Run:
    """Track the suspect failures of one tenant since the last success, and the pause that they cause for it alone."""

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


class CircuitBreaker:
    """Open after failures that are the endpoint's own, or those of several tenants.

    It closes in two steps: /health is read, which wakes no worker; then one trial request of each tenant is allowed,
    and all requests once one was accepted. If /health cannot be read either, the second step follows after the longest
    pause. While it is closed, a tenant whose own requests fail is paused, and is then allowed one request at a time.
    """

    def __init__(self) -> None:
        self._state = _State.CLOSED
        self._pause_s = PAUSE_S_FIRST
        self._until_s = 0.0
        self._certain_at_s: deque[float] = deque(maxlen=FAILURES_MAX)
        self._runs: dict[str, _Run] = {}
        self._trials: dict[str, float] = {}
        """Time at which each tenant may send its next trial request."""
        self._in_vain: set[str] = set()
        """Tenants whose trial request failed."""
        self._succeeded_at_s = float("-inf")
        self._probed_at_s = float("-inf")
        self._unread_at_s: float | None = None
        """Time of the last reading of /health that failed after an earlier success; None if the last one succeeded."""
        self._was_read = False

    @property
    def is_open(self) -> bool:
        """Return True if all requests except trial requests are rejected."""
        return self._state is not _State.CLOSED

    @property
    def is_calm(self) -> bool:
        """Return True if nothing has failed since the last success, so that another success changes nothing."""
        return self._state is _State.CLOSED and not self._runs and not self._certain_at_s

    def needs_probe(self, now_s: float) -> bool:
        """Return True if it is time to read /health."""
        if self._state is _State.CLOSED:
            is_due = bool(self._runs) and now_s - self._probed_at_s >= LOOK_S
            return is_due and any(run.is_long(now_s) for run in self._runs.values())
        return self._state is _State.OPEN and now_s >= self._until_s

    def cooldown_s(self, tenant: str, now_s: float) -> float | None:
        """Return the seconds until a request of this tenant is allowed, or None if one is allowed now."""
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
        """Allow a request, perhaps as a trial, and return None; otherwise return the seconds until one is allowed."""
        cooldown_s = self.cooldown_s(tenant, now_s)
        if cooldown_s is not None:
            return cooldown_s
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

    def on_health(self, *, is_well: bool, now_s: float) -> None:
        """Record whether /health could be read."""
        self._probed_at_s = now_s
        self._was_read |= is_well
        # If it never was readable, for example with a restricted key, a failed reading shows nothing.
        self._unread_at_s = None if is_well or not self._was_read else now_s
        if self._state is _State.CLOSED:
            self._weigh(now_s)
        elif self._state is _State.OPEN and now_s >= self._until_s:
            # A /health that cannot be read may be the only fault: after the longest pause, trial requests are allowed.
            if is_well or self._pause_s >= PAUSE_S_MAX:
                self._state = _State.TRIAL_DUE
            else:
                self._open(now_s)

    def tell(self, evidence: Evidence, tenant: str, now_s: float) -> None:
        """Record the outcome of a submission."""
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
        """Close the breaker, and forget all failures."""
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
            # The reply to a request that was sent before the breaker opened may be older than the outage.
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
            # A failed trial of one tenant does not block the trials of other tenants.
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
        """Open the breaker if the failures of several tenants, or of one tenant and of /health, show an outage."""
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
