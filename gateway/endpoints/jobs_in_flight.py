"""Count the jobs of the requests in flight that Runpod has, as far as known here. Pure."""

import itertools
from collections import deque
from collections.abc import Hashable

import msgspec

SUBMIT_S = 1.0
"""Maximum seconds from the sending of a request until it is in Runpod's queue, where /health counts it."""
MEMORY_S = 3.0
"""Seconds for which the end of a request is remembered: /health takes 2 s at most."""
AGE_S = 0.1
AGES = 20
"""Other replicas receive the counts of AGES moments, AGE_S seconds apart."""


class InFlightCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Count the requests that were in flight at one time."""

    sure: int
    """Number of those whose jobs Runpod certainly had."""
    all: int


class _Request(msgspec.Struct, eq=False):
    began_at_s: float
    output_at_s: float = float("inf")
    ended_at_s: float = float("inf")
    is_left: bool = False

    @property
    def sure_at_s(self) -> float:
        """Return the time from which Runpod certainly had it."""
        return float("inf") if self.is_left else min(self.output_at_s, self.began_at_s + SUBMIT_S)


class JobsInFlight:
    """Track the requests of one endpoint. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._requests: dict[Hashable, _Request] = {}
        self._ended: deque[_Request] = deque()

    def begin(self, request: Hashable, now_s: float) -> None:
        """Record that a request is sent."""
        self._requests[request] = _Request(now_s)

    def output(self, request: Hashable, now_s: float) -> None:
        """Record its first output."""
        if (found := self._requests.get(request)) is not None:
            found.output_at_s = now_s

    def leave(self, request: Hashable) -> None:
        """Record that a request is over whose job may still run, until `end`: then none can be sure of it."""
        if (found := self._requests.get(request)) is not None:
            found.is_left = True

    def end(self, request: Hashable, now_s: float) -> None:
        """Record that it ended."""
        if (found := self._requests.pop(request, None)) is not None:
            found.ended_at_s = now_s
            self._ended.append(found)
        while self._ended and self._ended[0].ended_at_s < now_s - MEMORY_S:
            self._ended.popleft()

    def count(self, at_s: float) -> InFlightCounts:
        """Return the requests that were in flight at a time in the last MEMORY_S seconds.

        Only those that are still in flight are certain: one that ended since may have ended at Runpod before this was
        seen here.
        """
        now = [each for each in self._requests.values() if each.began_at_s <= at_s]
        sure = sum(each.sure_at_s <= at_s for each in now)
        ended = sum(each.began_at_s <= at_s < each.ended_at_s for each in self._ended)
        return InFlightCounts(sure=sure, all=len(now) + ended)

    def recent(self, now_s: float) -> list[InFlightCounts]:
        """Return the requests in flight now, AGE_S ago, and so on, AGES times."""
        sure, every = [0] * (AGES + 1), [0] * (AGES + 1)
        for each in self._requests.values():
            sure[_ages(now_s - each.sure_at_s)] += 1
            every[_ages(now_s - each.began_at_s)] += 1
        for each in self._ended:
            # It was in flight at all ages from its end back to its beginning.
            every[_ages(now_s - each.began_at_s)] += 1
            every[_ages(now_s - each.ended_at_s)] -= 1
        counts = zip(_sums_from(sure), _sums_from(every), strict=True)
        return [InFlightCounts(sure=of_sure, all=of_all) for of_sure, of_all in counts][1:]


def _ages(passed_s: float) -> int:
    """Return the number of ages at which something that began `passed_s` seconds ago already existed."""
    return 0 if passed_s < 0 else min(AGES, int(passed_s / AGE_S + 1e-9) + 1)


def _sums_from(counts: list[int]) -> list[int]:
    """Return, for each index, the sum of the counts at it and after it."""
    return list(itertools.accumulate(reversed(counts)))[::-1]
