"""What is known of one exchange so far, filled in as it happens and settled once."""

from gateway.clock import Clock
from gateway.domain import Usage
from gateway.exchange.events import Outcome, Settled


class Record:
    """The notes of one exchange; times are monotonic seconds."""

    def __init__(self, *, request_id: str, clock: Clock, tenant: str = "", model: str = "") -> None:
        self.request_id = request_id
        self.tenant = tenant
        self.model = model
        self.endpoint = ""
        self.route = ""
        self.job_id: str | None = None
        self.queue_s: float | None = None
        self.upstream_delay_s: float | None = None
        self.first_chunk_s: float | None = None
        self.gpu_s: float | None = None
        self.usage: Usage | None = None
        self.chunks = 0
        self.replacement_characters = 0
        self._clock = clock
        self._received_at_s = clock.monotonic_s()

    def elapsed_s(self) -> float:
        """Seconds since the request was received."""
        return self._clock.monotonic_s() - self._received_at_s

    def settle(self, outcome: Outcome, *, status: int, reason: str | None = None, error: str | None = None) -> Settled:
        """Close the notes."""
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
            duration_s=self.elapsed_s(),
            queue_s=self.queue_s,
            upstream_delay_s=self.upstream_delay_s,
            first_chunk_s=self.first_chunk_s,
            gpu_s=self.gpu_s,
            usage=self.usage,
            chunks=self.chunks,
            replacement_characters=self.replacement_characters,
        )
