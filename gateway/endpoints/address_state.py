"""Hold the state that all configured entries for one Runpod endpoint share: its workers and its jobs."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from gateway.endpoints.abandoned_attempts import AbandonedAttempts
from gateway.endpoints.gpu_time import GpuTime
from gateway.endpoints.jobs_in_flight import InFlightCounts
from gateway.fairshare.replica_jobs import AbandonedElsewhere

ENDS_SEEN_S = 0.1
"""Maximum seconds from the end of an answer at Runpod until it is seen here; readings of /health are compared later."""


class JobsAtAddress(Protocol):
    """Report which jobs one Runpod endpoint should have, over all entries and replicas."""

    async def settle(self, at_s: float) -> bool:
        """Wait until everything that happened before this time is known here; return True if it is."""
        ...

    def jobs_in_flight(self, at_s: float) -> InFlightCounts:
        """Return the number of requests that were in flight at a recent time."""
        ...

    def abandoned_elsewhere(self) -> Sequence[AbandonedElsewhere]:
        """Return the abandoned attempts of other replicas."""
        ...

    def abandoned_until_s(self) -> float:
        """Return the time until which other replicas may have had abandoned attempts."""
        ...


class AddressState(msgspec.Struct, frozen=True):
    """Represent one Runpod endpoint, whichever configured entries use it."""

    gpu: GpuTime
    abandoned: AbandonedAttempts
    jobs: JobsAtAddress
