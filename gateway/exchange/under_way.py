"""How many jobs of requests under way Runpod has, as far as is known here. Pure."""

import itertools
from collections import deque
from collections.abc import Hashable

import msgspec

SUBMIT_S = 1.0
"""How long a request that was sent may be on its way to Runpod's queue, where /health counts it."""
MEMORY_S = 3.0
"""How long it is known when a request ended: /health takes 2 s at most."""
AGE_S = 0.1
AGES = 20
"""Other replicas are told the numbers of the last moments: of so many, so far apart."""


class UnderWay(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that were under way at one time."""

    sure: int
    """Those whose jobs Runpod surely had."""
    all: int


class _Request(msgspec.Struct, eq=False):
    began_at_s: float
    output_at_s: float = float("inf")
    ended_at_s: float = float("inf")
    is_left: bool = False

    @property
    def sure_at_s(self) -> float:
        """From when on Runpod surely had it."""
        return float("inf") if self.is_left else min(self.output_at_s, self.began_at_s + SUBMIT_S)


class RequestsUnderWay:
    """The requests of one endpoint. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._requests: dict[Hashable, _Request] = {}
        self._ended: deque[_Request] = deque()

    def begin(self, request: Hashable, now_s: float) -> None:
        """Note that a request is sent."""
        self._requests[request] = _Request(now_s)

    def output(self, request: Hashable, now_s: float) -> None:
        """Note its first output."""
        if (found := self._requests.get(request)) is not None:
            found.output_at_s = now_s

    def leave(self, request: Hashable) -> None:
        """Record that a request is over whose job may still run, until `end`: then none can be sure of it."""
        if (found := self._requests.get(request)) is not None:
            found.is_left = True

    def end(self, request: Hashable, now_s: float) -> None:
        """Note that it is over."""
        if (found := self._requests.pop(request, None)) is not None:
            found.ended_at_s = now_s
            self._ended.append(found)
        while self._ended and self._ended[0].ended_at_s < now_s - MEMORY_S:
            self._ended.popleft()

    def count(self, at_s: float) -> UnderWay:
        """Return how many there were at a time of the last moments.

        Those are sure that are there now as well: one that ended since may have ended at Runpod before it was seen to.
        """
        now = [each for each in self._requests.values() if each.began_at_s <= at_s]
        sure = sum(each.sure_at_s <= at_s for each in now)
        ended = sum(each.began_at_s <= at_s < each.ended_at_s for each in self._ended)
        return UnderWay(sure=sure, all=len(now) + ended)

    def recent(self, now_s: float) -> list[UnderWay]:
        """Return how many there were now, AGE_S ago, and so on, AGES times."""
        sure, every = [0] * (AGES + 1), [0] * (AGES + 1)
        for each in self._requests.values():
            sure[_ages(now_s - each.sure_at_s)] += 1
            every[_ages(now_s - each.began_at_s)] += 1
        for each in self._ended:
            # It was there at all ages from its end back to its beginning.
            every[_ages(now_s - each.began_at_s)] += 1
            every[_ages(now_s - each.ended_at_s)] -= 1
        counts = zip(_sums_from(sure), _sums_from(every), strict=True)
        return [UnderWay(sure=of_sure, all=of_all) for of_sure, of_all in counts][1:]


def _ages(passed_s: float) -> int:
    """Return at how many of the ages something was so that began so long ago."""
    return 0 if passed_s < 0 else min(AGES, int(passed_s / AGE_S + 1e-9) + 1)


def _sums_from(counts: list[int]) -> list[int]:
    """Return, for each index, the sum of the counts at it and after it."""
    return list(itertools.accumulate(reversed(counts)))[::-1]
