"""Track when a worker has a job: for the state of the endpoint's workers, and for the job's GPU time. Pure."""

from gateway.clock import Clock
from gateway.endpoints.gpu_time import AttemptTime
from gateway.endpoints.upstream import Upstream
from gateway.endpoints.worker_state import Activity

START_DOUBT_S = 0.25
"""Maximum uncertainty of a worker's start, in seconds, without asking Runpod."""
START_REPLY_S_MAX = 2.0
"""Maximum seconds for Runpod's answer when a worker started: the first output waits for it."""


class JobTimes:
    """Track one job that Runpod has accepted. Times are monotonic seconds."""

    def __init__(self, upstream: Upstream, activity: Activity, time: AttemptTime, clock: Clock) -> None:
        self._upstream = upstream
        self.activity = activity
        self._time = time
        self._clock = clock
        self.accepted_at_s = self._not_queued_since_s = clock.monotonic_s()
        self.is_timed = False
        """True if the GPU clock knows when a worker started with it."""

    def note_state(self, *, has_started: bool) -> bool:
        """Record whether a worker has it now; return True if polls leave open when one took it.

        Then `started` has to be called, with the delay that Runpod reports.
        """
        if self.is_timed:
            return False
        now_s = self._clock.monotonic_s()
        if not has_started:
            self._not_queued_since_s = now_s
            self._time.queued()
            return False
        self.is_timed = True
        # Recorded first, because its client may leave while Runpod is asked.
        self._upstream.taken(self.activity)
        if self.activity.is_surely_warm or now_s - self._not_queued_since_s <= START_DOUBT_S:
            self._time.started()
            return False
        return True

    def started(self, delay_s: float | None) -> None:
        """Record that it waited `delay_s` seconds for its worker; None if not known.

        A worker took it after it was last seen to wait: Runpod counts the delay again for a job that it restarts.
        """
        began_at_s = None
        if delay_s is not None:
            began_at_s = max(self._not_queued_since_s, self.accepted_at_s + delay_s)
            began_at_s = min(began_at_s, self._clock.monotonic_s())
        self._upstream.taken(self.activity, at_s=began_at_s)
        self._time.started(began_at_s)

    def answered(self, *, is_first_token: bool) -> None:
        """Record output of its worker."""
        self._upstream.output(self.activity, is_first_token=is_first_token)

    def report(self, execution_s: float | None) -> None:
        """Keep the time for which it ran, as Runpod reported it."""
        self._time.execution_s = execution_s

    def end(self, *, has_started: bool, has_ended: bool, is_answered: bool, execution_s: float | None) -> None:
        """Record that its client has its answer or has left; unless it has ended, its GPU time runs on."""
        self.activity.end(self._clock.monotonic_s(), may_run=not has_ended)
        if is_answered or has_ended:
            if has_started:
                # This changes nothing, unless its client left while Runpod was asked for its start.
                self._time.started()
            self._time.ended(after_s=execution_s)
