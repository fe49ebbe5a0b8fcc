"""Collect what is known about one exchange, and settle it once."""

from collections.abc import Iterable

from gateway.clock import Clock
from gateway.domain import Usage
from gateway.endpoints.gpu_time import AttemptCost
from gateway.events import Outcome, Settled, Trace, TraceContext


class Record:
    """Hold the record of one exchange; times are seconds since the request was received."""

    def __init__(self, *, request_id: str, clock: Clock, tenant: str = "", model: str = "") -> None:
        self.request_id = request_id
        self.tenant = tenant
        self.model = model
        self.endpoint = ""
        self.route = ""
        self.job_id: str | None = None
        self.queue_s: float | None = None
        self.key_id = ""
        self.key_label: str | None = None
        self.attempts: list[AttemptCost] = []
        """Costs of the attempts: each keeps its own."""
        self.first_chunk_s: float | None = None
        self.usage: Usage | None = None
        self.chunks = 0
        self.replacement_characters = 0
        self.is_stream = False
        self.queued_at_s: float | None = None
        self.turn_at_s: float | None = None
        self.sent_at_s: float | None = None
        self.accepted_at_s: float | None = None
        self.answered_s: float | None = None
        self.trace_context: TraceContext | None = None
        self._clock = clock
        self._received_at_s = clock.monotonic_s()

    def elapsed_s(self) -> float:
        """Return the seconds since the request was received."""
        return self._clock.monotonic_s() - self._received_at_s

    @property
    def traceparent(self) -> str | None:
        """Return the trace header for calls to Runpod; None if the exchange is not traced."""
        return None if self.trace_context is None else self.trace_context.own.encode()

    def settle(self, outcome: Outcome, *, status: int, reason: str | None = None, error: str | None = None) -> Settled:
        """Build the event that reports the end of the exchange."""
        return Settled(
            request_id=self.request_id,
            outcome=outcome,
            status=status,
            reason=reason,
            error=error,
            tenant=self.tenant,
            model=self.model,
            endpoint=self.endpoint,
            route=self.route,
            job_id=self.job_id,
            duration_s=self.elapsed_s() if self.answered_s is None else self.answered_s,
            queue_s=self.queue_s,
            key_id=self.key_id,
            key_label=self.key_label,
            attempts=len(self.attempts),
            upstream_delay_s=self.attempts[-1].delay_s if self.attempts else None,
            first_chunk_s=self.first_chunk_s,
            gpu_s=_total(attempt.gpu_s for attempt in self.attempts),
            is_gpu_estimate=any(attempt.is_estimate for attempt in self.attempts),
            execution_s=_total(attempt.execution_s for attempt in self.attempts),
            usage=self.usage,
            chunks=self.chunks,
            replacement_characters=self.replacement_characters,
            trace=None if self.trace_context is None else self._trace(self.trace_context),
        )

    def _trace(self, context: TraceContext) -> Trace:
        return Trace(
            context=context,
            is_stream=self.is_stream,
            queued_at_s=self.queued_at_s,
            turn_at_s=self.turn_at_s,
            sent_at_s=self.sent_at_s,
            accepted_at_s=self.accepted_at_s,
        )


def _total(seconds: Iterable[float | None]) -> float | None:
    known = [each for each in seconds if each is not None]
    return sum(known) if known else None
