"""Track one job by its pages and statuses: return its outputs in order, each once, then the end.

The rules come from Runpod's own SDKs and from recordings of the service:

- Reading a page removes its outputs permanently, so a lost reply may have contained some. In that case no later output
  may be shown before the gap is filled. Only `/status` can fill it, once the job is over and if its worker aggregates.
- A page's outputs precede its status: the last page may carry both. A terminal page without outputs is the end.
- CANCELLED is terminal too (runpod-python omits it and polls forever). An unknown state is not terminal.
- Only `/status` has the reason of a failure, and the output of a handler that does not stream.
- A job that returns to IN_QUEUE after it produced output is dispatched again, and would repeat its answer.
"""

from enum import Enum, auto

import msgspec
from msgspec import Raw

from gateway.errors import JobExpiredError, JobFailedError, OutputLostError, UpstreamError
from gateway.translate.worker_errors import is_from_handler, job_error
from gateway.wire.items import ITEMS_MAX, TooManyItemsError, decode_items
from gateway.wire.malformed import MALFORMED
from gateway.wire.runpod import JobState, JobStatus, StreamPage

TOO_MANY_OUTPUTS = (
    f"The worker's answer has more than {ITEMS_MAX} parts at once. Change its handler to yield larger parts."
)
TERMINAL_PAGES_MAX = 1000
"""Maximum number of pages with outputs read after the job ended; any further outputs are read from /status."""


_WORKED = frozenset({JobState.IN_PROGRESS, JobState.RUNNING, JobState.COMPLETED, JobState.FAILED})
"""States that require a worker. A job may be cancelled, or time out, while still in the queue."""


class Next(Enum):
    """Represent the call that the driver has to make next."""

    READ_PAGE = auto()
    READ_STATUS = auto()
    NOTHING = auto()


class _Phase(Enum):
    STREAMING = auto()
    """Pages deliver outputs."""
    ENDING = auto()
    """A terminal page carried outputs; more may follow."""
    RECONCILING = auto()
    """A page was lost: wait for the end of the job, then read all outputs from /status."""
    CLOSING = auto()
    """The job is over: /status has the reason of its failure, or the output that no page delivered."""
    OVER = auto()


class JobStream:
    """Implement the state machine of one job. `page` and `status` return the new outputs."""

    def __init__(self) -> None:
        self.has_started = False
        """True if a worker took the job."""
        self.is_terminal = False
        """True if Runpod reported the end of the job; until then it costs money."""
        self.delay_s: float | None = None
        self.execution_s: float | None = None
        self.failed_in_handler = False
        """True if the job's handler itself reported the failure, which means that a worker ran the job."""
        self._phase = _Phase.STREAMING
        self._outputs_read = 0
        self._ending_pages = 0
        self.is_reconciled = False
        """True if /status was or will be read for all outputs: reading it again would return the same outputs."""

    @property
    def has_output(self) -> bool:
        """Return True if any output was read."""
        return self._outputs_read > 0

    @property
    def next(self) -> Next:
        """Return the next call to make to Runpod."""
        match self._phase:
            case _Phase.STREAMING | _Phase.ENDING:
                return Next.READ_PAGE
            case _Phase.RECONCILING | _Phase.CLOSING:
                return Next.READ_STATUS
            case _Phase.OVER:
                return Next.NOTHING

    def page(self, page: StreamPage) -> list[Raw]:
        """Process a page and return its outputs.

        Raises:
            UpstreamError: The job was dispatched again after it had produced output.
        """
        outputs, state = page.outputs, page.state
        self._note_state(state, has_outputs=bool(outputs))
        self._outputs_read += len(outputs)
        if state.is_terminal:
            self._ending_pages += 1
            self._phase = self._after_terminal_page(state, is_empty=not outputs)
        elif not outputs and not page.status:
            # The older, bare page carries no status, so /status has to tell whether this is the end.
            self._phase = _Phase.CLOSING
        return outputs

    def _after_terminal_page(self, state: JobState, *, is_empty: bool) -> _Phase:
        if not is_empty:
            return _Phase.ENDING if self._ending_pages < TERMINAL_PAGES_MAX else _Phase.RECONCILING
        if state is JobState.COMPLETED and self._outputs_read:
            return _Phase.OVER
        return _Phase.CLOSING

    def lost(self) -> None:
        """Record that the reply to a page request was lost after the request was sent, possibly with outputs."""
        if self._phase in {_Phase.STREAMING, _Phase.ENDING}:
            self._phase = _Phase.RECONCILING

    def reconcile(self) -> None:
        """Request one read of /status for more outputs.

        The caller found that the job completed, but its outputs are not a complete answer.
        """
        if not self.is_reconciled:
            self.is_reconciled = True
            self._phase = _Phase.RECONCILING

    def status(self, status: JobStatus) -> list[Raw]:
        """Process a status and return the outputs that no page delivered.

        Raises:
            UpstreamError: The job failed, or its output is unavailable.
        """
        state = status.state
        self._note_state(state, has_outputs=False)
        self.note_costs(status)
        if not state.is_terminal:
            if self._phase is _Phase.CLOSING or state is JobState.IN_QUEUE:
                # Either this was not the end, or the job still waits and has produced no output that could be lost.
                self._phase = _Phase.STREAMING
            return []
        has_gap, self._phase = self._phase is _Phase.RECONCILING, _Phase.OVER
        if state is not JobState.COMPLETED:
            text = _error_text(status.error)
            self.failed_in_handler = state is JobState.FAILED and text is not None and is_from_handler(text)
            raise _failure(state, text)
        outputs = self._rest(status, has_gap=has_gap)
        self.is_reconciled = True
        return outputs

    def expired(self) -> UpstreamError:
        """Record that Runpod no longer knows the job (404), and return the error to raise."""
        self._phase, self.is_terminal = _Phase.OVER, True
        return JobExpiredError()

    def _note_state(self, state: JobState, *, has_outputs: bool) -> None:
        if state is JobState.IN_QUEUE and self._outputs_read and not has_outputs:
            self._phase = _Phase.OVER
            raise OutputLostError("The worker was lost during its answer, and the job was restarted.")
        if has_outputs or state in _WORKED:
            self.has_started = True
        self.is_terminal |= state.is_terminal

    def note_costs(self, status: JobStatus) -> None:
        """Record the times of a status.

        The status may have been read only for this purpose, after the answer was complete.
        """
        if status.delay_s is not None:
            self.delay_s = status.delay_s
        if status.execution_s is not None:
            self.execution_s = status.execution_s
        self.is_terminal |= status.state.is_terminal

    def _rest(self, status: JobStatus, *, has_gap: bool) -> list[Raw]:
        """Return the outputs that no page delivered: the k-th element of the list is the k-th yield."""
        output = bytes(status.output)
        if output.startswith(b"[") and output != b"[]":
            try:
                return decode_items(output)[self._outputs_read :]
            except TooManyItemsError:
                raise OutputLostError(TOO_MANY_OUTPUTS) from None
            except MALFORMED:
                raise OutputLostError("The job's output is not JSON.") from None
        if has_gap and self._outputs_read:
            raise OutputLostError("Part of the worker's answer was lost in transit, and the worker keeps no copy.")
        if self._outputs_read:
            return []
        if output in {b"", b"null", b"[]"}:
            raise OutputLostError("The job completed without output: the worker's result was too large or lost.")
        return [status.output]


def _failure(state: JobState, text: str | None) -> UpstreamError:
    match state:
        case JobState.CANCELLED:
            return JobFailedError("The job was cancelled at Runpod.")
        case JobState.TIMED_OUT:
            return JobFailedError("The job timed out at Runpod.")
        case _:
            return job_error(text)


def _error_text(error: Raw) -> str | None:
    """Return the error as text. Runpod documents a string; any other JSON value is returned as its source text."""
    raw = bytes(error)
    if raw in {b"", b"null"}:
        return None
    try:
        return msgspec.json.decode(raw, type=str)
    except MALFORMED:
        return raw.decode(errors="replace")
