"""The story of one client request: admit, open the upstream, translate, settle."""

import anyio
import msgspec

from gateway.clock import Clock
from gateway.domain import JOB_BODY_BYTES_MAX, Api, Endpoint, Model, Route, Tenant
from gateway.errors import (
    BodyTooLargeError,
    DrainingError,
    GatewayError,
    RefusedError,
    RequestError,
    UnreachableError,
    UpstreamBusyError,
    WorkerError,
)
from gateway.exchange.answer import Answer, StreamedAnswer, WholeAnswer
from gateway.exchange.cancel_queue import CancelQueue
from gateway.exchange.events import Admitted, FirstChunk, Observer, Outcome
from gateway.exchange.health_watch import HealthWatch
from gateway.exchange.job_answer import read_answer
from gateway.exchange.meter import Meter
from gateway.exchange.queue_job import QueueJob, queue_job
from gateway.exchange.record import Record
from gateway.exchange.relay import relay
from gateway.exchange.sink import Sink
from gateway.exchange.upstream import Upstream
from gateway.fairshare.quota import TenantQuota
from gateway.translate.chunks import ChunkWriter
from gateway.translate.dialects.contract import Dialect
from gateway.translate.dialects.table import DIALECTS
from gateway.translate.error_body import error_answer
from gateway.translate.request import ClientRequest
from gateway.translate.usage import estimate_usage

COMPLETION_TOKENS_GUESS = 256
"""Reserved of a tenant's tokens for a request that names no maximum, until its real usage is known."""
SETTLE_S_MAX = 3.0
BUSY_TRIES_MAX = 3
"""How often a request is sent while Runpod answers 429 and nobody else can be asked: the gate does the waiting."""
DRAIN_RETRY_S = 1.0
CLIENT_LEFT_STATUS = 499
"""nginx's number for it; no client sees it."""
_ID_PREFIXES = {Api.CHAT_COMPLETIONS: "chatcmpl", Api.COMPLETIONS: "cmpl", Api.EMBEDDINGS: "embd"}


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """What every exchange of a process uses."""

    upstreams: dict[str, Upstream]
    cancels: CancelQueue
    health: HealthWatch
    clock: Clock
    observe: Observer


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, by whom, and of which model."""

    request: ClientRequest
    tenant: Tenant
    member: str
    """Who of the tenant: within it they take turns."""
    quota: TenantQuota
    model: Model


class Exchange:
    """One client request. `run` is its whole life; what it holds, it gives back on every way out."""

    def __init__(self, means: Means, order: Order, record: Record) -> None:
        self.record = record
        self._means = means
        self._order = order
        self._request = order.request
        self._tenant = order.tenant
        self._scope: anyio.CancelScope | None = None
        self._answered: QueueJob | None = None
        self._meter: Meter | None = None
        self._answer_id = f"{_ID_PREFIXES[order.request.api]}-{record.request_id}"
        self._created_s = int(means.clock.unix_s())
        self._writer = (
            ChunkWriter(order.request, answer_id=self._answer_id, created_s=self._created_s)
            if order.request.stream
            else None
        )

    @property
    def is_stream(self) -> bool:
        """Whether the client asked for a stream."""
        return self._writer is not None

    def idle_chunk(self) -> bytes:
        """An event that says nothing but that the answer is still coming."""
        return self._writer.idle() if self._writer else b""

    def cut(self) -> None:
        """End it now, and tell the client: the process is shutting down."""
        if self._scope is not None:
            self._scope.cancel()

    async def run(self, sink: Sink) -> None:
        """Serve the request to its end.

        Raises:
            GatewayError: It failed; the answer, or the event in its stream, is the caller's to send.
        """
        outcome, status, code, name = Outcome.BROKEN, 500, None, None
        try:
            await self._run(sink)
            await self._settle_job()
            outcome, status = Outcome.COMPLETED, 200
        except GatewayError as error:
            answer = error_answer(error)
            outcome, status, code, name = _outcome(error), answer.status, answer.code, _name(error)
            raise
        except anyio.get_cancelled_exc_class():
            outcome, status = Outcome.CLIENT_LEFT, CLIENT_LEFT_STATUS
            raise
        finally:
            self._means.observe(self.record.settle(outcome, status=status, reason=code, error=name))

    async def _run(self, sink: Sink) -> None:
        quota, clock = self._order.quota, self._means.clock
        reserved = quota.reserve(self._tokens_guess(), clock.monotonic_s())
        try:
            with anyio.CancelScope() as self._scope:
                await self._serve(sink)
            if self._scope.cancelled_caught:
                raise DrainingError(retry_after_s=DRAIN_RETRY_S)
        finally:
            usage = self.record.usage
            quota.settle(reserved, usage.total_tokens if usage else 0, clock.monotonic_s())

    def _tokens_guess(self) -> int:
        """What the request may cost, before anybody knows."""
        return self._prompt_tokens_guess() + (self._request.max_tokens or COMPLETION_TOKENS_GUESS) * self._request.n

    def _prompt_tokens_guess(self) -> int:
        return estimate_usage(prompt_bytes=self._request.prompt_bytes, completion_bytes=0).prompt_tokens

    async def _serve(self, sink: Sink) -> None:
        """Try the model's endpoints in order."""
        endpoints = self._order.model.endpoints
        for endpoint in endpoints:
            is_last = endpoint is endpoints[-1]
            try:
                await self._serve_at(self._means.upstreams[endpoint.name], sink, is_last=is_last)
            except GatewayError as error:
                if is_last or not self._may_go_on(error):
                    raise
            else:
                return

    def _may_go_on(self, error: GatewayError) -> bool:
        """Whether another way may be tried: nothing was started upstream, and no output reached the client."""
        return error.is_elsewhere_safe and self.record.job_id is None and self.record.first_chunk_s is None

    async def _serve_at(self, upstream: Upstream, sink: Sink, *, is_last: bool) -> None:
        """Wait for a turn at one endpoint, then try its routes in order."""
        endpoint, record = upstream.endpoint, self.record
        routes = self._routes(upstream)
        record.endpoint, record.route = endpoint.name, routes[0].value
        if routes[0] is Route.JOB:
            # Made once before the turn: it refuses what these workers cannot serve, and nobody should wait for that.
            self._dialect(endpoint)
        gate = upstream.gates.work
        async with gate.permit(
            self._tenant,
            wait_s_max=endpoint.queue_timeout_s,
            member=self._order.member,
            size=self._request.prompt_bytes,
        ) as permit:
            record.queue_s = permit.wait_s
            meter = self._meter = Meter(gate, permit, endpoint.share_by)
            self._means.observe(Admitted(tenant=self._tenant.name, endpoint=endpoint.name, wait_s=permit.wait_s))
            for route in routes:
                record.route = route.value
                is_last_route = route is routes[-1]
                tries_max = BUSY_TRIES_MAX if is_last and is_last_route else 1
                try:
                    await self._serve_by(route, upstream, sink, meter, tries_max=tries_max)
                except GatewayError as error:
                    if is_last_route or not self._may_go_on(error):
                        raise
                else:
                    return

    def _routes(self, upstream: Upstream) -> tuple[Route, ...]:
        """The routes worth trying: a request may move to the job route, which can wait, and never back."""
        endpoint = upstream.endpoint
        if endpoint.route is not Route.AUTO:
            return (endpoint.route,)
        if endpoint.dialect == "openai" and self._means.health.is_warm(upstream):
            return (Route.OPENAI, Route.JOB)
        return (Route.JOB,)

    async def _serve_by(self, route: Route, upstream: Upstream, sink: Sink, meter: Meter, *, tries_max: int) -> None:
        """Send the request by one route, and again where Runpod says 429: then it goes before its tenant's others."""
        for tries in range(1, tries_max + 1):
            try:
                await self._send_by(route, upstream, self._answer(sink, meter), meter, is_urgent=tries > 1)
            except UpstreamBusyError as error:
                meter.refused()
                if tries == tries_max or not self._may_go_on(error):
                    raise
            else:
                return

    async def _send_by(
        self, route: Route, upstream: Upstream, answer: Answer, meter: Meter, *, is_urgent: bool
    ) -> None:
        meter.read(self._prompt_tokens_guess())
        try:
            if route is Route.JOB:
                await self._serve_job(upstream, answer, is_urgent=is_urgent)
            else:
                model = self._order.model
                await relay(upstream, self._request, answer, model=model, tenant=self._tenant, is_urgent=is_urgent)
                await answer.finish()
        finally:
            self.record.usage, self.record.chunks = answer.usage(), answer.chunks
            meter.settle_usage(self.record.usage)

    def _dialect(self, endpoint: Endpoint) -> Dialect:
        if sum(len(bytes(value)) for value in self._request.fields.values()) > JOB_BODY_BYTES_MAX:
            raise BodyTooLargeError(JOB_BODY_BYTES_MAX)
        return DIALECTS[endpoint.dialect](self._request, self._order.model.upstream)

    def _answer(self, sink: Sink, meter: Meter) -> Answer:
        if self._writer is not None:
            return StreamedAnswer(self._writer, sink, note_first=self._note_first, note_chunks=meter.wrote)
        return WholeAnswer(
            self._request, sink, answer_id=self._answer_id, created_s=self._created_s, note_first=self._note_first
        )

    def _note_first(self) -> None:
        record = self.record
        record.first_chunk_s = record.elapsed_s()
        self._means.observe(FirstChunk(model=record.model, route=record.route, after_s=record.first_chunk_s))

    async def _serve_job(self, upstream: Upstream, answer: Answer, *, is_urgent: bool) -> None:
        dialect = self._dialect(upstream.endpoint)
        means, record = self._means, self.record
        is_stream = self._request.stream
        async with queue_job(
            upstream, tenant=self._tenant, is_stream=is_stream, clock=means.clock, cancels=means.cancels
        ) as job:
            try:
                turn_s_max = upstream.endpoint.queue_timeout_s
                await job.submit(dialect.job_input(), turn_s_max=turn_s_max, is_urgent=is_urgent)
                record.job_id = job.id
                await read_answer(job, dialect, answer, record)
                await answer.finish()
                job.is_answered, self._answered = True, job
            finally:
                record.upstream_delay_s, record.gpu_s = job.stream.delay_s, job.stream.execution_s

    async def _settle_job(self) -> None:
        """Learn what the answered job cost. The client has its answer and everything is given back; it may leave."""
        job = self._answered
        if job is None:
            return
        try:
            if job.stream.execution_s is None:
                with anyio.move_on_after(SETTLE_S_MAX, shield=True):
                    await job.learn_costs()
        finally:
            job.leave(self._means.cancels)
            self.record.upstream_delay_s, self.record.gpu_s = job.stream.delay_s, job.stream.execution_s
            if self._meter is not None:
                self._meter.settle_execution(self.record.gpu_s)


def _name(error: GatewayError) -> str:
    """The error's type, and how the connection failed where it did: other reasons quote the worker."""
    name = type(error).__name__
    return f"{name}: {error.reason}" if isinstance(error, UnreachableError) else name


def _outcome(error: GatewayError) -> Outcome:
    match error:
        case RequestError():
            return Outcome.REJECTED
        case WorkerError(status=status) if status < 500:
            # The worker found the request at fault, as a gateway would have.
            return Outcome.REJECTED
        case DrainingError():
            return Outcome.CUT
        case RefusedError():
            return Outcome.REFUSED
        case _:
            return Outcome.UPSTREAM_FAILED
