"""Open the attempts of one request: choose their routes, and keep the account of each. Pure."""

from functools import partial

import msgspec

from gateway.domain import Attempt as AttemptId
from gateway.domain import Endpoint, Route
from gateway.endpoints.gpu_time import AttemptCost
from gateway.endpoints.upstream import Upstream
from gateway.errors import GatewayError
from gateway.events import FirstChunk
from gateway.exchange.admitted import Admission
from gateway.exchange.answer import Answer, StreamedAnswer, WholeAnswer
from gateway.exchange.attempt import Attempt
from gateway.exchange.job_attempt import JobAttempt
from gateway.exchange.job_size import check_fields, fitting
from gateway.exchange.openai_relay import RelayAttempt
from gateway.exchange.record import Record
from gateway.exchange.resolved_request import ResolvedRequest, Services
from gateway.exchange.unanswered_usage import unanswered_usage
from gateway.jobs.answer_memory import AnswerMemory
from gateway.jobs.job_submission import JobSubmission
from gateway.translate.client_formats.contract import StreamWriter
from gateway.translate.dialects.contract import Dialect
from gateway.translate.dialects.registry import DIALECTS


class OpenAttempt(msgspec.Struct, eq=False):
    """Hold an attempt, and what its answer has cost so far."""

    attempt: Attempt
    answer: Answer
    cost: AttemptCost
    admission: Admission

    def close(self, error: GatewayError | None, record: Record, *, prompt_tokens: int) -> None:
        """End the attempt, and charge its tokens; `error` as for `Attempt.close`."""
        try:
            self.attempt.close(error)
        finally:
            self.answer.memory.leave()
        usage = self.answer.usage() or unanswered_usage(self.cost, error, prompt_tokens=prompt_tokens)
        record.usage, record.chunks = usage or record.usage, self.answer.chunks
        self.admission.meter.settle_usage(usage)


class AttemptFactory:
    """Open the attempts of one request."""

    def __init__(self, services: Services, resolved: ResolvedRequest, record: Record) -> None:
        self._services = services
        self._resolved = resolved
        self._record = record
        self._request = resolved.request
        self._tenant = resolved.tenant
        self._format = resolved.client_format
        self._answer_id = self._format.answer_id(record.request_id)
        self._created_s = int(services.clock.unix_s())
        self.writer = self._open_stream()
        """Writer of a stream; None for a whole answer."""

    def routes(self, upstream: Upstream) -> tuple[Route, ...]:
        """Return the routes to try: a request may move to the job route, which can wait, and never back."""
        endpoint = upstream.endpoint
        if self._resolved.is_job_only:
            return (Route.JOB,)
        if endpoint.route is not Route.AUTO:
            return (endpoint.route,)
        if endpoint.dialect == "openai" and upstream.workers.is_warm(self._services.clock.monotonic_s()):
            return (Route.OPENAI, Route.JOB)
        return (Route.JOB,)

    def check(self, endpoint: Endpoint, route: Route) -> None:
        """Check a request before it waits for a permit.

        Raises:
            GatewayError: The workers of this endpoint cannot serve it.
        """
        if route is Route.JOB:
            self._dialect(endpoint)

    def open(self, route: Route, admission: Admission, *, is_urgent: bool) -> OpenAttempt:
        """Open the next attempt.

        Raises:
            EndpointDownError: The endpoint does not accept it.
            GatewayError: Its workers cannot serve the request by this route.
        """
        upstream, meter, record = admission.upstream, admission.meter, self._record
        record.route = route.value
        dialect = self._dialect(upstream.endpoint) if route is Route.JOB else None
        job_input = () if dialect is None else fitting(dialect.job_input())
        answer = self._answer(admission)
        upstream.enter(self._tenant)
        answer.memory = AnswerMemory(upstream.answers, self._tenant.name, is_whole=self.writer is None)
        record.job_id, record.sent_at_s, record.accepted_at_s = None, record.elapsed_s(), None
        cost = self._new_attempt(route, admission)
        meter.read(self._request.prompt_tokens)
        attempt: Attempt
        if dialect is None:
            attempt = RelayAttempt(
                admission, self._resolved, answer, cost, is_urgent=is_urgent, traceparent=record.traceparent
            )
        else:
            job = self._services.jobs.new_job(
                upstream, tenant=self._tenant, seat=admission.seat, is_stream=self._request.stream, cost=cost
            )
            submission = JobSubmission(
                job, job_input, client_s=self._client_s(), is_urgent=is_urgent, traceparent=record.traceparent
            )
            attempt = JobAttempt(job, dialect, answer, record, self._services, submission)
        return OpenAttempt(attempt, answer, cost, admission)

    def _new_attempt(self, route: Route, admission: Admission) -> AttemptCost:
        """Open the account of the next attempt; earlier attempts keep their costs."""
        record, upstream = self._record, admission.upstream
        attempt = AttemptId(
            request_id=record.request_id,
            number=len(record.attempts) + 1,
            tenant=self._tenant.name,
            key_id=record.key_id,
            model=record.model,
            endpoint=upstream.endpoint.name,
            route=route.value,
        )
        note_mean = partial(upstream.gpu_means.note, attempt.tenant, attempt.endpoint)
        cost = AttemptCost(attempt, admission.meter.settle_gpu, note_mean)
        record.attempts.append(cost)
        return cost

    def _dialect(self, endpoint: Endpoint) -> Dialect:
        check_fields(self._request.fields)
        return DIALECTS[endpoint.dialect](self._request, self._resolved.model.upstream)

    def _answer(self, admission: Admission) -> Answer:
        # A failed attempt may have started a choice before a byte was sent: the next one needs a new writer.
        self.writer = self._open_stream()
        if self.writer is not None:
            return StreamedAnswer(self.writer, note_first=self._note_first, note_chunks=admission.meter.wrote)
        return WholeAnswer(
            self._request,
            finish=self._format.finish,
            answer_id=self._answer_id,
            created_s=self._created_s,
            note_first=self._note_first,
        )

    def _open_stream(self) -> StreamWriter | None:
        if self._format.stream is None or not self._request.stream:
            return None
        return self._format.stream.open(self._request, answer_id=self._answer_id, created_s=self._created_s)

    def _note_first(self) -> None:
        record = self._record
        record.first_chunk_s = record.elapsed_s()
        first = FirstChunk(
            request_id=record.request_id, model=record.model, route=record.route, after_s=record.first_chunk_s
        )
        self._services.observe(first)

    def _client_s(self) -> float | None:
        """Return the seconds for which the client still waits; None if not known."""
        deadline_s = self._resolved.deadline_s
        return None if deadline_s is None else max(0.0, deadline_s - self._record.elapsed_s())
