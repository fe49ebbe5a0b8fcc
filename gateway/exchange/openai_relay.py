"""Relay one request over the OpenAI route, and read its answer as it is received."""

from collections.abc import AsyncIterator
from enum import Enum, auto

import anyio

from gateway.admission.ref_counted_hold import Release
from gateway.domain import Endpoint, EndpointState, Operation
from gateway.endpoints.gpu_time import AttemptCost, AttemptTime
from gateway.endpoints.relay_times import never_sent
from gateway.endpoints.upstream import Upstream
from gateway.endpoints.worker_state import Activity
from gateway.errors import GatewayError, OutputLostError, UnreachableError, UpstreamTimeoutError, WorkerError
from gateway.exchange.admitted import Admission
from gateway.exchange.answer import Answer
from gateway.exchange.resolved_request import ResolvedRequest
from gateway.jobs.abandonment import abandon_relay
from gateway.translate.dialects.openai_stream import OpenAIReader
from gateway.translate.request import worker_fields
from gateway.upstream.failures import PLATFORM_5XX
from gateway.upstream.openai_route import good_pieces
from gateway.wire.openai import Parts, join_fields

READ_SLACK_S = 5.0


class Patience:
    """Limit the time of a relayed request: the timeouts of a job, by what is known about the request.

    Its first output may take `cold_start_timeout_s`. An answer in one piece shows nothing until it is complete, so if a
    worker is believed to have it, it may take `execution_timeout_s`.
    """

    def __init__(self, endpoint: Endpoint, *, is_stream: bool, is_warm: bool) -> None:
        """Create it; `is_warm` is True if a worker is believed to be up."""
        self._endpoint = endpoint
        self._is_stream = is_stream
        self._sent_at_s = anyio.current_time()
        self.has_begun = is_warm and not is_stream
        """True if the current timeout is the one for execution."""
        self.scope = anyio.CancelScope(deadline=self._end_s(self._sent_at_s))

    @property
    def s_max(self) -> float:
        """Return the maximum total duration, in seconds."""
        return self._endpoint.cold_start_timeout_s + self._endpoint.execution_timeout_s

    def seen(self, has_begun: bool) -> None:  # noqa: FBT001 - a callback's one argument.
        """Record whether workers run, so that one may have the request."""
        if not self._is_stream and has_begun is not self.has_begun:
            self.has_begun = has_begun
            self.scope.deadline = self._end_s(anyio.current_time() if has_begun else self._sent_at_s)

    def output(self) -> None:
        """Record its first output. An answer in one piece keeps its timeout, because its head may be received early."""
        if not self.has_begun:
            self.has_begun = True
            self.scope.deadline = self._end_s(anyio.current_time())

    def _end_s(self, since_s: float) -> float:
        endpoint = self._endpoint
        return since_s + (endpoint.execution_timeout_s if self.has_begun else endpoint.cold_start_timeout_s)


class _End(Enum):
    """Enumerate the ends of an attempt, by what they show about its job at Runpod."""

    NEVER_SENT = auto()
    """There is no job: Runpod did not receive the request, or rejected it."""
    OVER = auto()
    """The job has ended: its answer was read to the end, or it failed."""
    ABANDONED = auto()
    """The job may run on, because its answer was not read to the end."""


class Relay:
    """Relay one request over the OpenAI route."""

    def __init__(self, admission: Admission, resolved: ResolvedRequest, answer: Answer, cost: AttemptCost) -> None:
        self._upstream = admission.upstream
        self._seat = admission.seat
        self._charge = admission.meter.ran_on
        self._resolved = resolved
        self._answer = answer
        self._cost = cost
        request = resolved.request
        self._reader = OpenAIReader(stream=request.stream, has_choices=request.api.has_choices)

    async def run(self, *, is_urgent: bool = False, traceparent: str | None = None) -> None:
        """Send the request, and pass on the answer until its end. The caller has to finish the answer.

        A job whose answer is not read to its end may run on, and keeps the seat.

        Raises:
            GatewayError: The route or the worker failed, or the answer was cut short.
        """
        upstream, request = self._upstream, self._resolved.request
        body = join_fields(worker_fields(request, upstream_model=self._resolved.model.upstream))
        wait_s_max = upstream.endpoint.queue_timeout_s
        async with upstream.calling(
            Operation.OPENAI, tenant=self._resolved.tenant, wait_s_max=wait_s_max, is_urgent=is_urgent
        ):
            activity, time = upstream.begin(self._resolved.tenant), self._cost.open(upstream.gpu)
            patience = Patience(upstream.endpoint, is_stream=request.stream, is_warm=activity.was_warm)
            upstream.relays.open(time, activity, patience.seen)
            with patience.scope:
                await self._send(body, activity, time, patience, traceparent)
            if patience.scope.cancelled_caught:
                raise _time_is_over(upstream, activity, patience)
            await self._answer.take(self._reader.end())
        if request.stream and not (self._reader.is_over or self._answer.is_whole):
            raise OutputLostError("The worker's answer is incomplete.")

    async def _send(
        self, body: Parts, activity: Activity, time: AttemptTime, patience: Patience, traceparent: str | None
    ) -> None:
        """Send the request, pass on its answer, and record how the attempt ended, also if it is cancelled."""
        end = _End.ABANDONED
        try:
            # Longer than the timeouts, so that an expired one is reported as such, and not as an outage.
            async with self._upstream.openai.opened(
                self._resolved.request.api.path,
                body,
                read_timeout_s=patience.s_max + READ_SLACK_S,
                traceparent=traceparent,
            ) as opened:
                await self._pass_on(await good_pieces(opened), activity, time, patience)
                end = _End.OVER
        except GatewayError as error:
            # Before `_explain`, which may record an output.
            end = _end_by(error, has_begun=activity.has_output)
            self._explain(error, activity, time)
            raise
        finally:
            self._leave(activity, time, end)

    async def _pass_on(
        self, pieces: AsyncIterator[bytes], activity: Activity, time: AttemptTime, patience: Patience
    ) -> None:
        upstream, reader, is_stream = self._upstream, self._reader, self._resolved.request.stream
        async for piece in pieces:
            if not activity.has_output:
                patience.output()
                upstream.relay_output(activity, time, is_first_token=is_stream)
            else:
                activity.heard(upstream.now_s)
            deltas = reader.feed(piece)
            self._answer.memory.took(len(piece), is_understood=bool(deltas))
            if deltas:
                await self._answer.take(deltas)
            if reader.is_over:
                return

    def _explain(self, error: GatewayError, activity: Activity, time: AttemptTime) -> None:
        """Record what an error shows about the worker, and replace it if it means something else for the client."""
        if isinstance(error, WorkerError) and error.is_signed:
            # A worker ran it, because it signed the error.
            self._upstream.relay_output(activity, time, is_first_token=False)
        if isinstance(error, UnreachableError) and self._answer.chunks and error.status is None:
            raise OutputLostError("The connection to the worker was lost during its answer.") from error

    def _leave(self, activity: Activity, time: AttemptTime, end: _End) -> None:
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


def _time_is_over(upstream: Upstream, activity: Activity, patience: Patience) -> GatewayError:
    """Return the error for an expired timeout: the same as on the job route."""
    if not patience.has_begun:
        return upstream.no_worker(upstream.endpoint.cold_start_timeout_s)
    is_loading = not activity.has_output and upstream.workers.state(upstream.now_s) is EndpointState.LOADING
    return UpstreamTimeoutError(is_loading=is_loading, is_cancelled=False)
