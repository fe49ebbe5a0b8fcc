"""Learn how long something typically takes at an endpoint, so that no tenant alone can raise it. Pure."""

import statistics
from collections import deque

VALUES_KEPT = 8
"""Number of the newest times that are kept of each tenant."""
TENANTS_KEPT = 16
"""Number of tenants that are kept: those with the latest times."""


class TypicalTimes:
    """Hold the newest times of a few tenants, in seconds."""

    def __init__(self) -> None:
        self._times_s: dict[str, deque[float]] = {}

    def note(self, tenant: str, seconds: float) -> None:
        """Record the seconds that it took for a request of a tenant."""
        times_s = self._times_s.pop(tenant, None)
        if times_s is None:
            times_s = deque(maxlen=VALUES_KEPT)
            if len(self._times_s) >= TENANTS_KEPT:
                del self._times_s[next(iter(self._times_s))]
        # Moved to the end, as the tenant with the latest time.
        self._times_s[tenant] = times_s
        times_s.append(seconds)

    def typical_s(self) -> float | None:
        """Return the lower median of the tenants' medians; None before the first time.

        Of two tenants, the smaller time is used: the content of a request can make it slow, but hardly fast.
        """
        if not self._times_s:
            return None
        return statistics.median_low(statistics.median(each) for each in self._times_s.values())
