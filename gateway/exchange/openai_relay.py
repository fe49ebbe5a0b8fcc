"""Relay one request over the OpenAI route, and pass its answer on as it is received. Pure."""

from enum import Enum, auto

import msgspec

from gateway.admission.ref_counted_hold import Release
from gateway.domain import Operation
from gateway.endpoints.actions import AwaitPermit, Send
from gateway.endpoints.call import Call
from gateway.endpoints.gpu_time import AttemptCost, AttemptTime
from gateway.endpoints.relay_times import never_sent
from gateway.endpoints.worker_state import Activity
from gateway.errors import GatewayError, OutputLostError, UnreachableError, WorkerError
from gateway.exchange.actions import Finish, Write
from gateway.exchange.admitted import Admission
from gateway.exchange.answer import Answer
from gateway.exchange.attempt import Attempt
from gateway.exchange.relay_timeout import RelayTimeout
from gateway.exchange.resolved_request import ResolvedRequest
from gateway.jobs.abandonment import abandon_relay
from gateway.translate.dialects.openai_stream import OpenAIReader
from gateway.translate.request import worker_fields
from gateway.upstream.failures import PLATFORM_5XX
from gateway.upstream.openai_route import GOOD_STATUSES, FailureReader, openai_request
from gateway.wire.openai import join_fields

READ_SLACK_S = 5.0


class _End(Enum):
    """Enumerate the ends of an attempt, by what they show about its job at Runpod."""

    NEVER_SENT = auto()
    """There is no job: Runpod did not receive the request, or rejected it."""
    OVER = auto()
    """The job has ended: its answer was read to the end, or it failed."""
    ABANDONED = auto()
    """The job may run on, because its answer was not read to the end."""


class _Sent(msgspec.Struct, frozen=True, eq=False):
    """Hold what is known about a request while it is at Runpod."""

    activity: Activity
    time: AttemptTime
    timeout: RelayTimeout


class RelayAttempt(Attempt):
    """Relay one request over the OpenAI route."""

    def __init__(
        self,
        admission: Admission,
        resolved: ResolvedRequest,
        answer: Answer,
        cost: AttemptCost,
        *,
        is_urgent: bool = False,
        traceparent: str | None = None,
    ) -> None:
        super().__init__()
        self._upstream = admission.upstream
        self._seat = admission.seat
        self._charge = admission.meter.ran_on
        self._resolved = resolved
        self._answer = answer
        self._cost = cost
        self._is_urgent = is_urgent
        self._traceparent = traceparent
        request = resolved.request
        self._reader = OpenAIReader(stream=request.stream, has_choices=request.api.has_choices)
        self._failure: FailureReader | None = None
        self._is_read = False
        """True if the response was read to its end."""
        self._call: Call | None = None
        self._sent: _Sent | None = None
        """None before it is sent, and after it ended."""

    def is_due(self, now_s: float) -> bool:
        """Return True if its wait for the budget, or its timeout, is over."""
        if self._sent is not None:
            return now_s >= self._sent.timeout.deadline_s
        return self._is_wait_over

    @property
    def _is_wait_over(self) -> bool:
        return self._call is not None and self._call.is_wait_over

    def start(self) -> None:
        """Request the budget of the call."""
        upstream = self._upstream
        self._call = call = upstream.request_call(
            Operation.OPENAI,
            tenant=self._resolved.tenant,
            wait_s_max=upstream.endpoint.queue_timeout_s,
            is_urgent=self._is_urgent,
        )
        if call.is_waiting:
            self.action = AwaitPermit(call.permit)
        else:
            self._send()

    def wait_ended(self) -> None:
        """Send the request, or fail without a budget."""
        call, self._call = self._call, None
        if call is not None:
            call.conclude()
            self._call = call
            self._send()

    def _send(self) -> None:
        upstream, request = self._upstream, self._resolved.request
        body = join_fields(worker_fields(request, upstream_model=self._resolved.model.upstream))
        activity, time = upstream.begin(self._resolved.tenant), self._cost.open(upstream.gpu)
        timeout = RelayTimeout(upstream, is_stream=request.stream, is_warm=activity.was_warm)
        upstream.relays.open(time, activity, timeout.seen)
        self._sent = _Sent(activity, time, timeout)
        outgoing = openai_request(
            request.api.path,
            body,
            # Longer than the timeouts, so that an expired one is reported as such, and not as an outage.
            read_timeout_s=timeout.s_max + READ_SLACK_S,
            traceparent=self._traceparent,
        )
        self.action = Send(upstream.client, outgoing)

    def head(self, status: int, retry_after_s: float | None) -> None:
        """Process the status: for a failure, the beginning of its body is read."""
        if status not in GOOD_STATUSES:
            self._failure = FailureReader(status, retry_after_s)

    def piece(self, data: bytes) -> bytes:
        """Pass on what the piece completes."""
        sent = self._sent
        if sent is None:
            return b""
        try:
            if self._failure is not None:
                if self._failure.feed(data):
                    raise self._failure.failure()
                return b""
            frames = self._read(sent, data)
        except GatewayError as error:
            raise self._failed(sent, error) from error.__cause__
        if not self._reader.is_over:
            return frames
        self._leave(_End.OVER)
        self.action = Write(frames)
        return b""

    def _read(self, sent: "_Sent", data: bytes) -> bytes:
        if sent.activity.has_output:
            sent.activity.heard(self._upstream.now_s)
        else:
            sent.timeout.output()
            self._upstream.relay_output(sent.activity, sent.time, is_first_token=self._resolved.request.stream)
        deltas = self._reader.feed(data)
        self._answer.memory.took(len(data), is_understood=bool(deltas))
        return self._answer.take(deltas) if deltas else b""

    def ended(self) -> None:
        """Complete the answer: the worker has sent all of it."""
        sent = self._sent
        if sent is None:
            return
        if self._failure is not None:
            raise self._failed(sent, self._failure.failure())
        self._leave(_End.OVER)
        self._complete()

    def failed(self, error: GatewayError) -> None:
        """Fail: the connection broke."""
        sent = self._sent
        if sent is None:
            return
        if self._failure is not None and isinstance(error, UnreachableError):
            error = self._failure.unreadable(error)
        raise self._failed(sent, error)

    def written(self) -> None:
        """Complete the answer after its last output, or the attempt after the end of the answer."""
        if isinstance(self.action, Finish):
            self.action, self.is_done = None, True
            self._cost.complete()
        elif self._is_read:
            self._finish()
        elif isinstance(self.action, Write):
            self._complete()

    def due(self) -> None:
        """Fail, because its wait for the budget, or its timeout, is over."""
        sent = self._sent
        if sent is None:
            if self._is_wait_over:
                self.wait_ended()
        elif self._upstream.now_s >= sent.timeout.deadline_s:
            self._leave(_End.ABANDONED)
            raise sent.timeout.error(sent.activity)

    def close(self, error: GatewayError | None) -> None:
        """Report the outcome of the call. If the client has left, abandon its job."""
        if self._sent is not None:
            self._leave(_End.ABANDONED)
        call, self._call = self._call, None
        if call is None:
            return
        if error is None and not self.is_done:
            call.drop()
        else:
            call.end(error)

    def _complete(self) -> None:
        """Pass on what the end of the response completes, before the answer is finished."""
        last = self._answer.take(self._reader.end())
        self._is_read = True
        if last:
            self.action = Write(last)
        else:
            self._finish()

    def _finish(self) -> None:
        """Finish the answer: the response is read, and passed on."""
        call, self._call = self._call, None
        if call is not None:
            call.end(None)
        if self._resolved.request.stream and not (self._reader.is_over or self._answer.is_whole):
            raise OutputLostError("The worker's answer is incomplete.")
        self.action = Finish(self._answer.finish())

    def _failed(self, sent: "_Sent", error: GatewayError) -> GatewayError:
        """Record how the attempt ended; return the error for the client."""
        # Before `_explain`, which may record an output.
        end = _end_by(error, has_begun=sent.activity.has_output)
        error = self._explain(error, sent)
        self._leave(end)
        return error

    def _explain(self, error: GatewayError, sent: "_Sent") -> GatewayError:
        """Record what an error shows about the worker; return it, or what it means for the client."""
        if isinstance(error, WorkerError) and error.is_signed:
            # A worker ran it, because it signed the error.
            self._upstream.relay_output(sent.activity, sent.time, is_first_token=False)
        if isinstance(error, UnreachableError) and self._answer.chunks and error.status is None:
            lost = OutputLostError("The connection to the worker was lost during its answer.")
            lost.__cause__ = error
            return lost
        return error

    def _leave(self, end: _End) -> None:
        """Record the end of the attempt, by what it shows about its job at Runpod."""
        sent, self._sent = self._sent, None
        if sent is None:
            return
        activity, time = sent.activity, sent.time
        upstream, was_sent = self._upstream, end is not _End.NEVER_SENT
        activity.end(upstream.now_s, was_sent=was_sent)
        if end is _End.ABANDONED:
            abandon_relay(upstream, activity, time, self._keep_seat())
            return
        if end is _End.OVER and activity.has_output:
            upstream.relay_means.note(activity.tenant, upstream.endpoint.name, upstream.now_s - activity.began_at_s)
        upstream.relays.close(time)
        self._cost.close(was_sent=was_sent)

    def _keep_seat(self) -> Release:
        """Keep the seat; when it is returned, charge what the worker may have written since now."""
        release, since_s, upstream = self._seat.keep(), self._upstream.now_s, self._upstream

        def charge_and_release() -> None:
            self._charge(upstream.now_s - since_s)
            release()

        return charge_and_release


def _end_by(error: GatewayError, *, has_begun: bool) -> _End:
    """Return how an attempt ended that failed with this error."""
    if never_sent(error):
        return _End.NEVER_SENT
    return _End.OVER if _is_refusal(error, has_begun=has_begun) else _End.ABANDONED


def _is_refusal(error: GatewayError, *, has_begun: bool) -> bool:
    """Return True if an error is the complete answer of a job that has ended.

    Runpod's edge and Cloudflare answer with 502 to 504 and 52x, which shows nothing about the job; a failed job is a
    500.
    """
    if has_begun:
        return False
    return not isinstance(error, UnreachableError) or (error.status is not None and error.status <= PLATFORM_5XX)
