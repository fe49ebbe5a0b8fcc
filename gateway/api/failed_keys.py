"""Limit the number of wrong keys from one network. Pure; times are monotonic seconds.

All clients behind one proxy have its address, so the limit applies to all of them together.
"""

from collections import OrderedDict

NETWORKS_MAX = 10_000
"""Maximum number of networks that are tracked, the most recent failures. Each takes about a hundred bytes."""


class FailedKeys:
    """Hold a token bucket of attempts for each network, refilled over a minute."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Remaining attempts of each network, and the time of that count in seconds."""

    def fail(self, network: str, now_s: float) -> float | None:
        """Count a wrong key; return None, or if there were too many, the seconds until the next one is allowed."""
        left, at_s = self._left.pop(network, (float(self._per_minute), now_s))
        left = min(self._per_minute, left + (now_s - at_s) * self._per_minute / 60)
        is_judged = left >= 1
        self._left[network] = (left - 1 if is_judged else left, now_s)
        if len(self._left) > NETWORKS_MAX:
            self._left.popitem(last=False)
        return None if is_judged else (1 - left) * 60 / self._per_minute
