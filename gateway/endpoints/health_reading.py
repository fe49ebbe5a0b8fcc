"""Compare a reading of /health with the requests that wait while it is taken. Pure; times are monotonic seconds."""

import msgspec

from gateway.endpoints.cold_start_stats import PROMPT_S

COLD_READ_S = 3.0
"""Minimum seconds between a request and a reading without running workers, for it to show that the request found no
worker: a reading takes up to 2 s, and the service may count late."""


class HealthReading(msgspec.Struct, frozen=True, kw_only=True):
    """Represent one reading of /health."""

    workers: dict[str, int]
    """Number of workers by state, as Runpod names the states."""
    asked_at_s: float
    """Time at which it was requested: workers may have changed between then and `received_at_s`."""
    received_at_s: float

    @property
    def has_running(self) -> bool:
        """Return True if a worker ran."""
        return self.workers.get("running", 0) > 0

    def found_worker(self, request_at_s: float) -> bool:
        """Return True if a worker ran so soon after a request that the request needed no start."""
        return self.has_running and 0 <= self.asked_at_s - request_at_s <= PROMPT_S

    def found_no_worker(self, request_at_s: float) -> bool:
        """Return True if no worker ran so long after a request, not taken by a worker, that the request found none."""
        return not self.has_running and self.received_at_s - request_at_s >= COLD_READ_S

    def is_start_after(self, taken_at_s: float) -> bool:
        """Return True if the worker that took a job is only starting: with SDK 2.0 it may take jobs before it can run.

        A reading that was requested before the job was taken shows nothing about its worker.
        """
        is_starting = self.workers.get("initializing", 0) > 0 and not self.has_running
        return is_starting and self.asked_at_s >= taken_at_s
