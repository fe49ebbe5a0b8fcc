"""Declare what the drivers of an exchange have in common: a driver does the I/O that its exchange asks for."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from gateway.exchange.exchange import Exchange
from gateway.exchange.outcomes import Ending
from gateway.exchange.record import Record
from gateway.exchange.resolved_request import ResolvedRequest, Services
from gateway.translate.error_body import ErrorAnswer


class ExchangeDriver(ABC):
    """Drive one exchange. It decides nothing: it carries out `exchange.action`, and reports what happened.

    Its `run` takes the sink to which the answer is sent, and raises the error that the client has to receive.
    """

    def __init__(self, services: Services, resolved: ResolvedRequest, record: Record) -> None:
        self.is_stream = resolved.request.stream
        """True if the client asked for a stream."""
        self.in_flight = resolved.in_flight
        """Place among its tenant's requests in flight."""
        self.has_ended = False
        """True if `end` was called in time."""
        self.on_over: Callable[[ExchangeDriver], None] = lambda _driver: None
        """Called with it when `run` ends."""
        self._exchange = Exchange(services, resolved, record)
        self._jobs = services.jobs
        self._clock = services.clock
        self._failure: Exception | None = None
        """Unexpected exception, which `run` raises."""

    @property
    def record(self) -> Record:
        """Return the record of the exchange."""
        return self._exchange.record

    def idle_chunk(self, *, is_shared: bool = False) -> bytes:
        """Return an event without content, as `AttemptSequence.idle_chunk`."""
        return self._exchange.events.idle_chunk(is_shared=is_shared)

    def failure(self, answer: ErrorAnswer) -> bytes:
        """Return a failure as the last events of a stream that has begun; empty for a whole answer."""
        return self._exchange.events.failure(answer)

    @property
    def may_be_cut(self) -> bool:
        """Return True if `end` has an effect."""
        return not self.has_ended and self._exchange.may_be_cut

    @abstractmethod
    def end(self, by: Ending) -> None:
        """End the exchange, unless its answer is complete. If the process shuts down, the client receives an error."""

    @abstractmethod
    def check(self, now_s: float) -> None:
        """Process a timeout that is over. Called regularly, for all exchanges; never while an event is processed."""

    def _raise_error(self) -> None:
        """Raise what the exchange ended with, if it is an error that the client has to receive."""
        failure, self._failure = self._failure, None
        error = failure or self._exchange.take_error()
        if error is not None:
            try:
                raise error
            finally:
                # Its traceback holds this frame.
                del error, failure
