"""Dispatch one request to the model's endpoints, by their routes, until it is answered."""

from functools import partial

import anyio

from gateway.admission.request_meter import RequestMeter
from gateway.admission.seat import Seat
from gateway.domain import Attempt, Endpoint, Route
from gateway.endpoints.gpu_time import AttemptCost
from gateway.endpoints.upstream import Upstream
from gateway.errors import (
    GatewayError,
    JobNotRunError,
    NoTurnError,
    UpstreamBusyError,
)
from gateway.events import Admitted, FirstChunk, JobEnded
from gateway.exchange.admitted import Admission
from gateway.exchange.answer import Answer, StreamedAnswer, WholeAnswer
from gateway.exchange.failover import Attempts, Step
from gateway.exchange.job_answer import read_answer
from gateway.exchange.job_size import check_fields, fitting
from gateway.exchange.openai_relay import Relay
from gateway.exchange.record import Record
from gateway.exchange.resolved_request import ResolvedRequest, Services
from gateway.exchange.sink import Sink
from gateway.exchange.unanswered_usage import unanswered_usage
from gateway.jobs.answer_memory import AnswerMemory
from gateway.jobs.job_poller import JobPoller
from gateway.translate.client_formats.contract import StreamWriter
from gateway.translate.dialects.contract import Dialect
from gateway.translate.dialects.registry import DIALECTS

SETTLE_S_MAX = 10.0


class Dispatcher:
    """Serve one request until it is answered."""

    def __init__(self, services: Services, resolved: ResolvedRequest, record: Record) -> None:
        self._services = services
        self._resolved = resolved
        self._record = record
        self._request = resolved.request
        self._tenant = resolved.tenant
        self._answered: JobPoller | None = None
        self._format = resolved.client_format
        self._answer_id = self._format.answer_id(record.request_id)
        self._created_s = int(services.clock.unix_s())
        self.writer = self._open_stream()
        """Writer of a stream; None for a whole answer."""

    async def serve(self, sink: Sink) -> None:
        """Try the model's endpoints in order.

        Raises:
            GatewayError: The error of the last attempt.
        """
        endpoints = self._resolved.model.endpoints
        attempts = Attempts(len(endpoints))
        for endpoint in endpoints:
            attempts.begin_endpoint()
            try:
                await self._serve_at(self._services.upstreams[endpoint.name], sink, attempts)
            except GatewayError as error:
                # For an error of `_send`, the step that was decided there: it does not change until it is taken.
                if self._failed(attempts, error) is not Step.NEXT_ENDPOINT:
                    raise
            else:
                return

    def _failed(self, attempts: Attempts, error: GatewayError) -> Step:
        record = self._record
        return attempts.failed(error, has_output=record.first_chunk_s is not None, has_job=record.job_id is not None)

    async def _serve_at(self, upstream: Upstream, sink: Sink, attempts: Attempts) -> None:
        """Wait for a permit at one endpoint, then send the request.

        Raises:
            EndpointDownError: Its breaker is open, or the tenant is paused.
            NoWorkerError: No worker started in time.
            RefusedError: Workers are up, and no permit was granted.
            GatewayError: The error that its routes failed with.
        """
        endpoint, record = upstream.endpoint, self._record
        record.endpoint, record.route = endpoint.name, self._routes(upstream)[0].value
        if record.route == Route.JOB:
            # Created once before the wait, because it rejects requests that these workers cannot serve.
            self._dialect(endpoint)
        upstream.check(self._tenant)
        if upstream.arrive():
            self._services.health.ask(upstream)
        gate, arrived_at_s, has_turn = upstream.gates.work, record.elapsed_s(), False
        record.queued_at_s, record.turn_at_s, record.sent_at_s = arrived_at_s, None, None
        try:
            async with gate.permit(
                self._tenant,
                wait_s_max=endpoint.queue_timeout_s,
                member=self._resolved.member,
                size=self._request.body_bytes,
            ) as permit:
                has_turn = True
                record.queue_s, record.turn_at_s = permit.wait_s, arrived_at_s + permit.wait_s
                self._services.observe(Admitted(tenant=self._tenant.name, endpoint=endpoint.name, wait_s=permit.wait_s))
                meter = RequestMeter(gate, permit, endpoint.share_by)
                turn = Admission(upstream, meter, Seat(permit, self._resolved.in_flight))
                # By the current state: a worker may have started or stopped during the wait.
                attempts.begin_routes(self._routes(upstream))
                await self._send(turn, sink, attempts)
        except NoTurnError:
            if gate.is_capped and not has_turn:
                raise upstream.no_worker(record.elapsed_s() - arrived_at_s) from None
            raise

    async def _send(self, turn: Admission, sink: Sink, attempts: Attempts) -> None:
        """Send the request by the endpoint's routes until it is answered."""
        while True:
            self._record.route = attempts.route.value
            pause_s = 0.0
            try:
                answer = self._answer(sink, turn.meter)
                await self._send_by(attempts.route, turn, answer, is_urgent=attempts.is_retry)
            except GatewayError as error:
                step = self._failed(attempts, error)
                # A worker's own 429 is not reported to the gate: the request had a seat for it.
                is_limit = isinstance(error, UpstreamBusyError) and error.is_of_all
                if is_limit or (step is Step.RETRY and isinstance(error, JobNotRunError)):
                    turn.meter.refused()
                if step in {Step.NEXT_ENDPOINT, Step.GIVE_UP}:
                    raise
                if step is Step.RETRY and not is_limit:
                    pause_s = attempts.pause_s(error)
            else:
                return
            if pause_s:
                await anyio.sleep(pause_s)

    def _routes(self, upstream: Upstream) -> tuple[Route, ...]:
        """Return the routes to try: a request may move to the job route, which can wait, and never back."""
        endpoint = upstream.endpoint
        if self._resolved.is_job_only:
            return (Route.JOB,)
        if endpoint.route is not Route.AUTO:
            return (endpoint.route,)
        if endpoint.dialect == "openai" and upstream.workers.is_warm(self._services.clock.monotonic_s()):
            return (Route.OPENAI, Route.JOB)
        return (Route.JOB,)

    async def _send_by(self, route: Route, turn: Admission, answer: Answer, *, is_urgent: bool) -> None:
        upstream, meter, record = turn.upstream, turn.meter, self._record
        upstream.enter(self._tenant)
        answer.memory = AnswerMemory(upstream.answers, self._tenant.name, is_whole=self.writer is None)
        record.job_id, record.sent_at_s, record.accepted_at_s = None, record.elapsed_s(), None
        cost = self._new_attempt(route, upstream, meter)
        meter.read(self.prompt_tokens_guess())
        failure: GatewayError | None = None
        try:
            if route is Route.JOB:
                await self._serve_job(turn, answer, cost, is_urgent=is_urgent)
            else:
                relay = Relay(turn, self._resolved, answer, cost)
                await relay.run(is_urgent=is_urgent, traceparent=record.traceparent)
                await answer.finish()
                cost.complete()
        except GatewayError as error:
            failure = error
            raise
        finally:
            answer.memory.leave()
            usage = answer.usage() or unanswered_usage(cost, failure, prompt_tokens=self.prompt_tokens_guess())
            # Its traceback holds this frame: the cycle would keep the whole request until a garbage collection.
            failure = None
            record.usage, record.chunks = usage or record.usage, answer.chunks
            meter.settle_usage(usage)

    def _new_attempt(self, route: Route, upstream: Upstream, meter: RequestMeter) -> AttemptCost:
        """Open the account of the next attempt; earlier attempts keep their costs."""
        record = self._record
        attempt = Attempt(
            request_id=record.request_id,
            number=len(record.attempts) + 1,
            tenant=self._tenant.name,
            key_id=record.key_id,
            model=record.model,
            endpoint=upstream.endpoint.name,
            route=route.value,
        )
        note_mean = partial(upstream.gpu_means.note, attempt.tenant, attempt.endpoint)
        cost = AttemptCost(attempt, meter.settle_gpu, note_mean)
        record.attempts.append(cost)
        return cost

    def _dialect(self, endpoint: Endpoint) -> Dialect:
        check_fields(self._request.fields)
        return DIALECTS[endpoint.dialect](self._request, self._resolved.model.upstream)

    def prompt_tokens_guess(self) -> int:
        """Return the estimated tokens of the prompt, before the worker has counted them."""
        return self._request.prompt_tokens

    def _answer(self, sink: Sink, meter: RequestMeter) -> Answer:
        # A failed attempt may have started a choice before a byte was sent: the next one needs a new writer.
        self.writer = self._open_stream()
        if self.writer is not None:
            return StreamedAnswer(self.writer, sink, note_first=self._note_first, note_chunks=meter.wrote)
        return WholeAnswer(
            self._request,
            sink,
            finish=self._format.finish,
            answer_id=self._answer_id,
            created_s=self._created_s,
            note_first=self._note_first,
        )

    def _open_stream(self) -> StreamWriter | None:
        if self._format.open_stream is None or not self._request.stream:
            return None
        return self._format.open_stream(self._request, answer_id=self._answer_id, created_s=self._created_s)

    def _note_first(self) -> None:
        record = self._record
        record.first_chunk_s = record.elapsed_s()
        first = FirstChunk(
            request_id=record.request_id, model=record.model, route=record.route, after_s=record.first_chunk_s
        )
        self._services.observe(first)

    async def _serve_job(self, turn: Admission, answer: Answer, cost: AttemptCost, *, is_urgent: bool) -> None:
        upstream, jobs, record = turn.upstream, self._services.jobs, self._record
        dialect, is_stream = self._dialect(upstream.endpoint), self._request.stream
        async with jobs.job(upstream, tenant=self._tenant, seat=turn.seat, is_stream=is_stream, cost=cost) as job:
            try:
                await job.submit(
                    fitting(dialect.job_input()),
                    client_s=self._client_s(),
                    turn_s_max=upstream.endpoint.queue_timeout_s,
                    is_urgent=is_urgent,
                    traceparent=record.traceparent,
                )
                jobs.accepted(job)
                record.job_id, record.accepted_at_s = job.id, record.elapsed_s()
                await read_answer(job, dialect, answer, record)
                await answer.finish()
                job.is_answered, self._answered = True, job
                cost.complete()
            finally:
                if not job.is_answered:
                    self._note_times(job)

    def _client_s(self) -> float | None:
        """Return the seconds for which the client still waits; None if not known."""
        deadline_s = self._resolved.deadline_s
        return None if deadline_s is None else max(0.0, deadline_s - self._record.elapsed_s())

    async def settle_job(self) -> None:
        """Read the cost of the answered job. The client has its answer, and may disconnect."""
        job = self._answered
        if job is None:
            return
        try:
            if job.stream.execution_s is None:
                with anyio.move_on_after(SETTLE_S_MAX, shield=True):
                    await job.learn_costs()
        finally:
            self._services.jobs.leave(job)
            self._note_times(job)

    def _note_times(self, job: JobPoller) -> None:
        """Report the times of a job for the endpoint that ran it: another one may still serve the request."""
        job.note_times()
        stream = job.stream
        self._services.observe(
            JobEnded(attempt=job.cost.attempt, execution_s=stream.execution_s, delay_s=stream.delay_s)
        )
