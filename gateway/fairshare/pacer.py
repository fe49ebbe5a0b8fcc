"""When a call may be sent: evenly, and never more in any window than Runpod allows.

Runpod documents limits per 10 s and not how the window slides, so every window has to hold. A bare count would let one
burst spend a window at once and stall everybody for the rest of it; so calls are spread at nearly the full rate with a
small burst (GCRA), and an exact log of the last window is the guard over it.
"""

from collections import deque

from gateway.domain import Limit

WINDOW_S = 10.1
"""Ten seconds, and what the network may shift a call by."""
BURST_SHARE = 0.025
"""Of a window; the rest of it is spread evenly."""


class Pacer:
    """One operation's calls. `ready_at_s` asks, `take` sends; times are monotonic seconds."""

    def __init__(self, limit: Limit) -> None:
        self._calls_max = limit.per_10s
        burst = max(1.0, limit.per_10s * BURST_SHARE)
        self._interval_s = WINDOW_S / max(1.0, limit.per_10s - burst + 1)
        self._tolerance_s = (burst - 1) * self._interval_s
        self._next_s = float("-inf")
        self._sent: deque[float] = deque()

    @property
    def calls_per_s(self) -> float:
        """The even rate."""
        return 1 / self._interval_s

    def ready_at_s(self, now_s: float) -> float:
        """The earliest time at which one more call may be sent; not later than `now_s` means now."""
        self._forget(now_s)
        even_s = self._next_s - self._tolerance_s
        if len(self._sent) < self._calls_max:
            return even_s
        return max(even_s, self._sent[0] + WINDOW_S)

    def take(self, now_s: float) -> None:
        """A call is sent now."""
        self._next_s = max(self._next_s, now_s) + self._interval_s
        self._sent.append(now_s)

    def used(self, now_s: float) -> float:
        """The part of the window's calls that was made."""
        self._forget(now_s)
        return len(self._sent) / self._calls_max

    def _forget(self, now_s: float) -> None:
        sent = self._sent
        while sent and sent[0] <= now_s - WINDOW_S:
            sent.popleft()
