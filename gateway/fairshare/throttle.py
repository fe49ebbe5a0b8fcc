"""How much of the published limits may be used, learnt from Runpod's 429s: additive increase, multiplicative decrease.

Runpod's effective limits grow with the workers and may be lower than published, and a 429 does not say which limit was
hit. So where nearly all seats were in use fewer seats are tried, and otherwise a lower rate. That only what is in use
may grow is a rule of Netflix's concurrency-limits.
"""

PART_MIN = 0.05
DOUBTFUL_PART_MIN = 0.5
"""The least part while only one tenant is refused, because its own requests may be the reason."""
CONCURRENCY_DECREASE = 0.9
RATE_DECREASE = 0.85
INCREASE = 0.01
STEP_S = 1.0
"""At most one decrease in this time, and one increase: the calls under way know nothing of it yet."""
CALM_S = 10.0
"""So long after the last 429 nothing is increased: the length of Runpod's window."""
USED_MIN = 0.8
"""Only what was used shows that it is allowed."""
SEATS_USED_MIN = 0.9
PAUSE_S = 1.0
PAUSE_S_MAX = 60.0


class Throttle:
    """The parts of rate and concurrency in use, each between PART_MIN and 1. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.rate = 1.0
        self.concurrency = 1.0
        self.paused_until_s = float("-inf")
        """Nothing is sent before this."""
        self._refused_at_s = float("-inf")
        self._changed_at_s = float("-inf")

    @property
    def is_open(self) -> bool:
        """Tell whether nothing is held back."""
        return self.rate >= 1 and self.concurrency >= 1

    def refused(self, *, seats_used: float, retry_after_s: float | None, now_s: float, is_certain: bool = True) -> None:
        """Note a 429 while this part of the seats was in use; it is not certain where a worker may have written it."""
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
        """Note that a call went through while these parts were in use; return True where that raised a part again."""
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
