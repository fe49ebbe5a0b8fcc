"""Submit a job to Runpod, once. Pure."""

from gateway.domain import Operation
from gateway.errors import GatewayError, UnreachableError
from gateway.jobs.abandonment import abandon_submission
from gateway.jobs.job import Job
from gateway.jobs.job_call import JobCall
from gateway.jobs.job_operation import JobOperation
from gateway.jobs.job_policy import job_policy
from gateway.upstream.job_api import accepted_id, hold_little, run_request
from gateway.wire.openai import Parts

REPLY_S_MAX = 45.0
"""Maximum seconds until Runpod's reply to a submission."""


class JobSubmission(JobOperation[str]):
    """Submit one job. It may fail without being known whether Runpod accepted the job: then the job's ttl ends it."""

    def __init__(
        self, job: Job, job_input: Parts, *, client_s: float | None, is_urgent: bool, traceparent: str | None
    ) -> None:
        """Create it; the job's client waits for `client_s` more seconds, or without a known end."""
        super().__init__()
        self._job = job
        self._policy = policy = job_policy(job.endpoint, client_s=client_s)
        self._is_urgent = is_urgent
        self._reply_until_s = float("inf")
        self.call = JobCall(
            job.upstream,
            Operation.RUN,
            request=lambda: run_request(job_input, policy=policy, traceparent=traceparent),
            decode=accepted_id,
            hold=hold_little,
            # If it was interrupted, the job would run and could not be cancelled.
            is_shielded=True,
        )

    @property
    def is_sent(self) -> bool:
        """Return True while it is sent, and Runpod has not replied."""
        return self.call is not None and self.call.is_sent

    def begin(self) -> None:
        """Request the budget of the submission."""
        job = self._job
        self.step(
            lambda call: call.begin(job.tenant, wait_s_max=job.endpoint.queue_timeout_s, is_urgent=self._is_urgent)
        )
        self._note_sent()

    def wait_ended(self) -> None:
        """Send the submission whose budget was granted."""
        super().wait_ended()
        self._note_sent()

    def _note_sent(self) -> None:
        if self.is_sent:
            self._reply_until_s = self._job.clock.monotonic_s() + REPLY_S_MAX

    def is_due(self, now_s: float) -> bool:
        """Return True if the wait for the budget is over, or the reply is late."""
        return super().is_due(now_s) or now_s >= self._reply_until_s

    def due(self) -> None:
        """Process the end of a timeout."""
        if not self.is_sent:
            super().due()
        elif self._job.clock.monotonic_s() >= self._reply_until_s:
            self.failed(UnreachableError("no reply to a submission", was_sent=True))

    def called(self, result: str) -> None:
        """Record that Runpod accepted the job."""
        self._job.accepted(result, ttl_s=self._ttl_s)

    def not_called(self, error: GatewayError) -> None:
        """Keep the seat of a job that Runpod may have accepted."""
        if isinstance(error, UnreachableError) and error.was_sent:
            self._abandon()
        raise error

    def stop(self) -> None:
        """Give up; the seat of a job that Runpod may have accepted is kept."""
        is_sent = self.is_sent
        super().stop()
        if is_sent:
            self._abandon()

    def _abandon(self) -> None:
        job = self._job
        abandon_submission(job.upstream, job.cost.attempt, job.seat.keep(), ttl_s=self._ttl_s)

    @property
    def _ttl_s(self) -> float:
        return (self._policy.ttl or 0) / 1000
