"""Poll one job for its worker's output. Pure."""

from collections.abc import Callable
from enum import Enum, auto

from msgspec import Raw

from gateway.domain import EndpointState, Operation
from gateway.endpoints.actions import Pause
from gateway.errors import (
    GatewayError,
    JobExpiredError,
    UnreachableError,
    UpstreamBusyError,
    UpstreamError,
    UpstreamTimeoutError,
)
from gateway.fairshare.memory_shares import MemoryReservation
from gateway.jobs.answer_memory import AnswerMemory
from gateway.jobs.job import Job
from gateway.jobs.job_call import JobCall
from gateway.jobs.job_operation import JobOperation
from gateway.jobs.job_policy import retry_pause_s
from gateway.jobs.job_times import START_DOUBT_S, START_REPLY_S_MAX
from gateway.translate.job_stream import Next
from gateway.upstream.job_api import CALL_TIMEOUT_S, counted, page_of, page_request, status_of, status_request
from gateway.upstream.reply import Hold
from gateway.wire.runpod import JobStatus, StreamPage

POLL_WAIT_S = 10.0
"""Seconds that a poll is held open: the service's own long poll; longer ones approach the 100 s limit of its edge."""
POLL_WAIT_S_MIN = 1.0
"""Shortest poll that the service accepts, used before a worker starts and while other polls wait for the budget."""
FAILED_CALLS_MAX = 5
"""Maximum number of consecutive failed calls, as in the Runpod SDK."""
STATUS_PAUSE_S = 0.5
HASTY_PAGE_S = 0.2
"""An empty page that returns in less than these seconds was not held open: pause, to save the budget that all share."""


class _Purpose(Enum):
    """Name what a call is made for."""

    PAGE = auto()
    STATUS = auto()
    """Outputs that no page delivered, or the reason of a failure."""
    START = auto()
    """The time at which a worker started with the job."""


class JobPoller(JobOperation[StreamPage | JobStatus]):
    """Read the outputs of a job, one poll at a time."""

    def __init__(self, job: Job, memory: AnswerMemory) -> None:
        """Create it; `memory` counts the replies until their outputs are passed on."""
        super().__init__()
        self._job = job
        self._memory = memory
        self._start_place = MemoryReservation(job.upstream.answers, "")
        self._outputs: list[Raw] = []
        self._failed_calls = 0
        self._purpose = _Purpose.PAGE
        self._was_page = True
        self._asked_at_s = 0.0
        self._is_start_reported = False

    def take_outputs(self) -> list[Raw]:
        """Return the outputs of the last `read`, once."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def read(self) -> None:
        """Poll Runpod once. The caller must have passed on the outputs before."""
        self._memory.reply(0)
        job = self._job
        self._asked_at_s = now_s = job.clock.monotonic_s()
        remaining_s = self._remaining_s(now_s)
        if job.stream.next is Next.READ_PAGE:
            self._begin(_Purpose.PAGE, self._page_call(now_s, remaining_s), remaining_s, is_urgent=not job.has_text)
        else:
            self._begin(_Purpose.STATUS, self._status_call(self._memory.reply), remaining_s)

    def _page_call(self, now_s: float, remaining_s: float) -> JobCall[StreamPage | JobStatus]:
        job = self._job
        # Short until a worker has it, because its GPU time counts from then.
        is_short = job.upstream.gates.call(Operation.STREAM).has_line or not job.stream.has_started
        wait_s = max(POLL_WAIT_S_MIN, min(POLL_WAIT_S_MIN if is_short else POLL_WAIT_S, remaining_s))
        # Before the first output, a page may show that a worker has the job, which extends its time.
        until_s = now_s + remaining_s + (0.0 if job.stream.has_output else POLL_WAIT_S)
        job_id, clock = job.known_id, job.clock
        return JobCall(
            job.upstream,
            Operation.STREAM,
            request=lambda: page_request(job_id, wait_s=wait_s, timeout_s=until_s - clock.monotonic_s()),
            decode=page_of,
            hold=self._memory.reply,
        )

    def _status_call(self, hold: Hold, *, timeout_s: float = CALL_TIMEOUT_S) -> JobCall[StreamPage | JobStatus]:
        job_id = self._job.known_id
        return JobCall(
            self._job.upstream,
            Operation.STATUS,
            request=lambda: status_request(job_id, timeout_s=timeout_s),
            decode=status_of,
            hold=hold,
        )

    def _begin(
        self,
        purpose: _Purpose,
        call: JobCall[StreamPage | JobStatus],
        wait_s_max: float,
        *,
        is_urgent: bool = False,
    ) -> None:
        self._purpose, self.call = purpose, call
        self.step(lambda call: call.begin(self._job.tenant, wait_s_max=wait_s_max, is_urgent=is_urgent))

    def stop(self) -> None:
        """Give up."""
        super().stop()
        self._start_place.leave()

    def called(self, result: StreamPage | JobStatus) -> None:
        """Process a page, or a status."""
        stream = self._job.stream
        if isinstance(result, StreamPage):
            self._read(lambda: stream.page(result))
            self._memory.reply_outputs(len(self._outputs))
            self._note_start()
        elif self._purpose is _Purpose.STATUS:
            self._read(lambda: stream.status(result))
            self._note_start()
        else:
            stream.delay_s = result.delay_s
            self._start_known()

    def not_called(self, error: GatewayError) -> None:
        """Pause after a temporary failure, and record that a page may be lost; raise the error after too many."""
        job = self._job
        if self._purpose is _Purpose.START:
            self._start_known()
            return
        if isinstance(error, JobExpiredError):
            raise job.stream.expired() from None
        if not isinstance(error, UpstreamBusyError | UnreachableError):
            raise error
        self._failed_calls += 1
        if self._failed_calls > FAILED_CALLS_MAX:
            raise error
        retry_after_s = None if isinstance(error, UnreachableError) else error.retry_after_s
        if isinstance(error, UnreachableError) and self._purpose is _Purpose.PAGE and error.was_sent:
            job.stream.lost()
        pause_s = retry_pause_s(self._failed_calls, retry_after_s, spread_by=job.known_id)
        now_s = job.clock.monotonic_s()
        self.action = Pause(now_s + min(pause_s, self._remaining_s(now_s)))

    def _read(self, read: Callable[[], list[Raw]]) -> None:
        try:
            self._outputs = read()
        except UpstreamError:
            if self._job.stream.failed_in_handler:
                # A worker ran it, because its handler reported the failure.
                self._job.note_output(is_first_token=False)
            raise
        self._failed_calls = 0

    def _note_start(self) -> None:
        """Record the start of a worker; if polls leave it unclear, by the delay that Runpod reports."""
        self._was_page = self._purpose is _Purpose.PAGE
        times, stream = self._job.times, self._job.stream
        if times is not None and times.note_state(has_started=stream.has_started):
            if stream.delay_s is None:
                call = self._status_call(counted(self._start_place), timeout_s=START_REPLY_S_MAX)
                self._begin(_Purpose.START, call, START_DOUBT_S)
                return
            times.started(stream.delay_s)
        self._end_read()

    def _start_known(self) -> None:
        """Go on with the delay that Runpod reported, if it did."""
        self._start_place.leave()
        if self._job.times is not None:
            self._job.times.started(self._job.stream.delay_s)
        self._end_read()

    def _end_read(self) -> None:
        """Complete a read, after a pause if the reply was empty and came too early."""
        job, stream, outputs = self._job, self._job.stream, self._outputs
        if job.times is not None and job.times.is_timed and not self._is_start_reported:
            self._is_start_reported = True
            job.on_start(job)
        if stream.has_output and (outputs or stream.is_terminal):
            job.note_output(is_first_token=job.is_stream)
        now_s = job.clock.monotonic_s()
        is_hasty = now_s - self._asked_at_s < HASTY_PAGE_S
        if not outputs and is_hasty and not stream.is_terminal and stream.next is not Next.NOTHING:
            self.action = Pause(now_s + (HASTY_PAGE_S if self._was_page else STATUS_PAUSE_S))

    def _remaining_s(self, now_s: float) -> float:
        """Return the remaining seconds of the current timeout: for the first output, or for the execution.

        Raises:
            NoWorkerError: No worker took the job in time.
            UpstreamTimeoutError: A worker did, and has not finished in time.
        """
        job, endpoint, stream = self._job, self._job.endpoint, self._job.stream
        # An answer in one piece shows nothing until it is complete: a worker that has it may use its whole time.
        is_at_work = stream.has_output or (stream.has_started and not job.is_stream)
        started_at_s = job.started_at_s if is_at_work else None
        if started_at_s is not None:
            remaining_s = started_at_s + endpoint.execution_timeout_s - now_s
        else:
            remaining_s = job.accepted_at_s + endpoint.cold_start_timeout_s - now_s
        if remaining_s > 0:
            return remaining_s
        if started_at_s is not None:
            is_loading = job.upstream.workers.state(now_s) is EndpointState.LOADING
            raise UpstreamTimeoutError(ran_s=now_s - started_at_s, is_loading=is_loading)
        stream.delay_s = now_s - job.accepted_at_s
        raise job.upstream.no_worker(endpoint.cold_start_timeout_s)
