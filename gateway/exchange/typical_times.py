"""What something usually takes at an endpoint, which no tenant alone can make seem longer. Pure."""

import statistics
from collections import deque

VALUES_KEPT = 8
"""Of each tenant, the newest."""
TENANTS_KEPT = 16
"""Those that were heard last."""


class TypicalTimes:
    """The newest times of a few tenants, in seconds."""

    def __init__(self) -> None:
        self._times_s: dict[str, deque[float]] = {}

    def note(self, tenant: str, seconds: float) -> None:
        """Note what it took a tenant's request."""
        times_s = self._times_s.pop(tenant, None)
        if times_s is None:
            times_s = deque(maxlen=VALUES_KEPT)
            if len(self._times_s) >= TENANTS_KEPT:
                del self._times_s[next(iter(self._times_s))]
        # Put back at the end, as the one that was heard last.
        self._times_s[tenant] = times_s
        times_s.append(seconds)

    def typical_s(self) -> float | None:
        """Return the lower median of the tenants' medians; None before the first time.

        Of two tenants that is the smaller one: requests can be made slow by what they hold, and hardly fast.
        """
        if not self._times_s:
            return None
        return statistics.median_low(statistics.median(each) for each in self._times_s.values())
