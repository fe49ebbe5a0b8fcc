"""The cancels of one endpoint that are to be made."""

from collections import Counter, defaultdict

import msgspec

from gateway.exchange.left_job import LeftJob
from gateway.exchange.upstream import Upstream


class CancelEntry(msgspec.Struct, eq=False):
    """A cancel to be made."""

    job: LeftJob
    started_at_s: float | None
    """When a worker took it, by the polls of its client or by a later look; None if it was last seen to wait."""
    tries: int = 0
    looked_at_s: float = 0.0
    """When it was added, or last asked about."""
    is_released: bool = False

    def release(self) -> None:
        """Give back what the job occupies, once."""
        if not self.is_released:
            self.is_released = True
            self.job.release()


class DroppedError(Exception):
    """The job whose turn it is was dropped: no call is made."""


class CancelLine:
    """The cancels of one endpoint."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.due: defaultdict[str, list[tuple[float, int, CancelEntry]]] = defaultdict(list)
        """Those to be made now: a heap for each tenant, the most work first, then the order of arrival."""
        self.pending: dict[str, CancelEntry] = {}
        """Those that are not yet confirmed to be over, by job."""
        self.asking: Counter[str] = Counter()
        """Tasks of each tenant that wait for the budget; each takes one entry when its turn comes."""
