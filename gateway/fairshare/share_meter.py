"""What each tenant got of an endpoint, against what its weight entitles it to among those present.

One is its fair share. A tenant that wants less has less, one that borrows what others leave has more; and one that has
less while it waits is wronged. Both sides are weighted means over the last half minute or so.
"""

from collections.abc import Mapping
from math import exp

MEMORY_S = 30.0
"""After so long a second counts by 1/e."""
FORGOTTEN = 0.01
"""A tenant that is gone leaves when so little of what it was entitled to is remembered."""


class ShareMeter:
    """Told now and then what tenants had in all; knows the ratio. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._at_s: float | None = None
        self._before: dict[str, float] = {}
        self._got: dict[str, float] = {}
        self._fair: dict[str, float] = {}
        self._seen: dict[str, float] = {}
        """How much of the last half minute a tenant was present."""

    def note(self, served: Mapping[str, float], weights: Mapping[str, float], now_s: float) -> None:
        """What each tenant has been served since its beginning, and the weights of those present now."""
        # First, so that one who returns in the moment it is forgotten begins anew, and with all that is kept of one.
        if self._at_s is not None:
            self._fade(exp((self._at_s - now_s) / MEMORY_S))
        self._at_s = now_s
        # A settlement may take back what was charged before.
        gains = {name: total - self._before.get(name, total) for name, total in served.items()}
        self._before |= served
        all_gains, all_weights = max(0.0, sum(gains.values())), sum(weights.values())
        for name, weight in weights.items():
            self._got[name] = self._got.get(name, 0.0) + gains.get(name, 0.0)
            self._fair[name] = self._fair.get(name, 0.0) + all_gains * weight / all_weights
            self._seen[name] = self._seen.get(name, 0.0) + 1.0

    def ratios(self) -> dict[str, float]:
        """Service attained by fair share, of every tenant that is remembered and could have had any."""
        return {name: self._got[name] / fair for name, fair in self._fair.items() if fair > 0}

    def _fade(self, part: float) -> None:
        for name in list(self._seen):
            self._seen[name] *= part
            if self._seen[name] < FORGOTTEN:
                del self._seen[name], self._got[name], self._fair[name], self._before[name]
            else:
                self._got[name] *= part
                self._fair[name] *= part
