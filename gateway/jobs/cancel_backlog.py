"""Track the cancels of one endpoint that have to be made."""

import heapq
from collections import Counter, defaultdict

import msgspec

from gateway.endpoints.upstream import Upstream
from gateway.jobs.pending_cancel import PendingCancel


class CancelEntry(msgspec.Struct, eq=False):
    """Represent a cancel that has to be made."""

    job: PendingCancel
    started_at_s: float | None
    """Time at which a worker took the job, by the polls of its client or by a later status request; None if it was last
    seen waiting."""
    tries: int = 0
    probed_at_s: float = 0.0
    """Time at which it was added, or at which its status was last requested."""
    is_released: bool = False

    def release(self) -> None:
        """Release what the job occupies. Only the first call has an effect."""
        if not self.is_released:
            self.is_released = True
            self.job.release()


class DroppedError(Exception):
    """Signal that no job is left to cancel under this permit, because all were dropped: no call is made."""


class CancelBacklog:
    """Hold the cancels of one endpoint."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.due: defaultdict[str, list[tuple[float, int, CancelEntry]]] = defaultdict(list)
        """Cancels to make now, by tenant: a heap, by most remaining work and then by order of arrival."""
        self.pending: dict[str, CancelEntry] = {}
        """Cancels whose jobs are not confirmed to have ended, by job id."""
        self.asking: Counter[str] = Counter()
        """Number of tasks that wait for the budget, by tenant; each takes one entry when its permit is granted."""

    def take(self, tenant: str) -> CancelEntry:
        """Remove and return the due cancel of a tenant's job that has the most remaining work, for a granted permit.

        The task that has the permit no longer counts as asking.

        Raises:
            DroppedError: No job is left to cancel; the task still counts.
        """
        due = self.due[tenant]
        while due:
            entry = heapq.heappop(due)[2]
            if entry.job.job_id in self.pending:
                self.asking[tenant] -= 1
                return entry
        raise DroppedError
