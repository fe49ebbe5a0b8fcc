"""Seats on a virtual clock, the order before them, and a record of who had what."""

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping

from gateway.fairshare.cost_model import CostModel, of_seats
from gateway.fairshare.fair_queue import FairQueue


class SeatsWorld:
    """Requests hold a seat for as long as `hold_s` says for their tenant's turn of that number."""

    def __init__(
        self,
        seats: int,
        weights: Mapping[str, float],
        hold_s: Callable[[str, int], float],
        cost_model: CostModel | None = None,
    ) -> None:
        self.order: FairQueue[int] = FairQueue(cost_model or of_seats(seats))
        self.cost_model = cost_model or of_seats(seats)
        self.weights = weights
        self.hold_s = hold_s
        self.free = seats
        self.now_s = 0.0
        self.held: Counter[str] = Counter()
        self.seat_seconds: defaultdict[str, float] = defaultdict(float)
        self.waits: defaultdict[str, list[float]] = defaultdict(list)
        self.trace: list[str] = []
        """Whose turn it was, one after the other."""
        self.when_over: Callable[[str], None] = lambda _tenant: None
        self._numbers = itertools.count()
        self._asked: dict[int, tuple[str, float]] = {}
        self._ends: list[tuple[float, int, str, float]] = []

    def ask(self, tenant: str, count: int = 1, *, member: str = "", is_urgent: bool = False) -> None:
        """These ask now; turns are given by `run_until`."""
        for number in itertools.islice(self._numbers, count):
            self._asked[number] = (tenant, self.now_s)
            self.order.enqueue(
                number,
                tenant=tenant,
                weight=self.weights[tenant],
                now_s=self.now_s,
                member=member,
                is_urgent=is_urgent,
            )

    def _fill(self) -> None:
        while self.free and (number := self.order.grant(self.now_s)) is not None:
            tenant, asked_s = self._asked.pop(number)
            hold_s = self.hold_s(tenant, len(self.waits[tenant]))
            self.free -= 1
            self.held[tenant] += 1
            self.waits[tenant].append(self.now_s - asked_s)
            self.trace.append(tenant)
            heapq.heappush(self._ends, (self.now_s + hold_s, len(self.trace), tenant, hold_s))
        assert not self.free or not len(self.order), "a seat is idle while somebody waits"

    def run_until(self, end_s: float) -> None:
        self._fill()
        while self._ends and self._ends[0][0] <= end_s:
            at_s, _, tenant, hold_s = heapq.heappop(self._ends)
            self._pass_time(at_s)
            self.free += 1
            self.held[tenant] -= 1
            self.order.release(tenant=tenant, cost=self.cost_model.per_second * hold_s, now_s=at_s)
            self.when_over(tenant)
            self._fill()
        self._pass_time(end_s)

    def _pass_time(self, now_s: float) -> None:
        for tenant, held in self.held.items():
            self.seat_seconds[tenant] += held * (now_s - self.now_s)
        self.now_s = now_s

    def attained(self, tenant: str) -> float:
        return self.order._attained(self.order._accounts[tenant], self.now_s)

    def longest_wait_s(self, tenant: str) -> float:
        """Of those served and those who still wait."""
        still = (self.now_s - asked_s for name, asked_s in self._asked.values() if name == tenant)
        return max(max(self.waits[tenant], default=0.0), max(still, default=0.0))
