"""Learn how long a tenant's requests stay in flight, to predict when the next place becomes free."""

from bisect import bisect_left, bisect_right, insort

NEXT_END_S_MIN = 1.0
"""Minimum number of seconds until a client is asked to retry: predictions are not more precise."""
_NEWEST_PART = 0.1
"""Weight of the latest hold in the mean after the first ten, so that about the last twenty determine it."""


class HoldTimes:
    """Track the start times of the held places, and the mean duration of those released, in seconds.

    The list of starts has one entry per request in flight; an entry is found by bisection.
    """

    def __init__(self) -> None:
        self._starts_s: list[float] = []
        """Start times of the held places, in ascending order."""
        self._mean_s = 0.0
        self._weight = 1.0
        """Weight of the next hold in the mean."""

    def __len__(self) -> int:
        return len(self._starts_s)

    def begin(self, now_s: float) -> None:
        """Record that a place is taken."""
        insort(self._starts_s, now_s)

    def end(self, began_at_s: float, now_s: float) -> None:
        """Record that the place taken at `began_at_s` is released."""
        del self._starts_s[bisect_left(self._starts_s, began_at_s)]
        self._mean_s += (now_s - began_at_s - self._mean_s) * self._weight
        self._weight = max(_NEWEST_PART, self._weight / (1 + self._weight))

    def next_end_s(self, now_s: float, *, remote: int = 0) -> float:
        """Return the seconds until the first place is expected to become free, at least `NEXT_END_S_MIN`.

        A hold is expected to last as long as the mean, and an overdue one to take as long again as it is overdue: a
        client that is rejected repeatedly gets longer and longer times until a long answer ends. The start times of the
        `remote` holds at other replicas are unknown: they count as just begun.
        """
        due_s = now_s - self._mean_s
        overdue = bisect_right(self._starts_s, due_s)
        expected_s = []
        if overdue:
            expected_s.append(due_s - self._starts_s[overdue - 1])
        if overdue < len(self._starts_s):
            expected_s.append(self._starts_s[overdue] - due_s)
        if remote:
            expected_s.append(self._mean_s)
        return max(NEXT_END_S_MIN, min(expected_s, default=0.0))
