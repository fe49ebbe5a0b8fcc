"""Learn how long something usually takes at an endpoint, so that no tenant alone can raise it. Pure."""

import statistics
from collections import deque

VALUES_KEPT = 8
"""The number of times that are kept of each tenant: the newest ones."""
TENANTS_KEPT = 16
"""The number of tenants that are kept: those with the latest times."""


class TypicalTimes:
    """Keep the newest times of a few tenants, in seconds."""

    def __init__(self) -> None:
        self._times_s: dict[str, deque[float]] = {}

    def note(self, tenant: str, seconds: float) -> None:
        """Note how long it took for a request of a tenant."""
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

        Of two tenants the smaller time is taken: the content of a request can make it slow, but hardly fast.
        """
        if not self._times_s:
            return None
        return statistics.median_low(statistics.median(each) for each in self._times_s.values())
