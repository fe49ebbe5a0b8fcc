"""Describe a job whose client has left."""

from collections.abc import Callable

import msgspec

from gateway.admission.shared_hold import Release
from gateway.domain import Attempt, Tenant
from gateway.exchange.gpu_time import AttemptTime


class LeftJob(msgspec.Struct, frozen=True, kw_only=True):
    """Describe a job that is to be cancelled. Times are monotonic seconds."""

    attempt: Attempt
    tenant: Tenant
    """The tenant whose share of the budget its cancel uses."""
    started_at_s: float | None
    """The time at which a worker was seen to have taken it."""
    expires_at_s: float
    """The time at which its ttl ends it."""
    accepted_at_s: float | None = None
    """The time at which Runpod took it; None if that is not known here."""
    is_orphan: bool = False
    """True where a dead process left it."""
    time: AttemptTime | None = None
    """The meter of its GPU time, which ends with it; None for an orphan, whose beginning was not seen here."""
    close: Callable[[], None] = lambda: None
    """Called when it is over."""
    release: Release = lambda: None
    """Gives its seat and place back: called once, when it is over, or at once if it is in the queue already."""

    @property
    def job_id(self) -> str:
        """Runpod's id of it."""
        return self.attempt.job_id or ""
