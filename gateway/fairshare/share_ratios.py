"""Measure the service of each tenant relative to its fair share among the tenants present.

A ratio of one is the fair share. A tenant with little demand has less, a tenant that borrows spare capacity has more; a
tenant with less than one while it waits is treated unfairly. Both sides are exponentially weighted sums with a time
constant of MEMORY_S.
"""

from collections.abc import Mapping
from math import exp

MEMORY_S = 30.0
"""Time constant in seconds: a second that long ago is weighted by 1/e."""
FORGOTTEN = 0.01
"""Remaining weight of its presence below which a tenant is dropped."""


class ShareRatios:
    """Compute share ratios from periodic samples of the total service of each tenant.

    Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self._at_s: float | None = None
        self._before: dict[str, float] = {}
        self._got: dict[str, float] = {}
        self._fair: dict[str, float] = {}
        self._seen: dict[str, float] = {}
        """Weighted number of samples at which a tenant was present."""

    def note(self, served: Mapping[str, float], weights: Mapping[str, float], now_s: float) -> None:
        """Add a sample: the total service of each tenant, and the weights of the tenants present now."""
        # Before the sample is added, so that a tenant that returns just as it is dropped starts with consistent sums.
        if self._at_s is not None:
            self._fade(exp((self._at_s - now_s) / MEMORY_S))
        self._at_s = now_s
        # A gain may be negative: a settlement can refund an earlier charge.
        gains = {name: total - self._before.get(name, total) for name, total in served.items()}
        self._before |= served
        all_gains, all_weights = max(0.0, sum(gains.values())), sum(weights.values())
        for name, weight in weights.items():
            self._got[name] = self._got.get(name, 0.0) + gains.get(name, 0.0)
            self._fair[name] = self._fair.get(name, 0.0) + all_gains * weight / all_weights
            self._seen[name] = self._seen.get(name, 0.0) + 1.0

    def ratios(self) -> dict[str, float]:
        """Return attained service divided by fair share, for each tenant with a fair share above zero."""
        return {name: self._got[name] / fair for name, fair in self._fair.items() if fair > 0}

    def _fade(self, part: float) -> None:
        for name in list(self._seen):
            self._seen[name] *= part
            if self._seen[name] < FORGOTTEN:
                del self._seen[name], self._got[name], self._fair[name], self._before[name]
            else:
                self._got[name] *= part
                self._fair[name] *= part
