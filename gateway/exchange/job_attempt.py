"""Serve one request by a job: submit it, pass its worker's output on, and read its cost at the end. Pure."""

from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum, auto
from functools import partial

from msgspec import Raw

from gateway.errors import GatewayError, JobExpiredError, JobFailedError, OutputLostError
from gateway.events import JobEnded
from gateway.exchange.actions import AskJournal, Finish, Write
from gateway.exchange.answer import Answer
from gateway.exchange.attempt import Attempt
from gateway.exchange.record import Record
from gateway.exchange.resolved_request import Services
from gateway.jobs.cost_reader import CostReader
from gateway.jobs.job import Job
from gateway.jobs.job_poller import JobPoller
from gateway.jobs.job_submission import JobSubmission
from gateway.translate.dialects.contract import Delta, Dialect
from gateway.translate.job_stream import Next

PART_BYTES = 16 * 1024
"""Bytes of a page that are processed before other tasks run: about a millisecond of work. A page holds everything that
was yielded since the last one: if a client reads slowly, that is megabytes, which would block all others for a second.
"""
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}".encode()


class _Phase(IntEnum):
    SUBMITTING = auto()
    READING = auto()
    PASSING_ON = auto()
    """A page is passed on part by part."""
    ENDING = auto()
    """The client is sent what the end of the output completed."""
    FINISHING = auto()
    """The client is sent the end of its answer."""
    ASKING_JOURNAL = auto()
    """The job failed, and the journal is asked whether another process cancelled it."""
    ANSWERED = auto()
    SETTLING = auto()
    """The client has its answer; the cost of the job is read."""
    CLOSED = auto()


_AT_WORK = frozenset({_Phase.SUBMITTING, _Phase.READING, _Phase.SETTLING})
"""Phases in which an operation on the job is in progress."""


class JobAttempt(Attempt):
    """Serve one request by a job."""

    def __init__(
        self,
        job: Job,
        dialect: Dialect,
        answer: Answer,
        record: Record,
        services: Services,
        submission: JobSubmission,
    ) -> None:
        super().__init__()
        self._job = job
        self._jobs = services.jobs
        self._services = services
        self._dialect = dialect
        self._answer = answer
        self._record = record
        self._phase = _Phase.SUBMITTING
        self._parts: Iterator[tuple[list[Raw], int]] = iter(())
        self._submission = submission
        self._poller = JobPoller(job, answer.memory)
        self._work: JobSubmission | JobPoller | CostReader = submission
        """Operation in progress, or the last one."""
        self._failure: GatewayError | None = None

    @property
    def is_uninterruptible(self) -> bool:
        """Return True while Runpod has not replied to the submission: without its id the job cannot be cancelled."""
        return isinstance(self._work, JobSubmission) and self._work.is_sent

    def is_due(self, now_s: float) -> bool:
        """Return True if a wait for a budget is over, or the reply to the submission is late."""
        return self._work.is_due(now_s)

    def start(self) -> None:
        """Submit the job."""
        self._guard(self._submission.begin)

    def wait_ended(self) -> None:
        """Send the call whose budget was granted."""
        self._guard(self._work.wait_ended)

    def head(self, status: int, retry_after_s: float | None) -> None:
        """Process the head of a reply."""
        self._work.head(status, retry_after_s)

    def piece(self, data: bytes) -> bytes:
        """Process a piece of a reply; nothing is passed on before the reply is complete."""
        self._guard(partial(self._work.piece, data))
        return b""

    def ended(self) -> None:
        """Process the end of a reply."""
        self._guard(self._work.ended)

    def failed(self, error: GatewayError) -> None:
        """Process a failure of the connection."""
        self._guard(partial(self._work.failed, error))

    def resumed(self) -> None:
        """Go on after a pause."""
        self._guard(self._work.resumed)

    def due(self) -> None:
        """Process the end of a timeout."""
        self._guard(self._work.due)

    def written(self) -> None:
        """Go on with the page, or complete the attempt."""
        if self._phase is _Phase.PASSING_ON:
            self._guard(self._pass_on)
        elif self._phase is _Phase.ENDING:
            self._finish()
        elif self._phase is _Phase.FINISHING:
            self._phase, self.action = _Phase.ANSWERED, None
            self._job.is_answered = self.is_done = True
            self._job.cost.complete()

    def journal_answered(self, *, was_taken: bool) -> None:
        """Fail, with what the journal knows about the job."""
        failure, self._failure = self._failure, None
        if was_taken or failure is None:
            raise self._jobs.taken_error(self._job)
        raise failure

    def close(self, error: GatewayError | None) -> None:  # noqa: ARG002 - calls have reported their own errors.
        """End the job, or leave it to the canceller."""
        if not self.is_done:
            self._phase, self.action = _Phase.CLOSED, None
            self._note_times()
        self._parts, self._failure = iter(()), None
        self._work.stop()
        self._jobs.end(self._job)

    def settle(self) -> None:
        """Read the cost of the answered job. The client has its answer, and may disconnect."""
        job = self._job
        self._phase = _Phase.SETTLING
        if job.stream.execution_s is None:
            costs = self._work = CostReader(job)
            costs.begin()
        self._advance()

    def stop_settling(self) -> None:
        """Leave the job to the canceller, unless it has ended."""
        self._work.stop()
        self._advance()

    def _guard(self, step: Callable[[], None]) -> None:
        """Make a step, and go on; a job that failed may have been cancelled by another process."""
        try:
            step()
            self._advance()
        except (JobFailedError, JobExpiredError) as error:
            if not self._jobs.has_store:
                raise
            self._failure = error
            self._phase, self.action = _Phase.ASKING_JOURNAL, AskJournal(self._job)

    def _advance(self) -> None:
        """Take over the action of the current operation; go on if it is complete."""
        if self._phase in _AT_WORK:
            self.action = self._work.action
            if self.action is None:
                self._operation_ended()

    def _operation_ended(self) -> None:
        match self._phase:
            case _Phase.SUBMITTING:
                self._jobs.accepted(self._job)
                self._record.job_id, self._record.accepted_at_s = self._job.id, self._record.elapsed_s()
                self._work = self._poller
                self._read()
            case _Phase.READING:
                self._phase, self._parts = _Phase.PASSING_ON, parts(self._poller.take_outputs())
                self._pass_on()
            case _:
                self._phase = _Phase.CLOSED
                self._jobs.leave(self._job)
                self._note_times()

    def _read(self) -> None:
        """Poll the job, or end the answer."""
        if self._job.stream.next is Next.NOTHING or self._dialect.is_over:
            self._end_reading()
            return
        self._phase = _Phase.READING
        self._poller.read()
        self._advance()

    def _pass_on(self) -> None:
        """Pass on the next part of a page. Each of its outputs keeps the whole page in memory until it is passed on."""
        for part, size in self._parts:
            deltas: list[Delta] = []
            for output in part:
                self._record.replacement_characters += bytes(output).count(_REPLACEMENT)
                deltas.extend(self._dialect.read(output))
            self._answer.memory.took(size, is_understood=bool(deltas))
            frames = self._answer.take(deltas)
            if frames or size >= PART_BYTES:
                self.action = Write(frames)
                return
        self._job.has_text |= self._answer.has_text
        self._read()

    def _end_reading(self) -> None:
        """Finish the answer.

        Raises:
            OutputLostError: The job completed, and its answer is not marked as complete.
        """
        dialect, answer, stream = self._dialect, self._answer, self._job.stream
        if dialect.is_over or answer.is_whole or not dialect.marks_end:
            last = answer.take(dialect.end())
            self._phase = _Phase.ENDING
            if last:
                self.action = Write(last)
            else:
                self._finish()
        elif stream.is_reconciled:
            raise OutputLostError("The worker's answer is incomplete.")
        else:
            stream.reconcile()
            self._read()

    def _finish(self) -> None:
        self._phase, self.action = _Phase.FINISHING, Finish(self._answer.finish())

    def _note_times(self) -> None:
        """Report the times of the job for the endpoint that ran it: another one may still serve the request."""
        job = self._job
        job.note_times()
        ended = JobEnded(attempt=job.cost.attempt, execution_s=job.stream.execution_s, delay_s=job.stream.delay_s)
        self._services.observe(ended)


def parts(outputs: Sequence[Raw]) -> Iterator[tuple[list[Raw], int]]:
    """Yield the outputs of a page in parts, which end as soon as they reach PART_BYTES, with their sizes in bytes."""
    part: list[Raw] = []
    size = 0
    for output in outputs:
        part.append(output)
        size += len(bytes(output))
        if size >= PART_BYTES:
            yield part, size
            part, size = [], 0
    if part:
        yield part, size
