"""What is known of an endpoint's workers, from the requests they serve and from /health. Pure.

/health reports *provisioned* workers as `idle` and `ready` while nothing runs, and a job may be IN_PROGRESS on a worker
that still loads its model (SDK 2.0 prestart hooks), so neither is a sign that a request would be served. Only output
is. Source: recordings of the live service by Runpod's staff (golden path 15) and runpod 2.0.0rc2 `rp_prestart.py`.

    asleep ──job queued──> waking ──IN_PROGRESS──> loading ──output──> warm ──idle for longer than it stays up──> asleep

`throttled`, `unhealthy` and `absent` are what /health says of an endpoint that cannot wake. How long a worker stays up
after its last request is learned from the requests that follow pauses: one that is served promptly shows that a pause
of that length is survived, one that waits shows that it is not.
"""

import statistics
from collections import deque

import msgspec

from gateway.domain import EndpointState
from gateway.wire.runpod import EndpointHealth

IDLE_TIMEOUT_S = 5.0
"""Runpod's default idle timeout (endpoint configurations): a worker may be gone this long after its last request."""
STAY_MARGIN = 0.8
"""A relayed request has to arrive while the worker is still there."""
FORESIGHT = 4.0
"""A pause up to this many times the longest one that was survived is expected to be survived too."""
PROMPT_S = 2.0
"""A first output within this time needed no start: FlashBoot wakes within a second."""
SLOW_FACTOR = 3.0
IDLE_PAUSE_S_MIN = 1.0
"""A first output this many times slower than a prompt one, after a pause, shows that the worker was gone after all."""
HEALTH_S_MAX = 15.0
"""How old a reading of /health may be to be believed."""
STARTS_KEPT = 8


class StartReport(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an endpoint while a request waits for it; for error messages and comments."""

    state: EndpointState
    since_s: float | None
    """How long ago the start, or the loading, began; None if none is known to be under way."""
    usual_s: float | None
    """How long a start took recently, by the median; None before the first."""


class Activity:
    """One request at an endpoint, as far as its workers are concerned. Times are monotonic seconds."""

    __slots__ = ("_machine", "began_at_s", "has_output", "is_over", "pause_s", "taken_at_s", "was_warm")

    def __init__(self, machine: "EndpointStateMachine", *, now_s: float, pause_s: float | None, was_warm: bool) -> None:
        self._machine = machine
        self.began_at_s = now_s
        self.pause_s = pause_s
        """How long the endpoint had been idle when this request came; None if it was not, or if nobody knows."""
        self.was_warm = was_warm
        self.taken_at_s: float | None = None
        self.has_output = False
        self.is_over = False

    def taken(self, now_s: float) -> None:
        """Note that a worker has the request."""
        if self.taken_at_s is None:
            self.taken_at_s = now_s

    def output(self, now_s: float, *, is_first_token: bool = True) -> None:
        """Note the first output; `is_first_token` is False if it is a whole answer, which takes as long as it takes."""
        if not self.has_output:
            self.taken(now_s)
            self.has_output = True
            self._machine.learn(self, now_s, is_first_token=is_first_token)

    def end(self, now_s: float) -> None:
        """Note that the request is over, or given up."""
        if not self.is_over:
            self.is_over = True
            self._machine.forget(self, now_s)


class EndpointStateMachine:
    """The state of one endpoint's workers."""

    def __init__(self, *, min_workers: int = 0) -> None:
        """`min_workers` is how many workers Runpod is configured to keep up."""
        self.min_workers = min_workers
        self.health: EndpointHealth | None = None
        """The last reading; None before the first."""
        self.is_used_since_read = False
        """Whether a request was handed over since then, however short it was."""
        self._read_at_s = float("-inf")
        self._active: set[Activity] = set()
        self._evidence_at_s: float | None = None
        self._survived_s = 0.0
        self._lost_s = float("inf")
        self._starts_s: deque[float] = deque(maxlen=STARTS_KEPT)
        self._warm_waits_s: deque[float] = deque(maxlen=STARTS_KEPT)

    @property
    def waiting(self) -> int:
        """How many requests wait for a worker's first output."""
        return sum(not each.has_output for each in self._active)

    @property
    def has_activity(self) -> bool:
        """Report whether any request is under way."""
        return bool(self._active)

    def begin(self, now_s: float) -> Activity:
        """Note that a request was handed to the endpoint."""
        is_idle = not any(each.has_output for each in self._active)
        pause_s = None if self._evidence_at_s is None or not is_idle else now_s - self._evidence_at_s
        activity = Activity(self, now_s=now_s, pause_s=pause_s, was_warm=self.is_warm(now_s))
        self._active.add(activity)
        self.is_used_since_read = True
        return activity

    def read(self, health: EndpointHealth, now_s: float) -> None:
        """Note a reading of /health."""
        self.health, self._read_at_s, self.is_used_since_read = health, now_s, False

    def health_age_s(self, now_s: float) -> float:
        """Return how old the last reading is."""
        return now_s - self._read_at_s

    def is_warm(self, now_s: float) -> bool:
        """Report whether a worker serves requests, by the output that was seen."""
        if any(each.has_output for each in self._active):
            return True
        if self._evidence_at_s is None:
            return False
        if self.min_workers and self._lost_s == float("inf"):
            return True
        stays_s = max(STAY_MARGIN * IDLE_TIMEOUT_S, STAY_MARGIN * self._survived_s)
        return now_s - self._evidence_at_s <= min(stays_s, STAY_MARGIN * self._lost_s)

    def is_ready_for_burst(self, now_s: float) -> bool:
        """Report whether requests may be sent without waiting for a first one to wake the endpoint."""
        if self.min_workers or self.is_warm(now_s):
            return True
        if self._evidence_at_s is None:
            return False
        expected_s = max(IDLE_TIMEOUT_S, FORESIGHT * self._survived_s)
        return now_s - self._evidence_at_s <= min(expected_s, STAY_MARGIN * self._lost_s)

    def state(self, now_s: float) -> EndpointState:
        """Return the state, by the requests under way first and by a fresh reading of /health after that."""
        if self.is_warm(now_s):
            return EndpointState.WARM
        if any(each.taken_at_s is not None for each in self._active):
            return EndpointState.LOADING
        if self.health is None or self.health_age_s(now_s) > HEALTH_S_MAX:
            return EndpointState.UNKNOWN
        workers = self.health.workers
        if workers.get("running", 0) > 0:
            return EndpointState.LOADING
        if workers.get("initializing", 0) > 0:
            return EndpointState.WAKING
        if workers.get("idle", 0) + workers.get("ready", 0) > 0:
            return EndpointState.ASLEEP
        if workers.get("throttled", 0) > 0:
            return EndpointState.THROTTLED
        return EndpointState.UNHEALTHY if workers.get("unhealthy", 0) > 0 else EndpointState.ABSENT

    def report(self, now_s: float) -> StartReport:
        """Return what a client that waits may be told."""
        state = self.state(now_s)
        since_s: float | None = None
        if state is EndpointState.LOADING:
            taken = [each.taken_at_s for each in self._active if each.taken_at_s is not None]
            since_s = now_s - min(taken) if taken else None
        elif state is not EndpointState.WARM and self._active:
            since_s = now_s - min(each.began_at_s for each in self._active)
        return StartReport(state=state, since_s=since_s, usual_s=self.usual_start_s())

    def usual_start_s(self) -> float | None:
        """Return how long a start took recently; None if none was seen."""
        return statistics.median(self._starts_s) if self._starts_s else None

    def learn(self, activity: Activity, now_s: float, *, is_first_token: bool) -> None:
        """Take the first output of a request as evidence, and its wait as a lesson."""
        waited_s = now_s - activity.began_at_s
        queued_s = (activity.taken_at_s or now_s) - activity.began_at_s
        pause_s = activity.pause_s or 0.0
        was_gone = pause_s > IDLE_PAUSE_S_MIN and waited_s > SLOW_FACTOR * self._prompt_s()
        if activity.was_warm and not (was_gone and is_first_token):
            if is_first_token:
                self._warm_waits_s.append(waited_s)
        elif waited_s <= self._prompt_s():
            self._survive(pause_s)
        elif is_first_token or queued_s > self._prompt_s():
            # A whole answer may have been written all that time.
            self._starts_s.append(waited_s if is_first_token else queued_s)
            self._lose(activity.pause_s)
        self._evidence_at_s = now_s

    def forget(self, activity: Activity, now_s: float) -> None:
        """Drop a request that is over."""
        self._active.discard(activity)
        if activity.has_output:
            self._evidence_at_s = now_s

    def _prompt_s(self) -> float:
        """Return how long a first output may take that needed no start: models differ in how fast they begin."""
        usual_s = statistics.median(self._warm_waits_s) if self._warm_waits_s else 0.0
        return max(PROMPT_S, 2 * usual_s)

    def _survive(self, pause_s: float) -> None:
        self._survived_s = max(self._survived_s, pause_s)
        if pause_s >= self._lost_s:
            # Its configuration has changed.
            self._lost_s = float("inf")

    def _lose(self, pause_s: float | None) -> None:
        """Learn that a worker was gone after a pause; one that never was there says nothing of pauses."""
        if pause_s is not None:
            self._lost_s = max(IDLE_TIMEOUT_S, pause_s)
            self._survived_s = min(self._survived_s, STAY_MARGIN * pause_s)
