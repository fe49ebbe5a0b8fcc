"""Represent one job of this process, from its submission until it has ended or was left to the canceller."""

from collections.abc import Callable

from gateway.admission.ref_counted_hold import Release
from gateway.admission.seat import Seat
from gateway.clock import Clock
from gateway.domain import Tenant
from gateway.endpoints.gpu_time import AttemptCost
from gateway.endpoints.upstream import Upstream
from gateway.jobs.job_times import JobTimes
from gateway.translate.job_stream import JobStream


class Job:
    """Hold what is known about one job. `stream` is its state."""

    def __init__(
        self, upstream: Upstream, *, tenant: Tenant, seat: Seat, is_stream: bool, cost: AttemptCost, clock: Clock
    ) -> None:
        self.id: str | None = None
        """Runpod's id; None until it is accepted."""
        self.upstream = upstream
        self.tenant = tenant
        self.seat = seat
        self.kept: Release | None = None
        """Releases what it kept of its seat when its request ended."""
        self.is_stream = is_stream
        self.cost = cost
        self.clock = clock
        # Its timeouts stay those of its submission.
        self.endpoint = upstream.endpoint
        self.stream = JobStream()
        self.times: JobTimes | None = None
        """None until it is accepted."""
        self.expires_at_s = 0.0
        """Time at which its ttl ends it, in monotonic seconds."""
        self.has_text = False
        """True if its client has received text: until then it is polled before others."""
        self.is_answered = False
        """True if its client has the whole answer, so that only its cost is still unknown."""
        self.on_start: Callable[[Job], None] = lambda _job: None
        """Called with it when a worker is seen to have it."""

    @property
    def started_at_s(self) -> float | None:
        """Return the time at which a worker was seen to have it, in monotonic seconds; None if it was not."""
        return None if self.times is None else self.times.activity.taken_at_s

    @property
    def accepted_at_s(self) -> float:
        """Return the time at which Runpod accepted it, in monotonic seconds; 0 if it did not."""
        return 0.0 if self.times is None else self.times.accepted_at_s

    @property
    def known_id(self) -> str:
        """Return its id, which it has from its acceptance on."""
        assert self.id is not None  # noqa: S101 - a job is read only after it was accepted.
        return self.id

    def accepted(self, job_id: str, *, ttl_s: float) -> None:
        """Record that Runpod accepted it, and gave it an id."""
        self.id = job_id
        activity = self.upstream.begin(self.tenant)
        time = self.cost.open(self.upstream.gpu, job_id=job_id)
        self.times = JobTimes(self.upstream, activity, time, self.clock)
        self.expires_at_s = self.times.accepted_at_s + ttl_s

    def note_output(self, *, is_first_token: bool) -> None:
        """Record output of its worker."""
        if self.times is not None:
            self.times.answered(is_first_token=is_first_token)

    def note_times(self) -> None:
        """Keep the times that Runpod reported, in the account of the attempt."""
        self.cost.delay_s = self.stream.delay_s
        if self.times is not None:
            self.times.report(self.stream.execution_s)

    def end(self) -> None:
        """Record that its client has its answer or has left; unless it has ended, its GPU time runs on."""
        self.note_times()
        if self.times is not None:
            self.times.end(
                has_started=self.stream.has_started,
                has_ended=self.stream.is_terminal,
                is_answered=self.is_answered,
                execution_s=self.stream.execution_s,
            )
