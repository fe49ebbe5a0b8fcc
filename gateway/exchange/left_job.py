"""A job whose client has left, and what is known of it."""

from collections.abc import Callable

import msgspec

from gateway.admission.shared_hold import Release
from gateway.domain import Attempt, Tenant
from gateway.exchange.gpu_time import AttemptTime


class LeftJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job to be cancelled, and what is known of it. Times are monotonic seconds."""

    attempt: Attempt
    tenant: Tenant
    """Whose share of the budget its cancel uses."""
    started_at_s: float | None
    """When a worker was seen to have taken it."""
    expires_at_s: float
    """When its ttl ends it."""
    accepted_at_s: float | None = None
    """When Runpod took it; None if that is not known here."""
    is_orphan: bool = False
    """Whether a process that is dead left it."""
    time: AttemptTime | None = None
    """Its GPU time, which ends with it; None for an orphan, whose beginning was not seen here."""
    close: Callable[[], None] = lambda: None
    """Called when it is over."""
    release: Release = lambda: None
    """Gives back what it occupies: called once, when it is over, or at once if it is in the queue already."""

    @property
    def job_id(self) -> str:
        """Runpod's id of it."""
        return self.attempt.job_id or ""
