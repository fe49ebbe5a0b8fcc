"""Learn how long a tenant's requests hold their places in flight, to predict when the next place comes free."""

from bisect import bisect_left, bisect_right, insort

NEXT_END_S_MIN = 1.0
"""The least time after which a client is asked to come back, because a prediction is not more exact."""
_NEWEST_PART = 0.1
"""The weight of the latest hold in the mean after the first ten, so that about the last twenty decide it."""


class HoldTimes:
    """Keep the times at which the held places were taken, and the mean duration of those given back, in seconds.

    The list of starts is as long as the requests in flight; a place is found in it by bisection.
    """

    def __init__(self) -> None:
        self._starts_s: list[float] = []
        """The times at which the held places were taken, in ascending order."""
        self._mean_s = 0.0
        self._weight = 1.0
        """The weight of the next hold in the mean."""

    def __len__(self) -> int:
        return len(self._starts_s)

    def begin(self, now_s: float) -> None:
        """Note that a place is taken."""
        insort(self._starts_s, now_s)

    def end(self, began_at_s: float, now_s: float) -> None:
        """Note that the place taken at `began_at_s` is given back."""
        del self._starts_s[bisect_left(self._starts_s, began_at_s)]
        self._mean_s += (now_s - began_at_s - self._mean_s) * self._weight
        self._weight = max(_NEWEST_PART, self._weight / (1 + self._weight))

    def next_end_s(self, now_s: float, *, elsewhere: int = 0) -> float:
        """Return the seconds until the first place is expected to come free, at least `NEXT_END_S_MIN`.

        A hold is expected to last as long as the mean; an overdue one to go on for as long as it is overdue:
        a client that is refused again and again is told longer and longer times until a long answer ends. The starts of
        the `elsewhere` holds at other replicas are not known: they count as just begun.
        """
        due_s = now_s - self._mean_s
        overdue = bisect_right(self._starts_s, due_s)
        expected_s = []
        if overdue:
            expected_s.append(due_s - self._starts_s[overdue - 1])
        if overdue < len(self._starts_s):
            expected_s.append(self._starts_s[overdue] - due_s)
        if elsewhere:
            expected_s.append(self._mean_s)
        return max(NEXT_END_S_MIN, min(expected_s, default=0.0))
