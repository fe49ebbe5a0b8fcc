"""The story of one client request: its caps, its deadline, its answer, its settlement."""

from enum import Enum, auto

import anyio

from gateway.admission.shared_hold import SharedHold
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
from gateway.translate.request import tokens_to_reserve

DRAIN_RETRY_S = 1.0
CLIENT_LEFT_STATUS = 499
"""nginx's number for it; no client sees it."""


class Ending(Enum):
    """Who ends an exchange from outside."""

    CLIENT = auto()
    """It has left."""
    PROCESS = auto()
    """It shuts down."""


class Exchange:
    """One client request. `run` is its whole life; what it holds, it gives back on every way out."""

    def __init__(self, means: Means, order: Order, record: Record) -> None:
        self.record = record
        self._means = means
        self._order = order
        self._serving = Serving(means, order, record)
        self._scope = anyio.CancelScope()
        self._ended_by: Ending | None = None

    @property
    def has_ended(self) -> bool:
        """Tell whether it was told to end."""
        return self._ended_by is not None

    @property
    def is_stream(self) -> bool:
        """Whether the client asked for a stream."""
        return self._order.request.stream

    @property
    def in_flight(self) -> SharedHold:
        """Its place among those in flight of its tenant."""
        return self._order.in_flight

    def idle_chunk(self) -> bytes:
        """An event that says nothing but that the answer is still coming."""
        writer = self._serving.writer
        return writer.idle() if writer else b""

    def end(self, by: Ending) -> None:
        """End it now. Where the process shuts down, the client is told."""
        if self._ended_by is None:
            self._ended_by = by
            self._scope.cancel()

    async def run(self, sink: Sink) -> None:
        """Serve the request to its end; return as well when its client has left.

        Raises:
            GatewayError: It failed; the answer, or the event in its stream, is the caller's to send.
        """
        outcome, status, code, name = Outcome.BROKEN, 500, None, None
        try:
            if await self._answer(sink):
                # What follows is between Runpod and us: the client has its last byte.
                self.record.answered_s = self.record.elapsed_s()
                await self._serving.settle_job()
                outcome, status = Outcome.COMPLETED, 200
            else:
                outcome, status = Outcome.CLIENT_LEFT, CLIENT_LEFT_STATUS
        except GatewayError as error:
            answer = error_answer(error)
            outcome, status, code, name = outcome_of(error), answer.status, answer.code, _name(error)
            raise
        except anyio.get_cancelled_exc_class():
            outcome, status = Outcome.CLIENT_LEFT, CLIENT_LEFT_STATUS
            raise
        finally:
            self._order.release()
            self._means.observe(self.record.settle(outcome, status=status, reason=code, error=name))

    async def _answer(self, sink: Sink) -> bool:
        """Answer within the client's own deadline; return whether it stayed for that."""
        quota, clock, deadline_s = self._order.quota, self._means.clock, self._order.deadline_s
        reserved = 0
        try:
            if self._ended_by is Ending.CLIENT:
                # Before anything was sent for it.
                return False
            reserved = quota.reserve(tokens_to_reserve(self._order.request), clock.monotonic_s())
            if deadline_s is not None:
                self._scope.deadline = anyio.current_time() + deadline_s
            with self._scope:
                await self._serving.serve(sink)
                # An end that came in the moment of the last byte ended nothing.
                return True
            match self._ended_by:
                case Ending.CLIENT:
                    return False
                case Ending.PROCESS:
                    raise DrainingError(retry_after_s=DRAIN_RETRY_S)
                case _:
                    raise ClientDeadlineError(waited_s=deadline_s or 0.0)
        finally:
            self._order.in_flight.release()
            usage = self.record.usage
            quota.settle(reserved, usage.total_tokens if usage else 0, clock.monotonic_s())


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
