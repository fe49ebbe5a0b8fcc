"""Hold what all entries for one endpoint at Runpod share: its workers and its jobs."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from gateway.exchange.abandoned import AbandonedAttempts
from gateway.exchange.gpu_time import GpuTime
from gateway.exchange.under_way import UnderWay
from gateway.fairshare.replica_jobs import AbandonedElsewhere

ENDS_SEEN_S = 0.1
"""How long the end of an answer at Runpod may be on its way here: then a reading of /health is compared with it."""


class JobsThere(Protocol):
    """Tell which jobs one Runpod endpoint should have, by all entries and replicas."""

    async def settle(self, at_s: float) -> bool:
        """Wait until all that happened before a time is known here; return whether it is."""
        ...

    def under_way(self, at_s: float) -> UnderWay:
        """Return how many requests were under way at a time a moment ago."""
        ...

    def abandoned_elsewhere(self) -> Sequence[AbandonedElsewhere]:
        """Return the abandoned attempts of other replicas."""
        ...

    def abandoned_until_s(self) -> float:
        """Return until when other replicas may have had abandoned attempts."""
        ...


class AtAddress(msgspec.Struct, frozen=True):
    """Represent one Runpod endpoint, whichever entries of the configuration use it."""

    gpu: GpuTime
    abandoned: AbandonedAttempts
    jobs: JobsThere
