"""When a call may be sent: evenly, and never more in any window than Runpod allows.

Runpod documents limits per 10 s and not how the window slides, so every window has to hold. A bare count would let one
burst spend a window at once and stall everybody for the rest of it; so calls are spread at nearly the full rate with a
small burst (GCRA), and an exact log of the last window is the guard over it.
"""

from collections import deque

WINDOW_S = 10.2
"""Ten seconds, and by how much later one call may arrive than another: a new connection takes some round trips."""
BURST_SHARE = 0.025
"""Of a window; the rest of it is spread evenly."""


class Pacer:
    """One operation's calls. `ready_at_s` asks, `take` sends; times are monotonic seconds."""

    def __init__(self, calls_per_10s: float) -> None:
        self._next_s = float("-inf")
        self._sent: deque[float] = deque()
        self._limit(calls_per_10s)

    def limit(self, calls_per_10s: float) -> None:
        """So many from now on; what was sent already counts."""
        if calls_per_10s != self._calls_max:
            self._limit(calls_per_10s)

    def _limit(self, calls_per_10s: float) -> None:
        self._calls_max = calls_per_10s
        burst = max(1.0, calls_per_10s * BURST_SHARE)
        self._interval_s = WINDOW_S / (calls_per_10s - burst + 1) if calls_per_10s >= 1 else WINDOW_S / calls_per_10s
        self._tolerance_s = (burst - 1) * self._interval_s

    @property
    def calls_per_s(self) -> float:
        """The even rate."""
        return 1 / self._interval_s

    def ready_at_s(self, now_s: float) -> float:
        """The earliest time at which one more call may be sent; not later than `now_s` means now."""
        self._forget(now_s)
        even_s = self._next_s - self._tolerance_s
        excess = len(self._sent) - max(1, int(self._calls_max))
        if excess < 0:
            return even_s
        return max(even_s, self._sent[excess] + WINDOW_S)

    def take(self, now_s: float) -> None:
        """A call is sent now."""
        self._next_s = max(self._next_s, now_s) + self._interval_s
        self._sent.append(now_s)

    def spend_burst(self, now_s: float) -> None:
        """Begin without the burst, and with a pause of two calls: somebody else may just have had them."""
        self._next_s = max(self._next_s, now_s + self._tolerance_s + 2 * self._interval_s)

    def used(self, now_s: float) -> float:
        """The part of the window's calls that was made."""
        return self.sent(now_s) / self._calls_max

    def sent(self, now_s: float) -> int:
        """How many calls the last window has."""
        self._forget(now_s)
        return len(self._sent)

    def _forget(self, now_s: float) -> None:
        sent = self._sent
        while sent and sent[0] <= now_s - WINDOW_S:
            sent.popleft()
