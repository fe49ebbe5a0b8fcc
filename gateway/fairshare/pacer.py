"""Pace calls evenly, and never exceed what Runpod allows in any window.

Runpod documents limits per 10 s but not how the window slides, so every window has to hold. A plain counter would let
one burst use up a window and block all calls for the rest of it. So calls are spread at nearly the full rate with a
small burst (GCRA), and an exact log of the last window guards the limit.
"""

from collections import deque

WINDOW_S = 10.2
"""Length of the window: ten seconds, plus by how much later one call may arrive than another, as a new connection takes
some round trips."""
BURST_SHARE = 0.025
"""Part of a window's calls that may be sent as a burst; the rest is spread evenly."""


class Pacer:
    """Pace the calls of one operation: `ready_at_s` returns when to send, `take` records a call.

    Times are monotonic seconds.
    """

    def __init__(self, calls_per_10s: float) -> None:
        self._next_s = float("-inf")
        self._sent: deque[float] = deque()
        self._limit(calls_per_10s)

    def limit(self, calls_per_10s: float) -> None:
        """Change the limit; calls that were already sent count against it."""
        if calls_per_10s != self._calls_max:
            self._limit(calls_per_10s)

    def _limit(self, calls_per_10s: float) -> None:
        self._calls_max = calls_per_10s
        burst = max(1.0, calls_per_10s * BURST_SHARE)
        self._interval_s = WINDOW_S / (calls_per_10s - burst + 1) if calls_per_10s >= 1 else WINDOW_S / calls_per_10s
        self._tolerance_s = (burst - 1) * self._interval_s

    @property
    def calls_per_s(self) -> float:
        """Return the even rate in calls per second."""
        return 1 / self._interval_s

    def ready_at_s(self, now_s: float) -> float:
        """Return the earliest time at which a call may be sent; a time up to `now_s` means now."""
        self._forget(now_s)
        even_s = self._next_s - self._tolerance_s
        excess = len(self._sent) - max(1, int(self._calls_max))
        if excess < 0:
            return even_s
        return max(even_s, self._sent[excess] + WINDOW_S)

    def take(self, now_s: float) -> None:
        """Record that a call is sent at `now_s`."""
        self._next_s = max(self._next_s, now_s) + self._interval_s
        self._sent.append(now_s)

    def spend_burst(self, now_s: float) -> None:
        """Use up the burst, and pause for two more calls.

        Another replica may just have sent that many.
        """
        self._next_s = max(self._next_s, now_s + self._tolerance_s + 2 * self._interval_s)

    def used(self, now_s: float) -> float:
        """Return the part of the calls allowed per window that was sent in the last window."""
        return self.sent(now_s) / self._calls_max

    def sent(self, now_s: float) -> int:
        """Return the number of calls in the last window."""
        self._forget(now_s)
        return len(self._sent)

    def _forget(self, now_s: float) -> None:
        sent = self._sent
        while sent and sent[0] <= now_s - WINDOW_S:
            sent.popleft()
