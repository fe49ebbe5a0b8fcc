"""Read the times of an answered job, which Runpod reports only when the job has ended. Pure."""

from gateway.domain import Operation
from gateway.endpoints.actions import Pause
from gateway.errors import GatewayError
from gateway.fairshare.memory_shares import MemoryReservation
from gateway.jobs.job import Job
from gateway.jobs.job_call import JobCall
from gateway.jobs.job_operation import JobOperation
from gateway.upstream.job_api import counted, status_of, status_request
from gateway.wire.runpod import JobStatus

PAUSES_S = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
"""Pauses before each request whether the job has ended; after the last one it is cancelled."""
TURN_S_MAX = 1.0
TOTAL_S_MAX = 10.0
"""Maximum seconds for all requests together."""


class CostReader(JobOperation[JobStatus]):
    """Ask for the status of a job until it has ended. Best effort, and bounded: no event raises an error."""

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job
        self._until_s = job.clock.monotonic_s() + TOTAL_S_MAX
        self._pauses = iter(PAUSES_S)
        self._place = MemoryReservation(job.upstream.answers, "")

    def begin(self) -> None:
        """Ask for the first time."""
        self._pause()

    def is_due(self, now_s: float) -> bool:
        """Return True if the time for all requests, or a wait for a budget, is over."""
        return now_s >= self._until_s or super().is_due(now_s)

    def due(self) -> None:
        """Process the end of a timeout."""
        if self._job.clock.monotonic_s() >= self._until_s:
            self.stop()
        else:
            super().due()

    def resumed(self) -> None:
        """Ask after a pause."""
        job_id = self._job.known_id
        self.call = JobCall(
            self._job.upstream,
            Operation.STATUS,
            request=lambda: status_request(job_id),
            decode=status_of,
            # Only the times are needed, and the outputs are dropped.
            hold=counted(self._place),
        )
        self.step(lambda call: call.begin(self._job.tenant, wait_s_max=TURN_S_MAX))

    def called(self, result: JobStatus) -> None:
        """Keep the times; ask again later if the job has not ended."""
        self._place.leave()
        self._job.stream.note_costs(result)
        if not self._job.stream.is_terminal:
            self._pause()

    def not_called(self, error: GatewayError) -> None:  # noqa: ARG002 - the job is left to the canceller.
        """Give up."""
        self.stop()

    def stop(self) -> None:
        """Give up."""
        super().stop()
        self._place.leave()

    def _pause(self) -> None:
        pause_s = next(self._pauses, None)
        self.action = None if pause_s is None else Pause(self._job.clock.monotonic_s() + pause_s)
