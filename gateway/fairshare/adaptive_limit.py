"""Learn from Runpod's 429s which part of the published limits may be used, by AIMD.

AIMD is additive increase, multiplicative decrease. Runpod's effective limits grow with the workers and may be lower
than published, and a 429 does not say which limit was hit. So if nearly all seats were in use, fewer seats are tried,
and otherwise a lower rate. The rule that only a limit in use may grow is from Netflix's concurrency-limits.
"""

PART_MIN = 0.05
DOUBTFUL_PART_MIN = 0.5
"""Minimum part while only one tenant gets 429s, because its own requests may be the cause."""
CONCURRENCY_DECREASE = 0.9
RATE_DECREASE = 0.85
INCREASE = 0.01
STEP_S = 1.0
"""Minimum seconds between two decreases or increases: calls in flight were sent under the previous limits."""
CALM_S = 10.0
"""Seconds after the last 429 without an increase: the length of Runpod's window."""
USED_MIN = 0.8
"""Minimum part of a limit in use for an increase: only actual use shows that a limit is allowed."""
SEATS_USED_MIN = 0.9
PAUSE_S = 1.0
PAUSE_S_MAX = 60.0


class AdaptiveLimit:
    """Track the parts of rate and concurrency that may be used, each between PART_MIN and 1.

    Times are monotonic seconds.
    """

    def __init__(self) -> None:
        self.rate = 1.0
        self.concurrency = 1.0
        self.paused_until_s = float("-inf")
        """End of the pause: no call is sent before."""
        self._refused_at_s = float("-inf")
        self._changed_at_s = float("-inf")

    @property
    def is_open(self) -> bool:
        """Return True if the full rate and concurrency may be used."""
        return self.rate >= 1 and self.concurrency >= 1

    def refused(self, *, seats_used: float, retry_after_s: float | None, now_s: float, is_certain: bool = True) -> None:
        """Record a 429, and reduce the rate or the concurrency.

        `seats_used` is the part of the seats in use. `is_certain` is False if a worker may have sent the 429.
        """
        pause_s_max, part_min = (PAUSE_S_MAX, PART_MIN) if is_certain else (PAUSE_S, DOUBTFUL_PART_MIN)
        pause_s = PAUSE_S if retry_after_s is None else min(retry_after_s, pause_s_max)
        self.paused_until_s = max(self.paused_until_s, now_s + pause_s)
        self._refused_at_s = now_s
        if now_s - self._changed_at_s < STEP_S:
            return
        self._changed_at_s = now_s
        if seats_used >= SEATS_USED_MIN:
            self.concurrency = max(min(part_min, self.concurrency), self.concurrency * CONCURRENCY_DECREASE)
        else:
            self.rate = max(min(part_min, self.rate), self.rate * RATE_DECREASE)

    def accepted(self, *, seats_used: float, calls_used: float, now_s: float) -> bool:
        """Record an accepted call; return True if that increased a part.

        `seats_used` and `calls_used` are the parts of the limits in use.
        """
        is_calm = now_s - self._refused_at_s >= CALM_S and now_s - self._changed_at_s >= STEP_S
        if self.is_open or not is_calm:
            return False
        before = self.rate, self.concurrency
        if calls_used >= USED_MIN:
            self.rate = min(1.0, self.rate + INCREASE)
        if seats_used >= USED_MIN:
            self.concurrency = min(1.0, self.concurrency + INCREASE)
        if before == (self.rate, self.concurrency):
            return False
        self._changed_at_s = now_s
        return True
