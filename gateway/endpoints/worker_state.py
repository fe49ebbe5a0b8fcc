"""Track the state of an endpoint's workers, from the requests that they serve and from /health. Pure.

/health reports *provisioned* workers as `idle` and `ready` while nothing runs, and a job may be IN_PROGRESS on a worker
that still loads its model (SDK 2.0 prestart hooks), so neither is a sign that a request would be served. Only output
is. Source: recordings of the live service by Runpod's staff (golden path 15) and runpod 2.0.0rc2 `rp_prestart.py`.

    asleep ──job queued──> waking ──IN_PROGRESS──> loading ──output──> warm ──idle for longer than it stays up──> asleep

`throttled`, `unhealthy` and `absent` are reported by /health for an endpoint that cannot wake. How long a worker stays
up after its last request is learned from the requests that follow pauses: a request that is served promptly shows that
workers survive a pause of that length, and one that waits shows that they do not. A pause is only known if every
request before it was answered: one that was abandoned may have woken a worker.

A job that is taken at once shows that a worker is up, unless workers were seen to load their model after they took a
job. Such a job makes all seats available. A relayed request still needs output, because it cannot wait for a model that
loads.
"""

from gateway.domain import EndpointState
from gateway.endpoints.cold_start_stats import IDLE_PAUSE_S_MIN, PROMPTLY_TAKEN_S, ColdStartStats, Wait
from gateway.endpoints.health_reading import HealthReading
from gateway.endpoints.jobs_in_flight import JobsInFlight
from gateway.endpoints.start_tracker import StartReport, StartTracker, state_by_health
from gateway.wire.runpod import EndpointHealth

SILENT_S_MAX = 30.0
"""Maximum seconds of silence for which a stream still shows that a worker is up. An assumption: a generating worker
yields several times a second, and one that died leaves its stream open."""
HEALTH_S_MAX = 15.0
"""Maximum age of a usable reading of /health, in seconds."""


class Activity:
    """Track one request at an endpoint, for the state of its workers. Times are monotonic seconds."""

    __slots__ = (
        "_machine", "began_at_s", "had_worker", "has_output", "is_over", "is_prompt", "is_surely_warm", "pause_s",
        "taken_at_s", "tenant", "was_warm",
    )  # fmt: skip

    def __init__(
        self,
        machine: "EndpointStateMachine",
        *,
        now_s: float,
        pause_s: float | None,
        was_warm: bool,
        is_surely_warm: bool = False,
        tenant: str = "",
    ) -> None:
        self._machine = machine
        self.tenant = tenant
        self.began_at_s = now_s
        self.pause_s = pause_s
        """Seconds for which the endpoint was idle when this request came; None if it was not idle, or if unknown."""
        self.was_warm = was_warm
        self.is_surely_warm = is_surely_warm
        """True if a worker was up when it came: one was seen at work just before, not only expected to stay up."""
        self.had_worker = False
        """True if a worker ran, by /health, so soon after the request that it needed no start."""
        self.taken_at_s: float | None = None
        self.is_prompt = False
        """True if it was taken at once, by a worker that is taken to be up."""
        self.has_output = False
        self.is_over = False

    def taken(self, now_s: float, *, at_s: float | None = None) -> None:
        """Record that a worker has the request: since `at_s` if Runpod reported it, otherwise by now at the latest."""
        at_s = max(self.began_at_s, now_s if at_s is None else min(now_s, at_s))
        if self.taken_at_s is None or at_s < self.taken_at_s:
            self.taken_at_s = at_s
            self._machine.note_taken(self)

    def output(self, now_s: float, *, is_first_token: bool = True) -> None:
        """Record the first output; `is_first_token` is False for a whole answer, whose duration shows no start."""
        if not self.has_output and not self.is_over:
            self._machine.learn(self, now_s, is_first_token=is_first_token)
            self._machine.jobs_in_flight.output(self, now_s)
            self.has_output = True
            if self.taken_at_s is None:
                self.taken_at_s = now_s

    def heard(self, now_s: float) -> None:
        """Record more output."""
        if self.has_output:
            self._machine.evidence_at_s = now_s

    def end(self, now_s: float, *, was_sent: bool = True, may_run: bool = False) -> None:
        """Record the end of the request, which Runpod never received if not `was_sent`.

        Its job `may_run`, until `jobs_in_flight.end`.
        """
        if not self.is_over:
            self.is_over = True
            self._machine.forget(self, now_s, was_sent=was_sent, may_run=may_run)


class EndpointStateMachine:
    """Track the state of one endpoint's workers."""

    def __init__(self, *, min_workers: int = 0) -> None:
        """Create it; `min_workers` is the number of workers that Runpod is configured to keep running."""
        self.min_workers = min_workers
        self.health: HealthReading | None = None
        """The last reading; None before the first one, and after it has become too old."""
        self.is_used_since_read = False
        """True if a request was sent since the last reading, even if it has ended."""
        self._read_at_s = float("-inf")
        self._start = StartTracker()
        self.evidence_at_s: float | None = None
        """Time of the last output of a worker; None before the first."""
        self.speaking = 0
        """Number of requests in flight that have produced output."""
        self._speaking_of: dict[str, int] = {}
        self._prompt = 0
        """Number of requests in flight for which `is_prompt` is True."""
        self._active: set[Activity] = set()
        self.jobs_in_flight = JobsInFlight()
        self._unanswered_at_s = float("-inf")
        """Time at which a request last ended without an answer: it may have woken a worker."""
        self._cold_at_s = float("-inf")
        """Time at which requests were last seen to wait while no worker ran."""
        self._lessons = ColdStartStats()

    @property
    def waiting(self) -> int:
        """Return the number of requests that wait for a worker's first output."""
        return sum(not each.has_output for each in self._active)

    @property
    def has_activity(self) -> bool:
        """Return True if any request is in flight."""
        return bool(self._active)

    def speaking_of(self, tenant: str) -> int:
        """Return the number of requests of this tenant that have produced output."""
        return self._speaking_of.get(tenant, 0)

    def begin(self, now_s: float, *, tenant: str = "") -> Activity:
        """Record that a request was sent to the endpoint."""
        pause_s = None
        if self.evidence_at_s is not None and not self._active and self._unanswered_at_s <= self.evidence_at_s:
            pause_s = now_s - self.evidence_at_s
        was_warm = self.is_warm(now_s)
        activity = Activity(
            self,
            now_s=now_s,
            pause_s=pause_s,
            was_warm=was_warm,
            is_surely_warm=was_warm and self._was_just_seen(now_s),
            tenant=tenant,
        )
        self._active.add(activity)
        self.jobs_in_flight.begin(activity, now_s)
        self.is_used_since_read = True
        return activity

    def _was_just_seen(self, now_s: float) -> bool:
        quiet_s = float("inf") if self.evidence_at_s is None else now_s - self.evidence_at_s
        return quiet_s <= (SILENT_S_MAX if self.speaking else self._lessons.sure_stay_s)

    def read(self, health: EndpointHealth, now_s: float, *, asked_at_s: float | None = None) -> None:
        """Record a reading of /health, requested at `asked_at_s`, and what it shows about the requests that wait."""
        asked_at_s = now_s if asked_at_s is None else asked_at_s
        reading = HealthReading(workers=health.workers, asked_at_s=asked_at_s, received_at_s=now_s)
        self.health, self._read_at_s, self.is_used_since_read = reading, now_s, False
        waiting = [each for each in self._active if not each.has_output]
        is_taken = any(each.taken_at_s is not None for each in waiting)
        is_waiting = bool(waiting) and not self.is_warm(now_s)
        self._start.on_health(reading.workers, now_s, is_taken=is_taken, is_waiting=is_waiting)
        for each in waiting:
            self._compare(each, reading)

    def _compare(self, activity: Activity, reading: HealthReading) -> None:
        """Record what a reading shows about a request without output.

        For relayed answers in one piece, only a reading shows a cold start: they may take long on a warm worker too.
        """
        if activity.is_prompt and self._is_worker_starting(activity):
            activity.is_prompt = False
            self._prompt -= 1
        if reading.found_worker(activity.began_at_s):
            activity.had_worker = True
        elif activity.taken_at_s is None and reading.found_no_worker(activity.began_at_s):
            self._cold_at_s = reading.received_at_s
            if activity.pause_s is not None and activity.pause_s > IDLE_PAUSE_S_MIN:
                # No worker survived this pause.
                self._lessons.lose(activity.pause_s)

    def _is_worker_starting(self, activity: Activity) -> bool:
        """Return True if the last reading shows that the worker that took a job is only starting."""
        if self.health is None or activity.taken_at_s is None:
            return False
        return self.health.is_start_after(activity.taken_at_s)

    def health_age_s(self, now_s: float) -> float:
        """Return the seconds since the last reading."""
        return now_s - self._read_at_s

    def is_warm(self, now_s: float) -> bool:
        """Return True if a worker serves requests, by the output seen so far."""
        if self.evidence_at_s is None or self.evidence_at_s < self._cold_at_s:
            return False
        quiet_s = now_s - self.evidence_at_s
        if self.speaking and quiet_s <= SILENT_S_MAX:
            return True
        return quiet_s <= self._lessons.stay_s or (self.min_workers > 0 and self._lessons.was_never_lost)

    def is_ready_for_burst(self, now_s: float) -> bool:
        """Return True if requests may be sent without waiting for a first one to wake the endpoint."""
        if self.min_workers or self._prompt or self.is_warm(now_s):
            return True
        if self.evidence_at_s is None or self.evidence_at_s < self._cold_at_s:
            return False
        return now_s - self.evidence_at_s <= self._lessons.expected_stay_s

    def has_running_workers(self, now_s: float) -> bool | None:
        """Return True if workers run, by /health; None if there is no reading of the last HEALTH_S_MAX."""
        reading = self._fresh_reading(now_s)
        return None if reading is None else reading.has_running

    def _fresh_reading(self, now_s: float) -> HealthReading | None:
        return self.health if self.health_age_s(now_s) <= HEALTH_S_MAX else None

    def state(self, now_s: float) -> EndpointState:
        """Return the state, from the requests in flight, or else from a usable reading of /health."""
        if self._prompt or self.is_warm(now_s):
            return EndpointState.WARM
        if any(each.taken_at_s is not None and not each.has_output for each in self._active):
            return EndpointState.LOADING
        reading = self._fresh_reading(now_s)
        return EndpointState.UNKNOWN if reading is None else state_by_health(reading.workers)

    def report(self, now_s: float) -> StartReport:
        """Return the report for clients that wait."""
        state = self.state(now_s)
        since_s: float | None = None
        if state in {EndpointState.LOADING, EndpointState.WAKING}:
            began_s = self._start.since_s(state)
            since_s = None if began_s is None else now_s - began_s
        elif state in {EndpointState.ASLEEP, EndpointState.UNKNOWN} and self._active:
            since_s = now_s - min(each.began_at_s for each in self._active)
        return StartReport(state=state, since_s=since_s, usual_s=self._lessons.usual_start_s())

    def note_taken(self, activity: Activity) -> None:
        """Treat a job that was taken at once as a sign that a worker is up.

        This does not apply to an endpoint that has never produced output, nor if /health, requested after that, shows
        that a worker is starting and none runs: with SDK 2.0 it may take a job before its model is loaded.
        """
        if not activity.has_output and activity.taken_at_s is not None:
            self._start.taken(activity.taken_at_s)
        if activity.is_prompt or self.evidence_at_s is None or self._lessons.loads_late:
            return
        if _is_promptly_taken(activity) and not self._is_worker_starting(activity):
            activity.is_prompt = True
            self._prompt += 1

    def learn(self, activity: Activity, now_s: float, *, is_first_token: bool) -> None:
        """Record the first output of a request as a sign of a worker, and learn from its wait."""
        waited_s, taken_at_s = now_s - activity.began_at_s, activity.taken_at_s
        is_first = self.evidence_at_s is None
        is_told = activity.is_prompt or is_first or self._lessons.loads_late
        queued_s = 0.0 if taken_at_s is None else taken_at_s - activity.began_at_s
        wait = Wait(waited_s=waited_s, queued_s=queued_s, is_first_token=is_first_token, tenant=activity.tenant)
        if is_first_token and is_told and taken_at_s is not None and _is_promptly_taken(activity):
            loading_s = now_s - taken_at_s
            self._lessons.learn_from_prompt(wait, loading_s=loading_s, pause_s=activity.pause_s, is_first=is_first)
        else:
            if not is_first_token:
                had_worker = taken_at_s is None and activity.had_worker
                self._lessons.learn_from_whole(waited_s, pause_s=activity.pause_s, had_worker=had_worker)
            self._lessons.learn_from_wait(wait, pause_s=activity.pause_s, was_warm=activity.was_warm)
        self._start.over()
        self.evidence_at_s = now_s
        self.speaking += 1
        self._speaking_of[activity.tenant] = self.speaking_of(activity.tenant) + 1

    def forget(self, activity: Activity, now_s: float, *, was_sent: bool, may_run: bool) -> None:
        """Remove a request that has ended."""
        self._active.discard(activity)
        if may_run:
            self.jobs_in_flight.leave(activity)
        else:
            self.jobs_in_flight.end(activity, now_s)
        self._prompt -= activity.is_prompt
        if activity.has_output:
            self.speaking -= 1
            self._speaking_of[activity.tenant] -= 1
        elif was_sent:
            self._unanswered_at_s = now_s


def _is_promptly_taken(activity: Activity) -> bool:
    return activity.taken_at_s is not None and activity.taken_at_s - activity.began_at_s <= PROMPTLY_TAKEN_S
