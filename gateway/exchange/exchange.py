"""The story of one client request: its caps, its deadline, its answer, its settlement."""

import anyio

from gateway.errors import (
    ClientDeadlineError,
    DrainingError,
    GatewayError,
    RefusedError,
    RequestError,
    UnreachableError,
    WorkerError,
)
from gateway.exchange.events import Outcome
from gateway.exchange.order import Means, Order
from gateway.exchange.record import Record
from gateway.exchange.serving import Serving
from gateway.exchange.sink import Sink
from gateway.translate.error_body import error_answer

COMPLETION_TOKENS_GUESS = 256
"""Reserved of a tenant's tokens for a request that names no maximum, until its real usage is known."""
DRAIN_RETRY_S = 1.0
CLIENT_LEFT_STATUS = 499
"""nginx's number for it; no client sees it."""


class Exchange:
    """One client request. `run` is its whole life; what it holds, it gives back on every way out."""

    def __init__(self, means: Means, order: Order, record: Record) -> None:
        self.record = record
        self._means = means
        self._order = order
        self._serving = Serving(means, order, record)
        self._scope: anyio.CancelScope | None = None
        self._is_cut = False

    @property
    def is_stream(self) -> bool:
        """Whether the client asked for a stream."""
        return self._order.request.stream

    def idle_chunk(self) -> bytes:
        """An event that says nothing but that the answer is still coming."""
        writer = self._serving.writer
        return writer.idle() if writer else b""

    def cut(self) -> None:
        """End it now, and tell the client: the process is shutting down."""
        if self._scope is not None:
            self._is_cut = True
            self._scope.cancel()

    async def run(self, sink: Sink) -> None:
        """Serve the request to its end.

        Raises:
            GatewayError: It failed; the answer, or the event in its stream, is the caller's to send.
        """
        outcome, status, code, name = Outcome.BROKEN, 500, None, None
        try:
            await self._run(sink)
            # What follows is between Runpod and us: the client has its last byte.
            self.record.answered_s = self.record.elapsed_s()
            await self._serving.settle_job()
            outcome, status = Outcome.COMPLETED, 200
        except GatewayError as error:
            answer = error_answer(error)
            outcome, status, code, name = outcome_of(error), answer.status, answer.code, _name(error)
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
            with anyio.move_on_after(self._order.deadline_s) as self._scope:
                await self._serving.serve(sink)
            # A cut that came in the moment of the last byte ended nothing.
            if self._scope.cancelled_caught and self._is_cut:
                raise DrainingError(retry_after_s=DRAIN_RETRY_S)
            if self._scope.cancelled_caught:
                raise ClientDeadlineError(waited_s=self._order.deadline_s or 0.0)
        finally:
            usage = self.record.usage
            quota.settle(reserved, usage.total_tokens if usage else 0, clock.monotonic_s())

    def _tokens_guess(self) -> int:
        """What the request may cost, before anybody knows."""
        request = self._order.request
        return self._serving.prompt_tokens_guess() + (request.max_tokens or COMPLETION_TOKENS_GUESS) * request.n


def _name(error: GatewayError) -> str:
    """The error's type, and how the connection failed where it did: other reasons quote the worker."""
    name = type(error).__name__
    return f"{name}: {error.reason}" if isinstance(error, UnreachableError) else name


def outcome_of(error: GatewayError) -> Outcome:
    """How an exchange ended that failed so."""
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
