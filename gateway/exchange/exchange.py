"""Run one client request: its limits, its deadline, its answer and its settlement."""

from enum import Enum, auto

import anyio

from gateway.admission.ref_counted_hold import RefCountedHold
from gateway.errors import (
    ClientDeadlineError,
    DrainingError,
    GatewayError,
    RefusedError,
    RequestError,
    UnreachableError,
    WorkerError,
)
from gateway.events import Outcome
from gateway.exchange.dispatcher import Dispatcher
from gateway.exchange.record import Record
from gateway.exchange.resolved_request import ResolvedRequest, Services
from gateway.exchange.sink import Sink
from gateway.translate.error_body import error_answer
from gateway.translate.request import tokens_to_reserve

DRAIN_RETRY_S = 1.0
CLIENT_LEFT_STATUS = 499
"""nginx's status for a client that disconnected; it is never sent to a client."""


class Ending(Enum):
    """Name the cause that ends an exchange from outside."""

    CLIENT = auto()
    """The client has disconnected."""
    PROCESS = auto()
    """The process shuts down."""


class Exchange:
    """Represent one client request, which `run` serves; on every exit it releases what it holds."""

    def __init__(self, services: Services, resolved: ResolvedRequest, record: Record) -> None:
        self.record = record
        self._services = services
        self._resolved = resolved
        self._dispatcher = Dispatcher(services, resolved, record)
        self._scope = anyio.CancelScope()
        self._ended_by: Ending | None = None

    @property
    def has_ended(self) -> bool:
        """Return True if `end` was called."""
        return self._ended_by is not None

    @property
    def is_stream(self) -> bool:
        """Return True if the client asked for a stream."""
        return self._resolved.request.stream

    @property
    def in_flight(self) -> RefCountedHold:
        """Return its place among its tenant's requests in flight."""
        return self._resolved.in_flight

    def idle_chunk(self) -> bytes:
        """Return an event without content, which shows that the answer is in progress; empty for a whole answer."""
        writer = self._dispatcher.writer
        return writer.idle() if writer else b""

    def end(self, by: Ending) -> None:
        """End the exchange now. If the process shuts down, the client receives an error."""
        if self._ended_by is None:
            self._ended_by = by
            self._scope.cancel()

    async def run(self, sink: Sink) -> None:
        """Serve the request to its end; return normally if the client disconnects.

        Raises:
            GatewayError: The request failed; the caller has to send the error response, or the event in the stream.
        """
        outcome, status, code, name = Outcome.BROKEN, 500, None, None
        try:
            if await self._answer(sink):
                # The client has its last byte: what follows is not part of its waiting time.
                self.record.answered_s = self.record.elapsed_s()
                await self._dispatcher.settle_job()
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
            self._resolved.release()
            self._services.observe(self.record.settle(outcome, status=status, reason=code, error=name))

    async def _answer(self, sink: Sink) -> bool:
        """Answer within the client's own deadline; return True if the client stayed connected."""
        quota, clock, deadline_s = self._resolved.quota, self._services.clock, self._resolved.deadline_s
        reserved = 0
        try:
            if self._ended_by is Ending.CLIENT:
                # The client disconnected before anything was sent.
                return False
            reserved = quota.reserve(tokens_to_reserve(self._resolved.request), clock.monotonic_s())
            if deadline_s is not None:
                self._scope.deadline = anyio.current_time() + deadline_s
            with self._scope:
                await self._dispatcher.serve(sink)
                # An end that was requested at the moment of the last byte cancelled nothing.
                return True
            match self._ended_by:
                case Ending.CLIENT:
                    return False
                case Ending.PROCESS:
                    raise DrainingError(retry_after_s=DRAIN_RETRY_S)
                case _:
                    raise ClientDeadlineError(waited_s=deadline_s or 0.0)
        finally:
            self._resolved.in_flight.release()
            usage = self.record.usage
            quota.settle(reserved, usage.total_tokens if usage else 0, clock.monotonic_s())


def _name(error: GatewayError) -> str:
    """Return the error's type, with the reason if a connection failed: other reasons quote the worker."""
    name = type(error).__name__
    return f"{name}: {error.reason}" if isinstance(error, UnreachableError) else name


def outcome_of(error: GatewayError) -> Outcome:
    """Return the outcome of an exchange that failed with this error."""
    match error:
        case RequestError():
            return Outcome.REJECTED
        case WorkerError(status=status) if status < 500:
            # The worker found the request invalid, as a gateway would have.
            return Outcome.REJECTED
        case DrainingError():
            return Outcome.CUT
        case RefusedError():
            return Outcome.REFUSED
        case _:
            return Outcome.UPSTREAM_FAILED
