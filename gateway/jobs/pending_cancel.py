"""Describe a job whose client has disconnected."""

from collections.abc import Callable

import msgspec

from gateway.admission.ref_counted_hold import Release
from gateway.domain import Attempt, Tenant
from gateway.endpoints.gpu_time import AttemptTime


class PendingCancel(msgspec.Struct, frozen=True, kw_only=True):
    """Describe a job that is to be cancelled. Times are monotonic seconds."""

    attempt: Attempt
    tenant: Tenant
    """The tenant whose share of the budget its cancel uses."""
    started_at_s: float | None
    """Time at which a worker was seen to have it; None if it was not."""
    expires_at_s: float
    """Time at which its ttl ends it."""
    accepted_at_s: float | None = None
    """Time at which Runpod accepted it; None if not known here."""
    is_orphan: bool = False
    """True if a dead process left it."""
    time: AttemptTime | None = None
    """Meter of its GPU time, which ends with it; None for an orphan, whose start was not seen here."""
    close: Callable[[], None] = lambda: None
    """Called when it has ended."""
    release: Release = lambda: None
    """Returns its seat and place: called once, when it has ended, or at once if it is already in the queue."""

    @property
    def job_id(self) -> str:
        """Return Runpod's id of the job."""
        return self.attempt.job_id or ""
