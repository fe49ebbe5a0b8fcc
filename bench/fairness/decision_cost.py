"""What one decision of `FairQueue` costs, and what waiting tickets weigh."""

import gc
import itertools
import time
import tracemalloc
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from numpy.random import RandomState

from gateway.fairshare.account import Account
from gateway.fairshare.cost_model import CostModel, of_seats
from gateway.fairshare.fair_queue import FairQueue
from gateway.fairshare.lazy_heap import LazyHeap

SEATS = 400
TENANTS = (10, 100, SEATS, 1000, 10_000)
CYCLES = 20_000
BATCHES = 3
"""The cheapest batch counts: whatever else the machine does can only make one dearer."""
SEED = 1
TICKETS = 100_000
TICKET_TENANTS = 1000


@dataclass(frozen=True, slots=True)
class Step:
    """One seat comes free, and one ticket more comes in."""

    now_s: float
    held_s: float
    tenant: str


def steps(tenants: int, count: int) -> Iterator[Step]:
    """Seats come free every 30 ms in the mean, of holds of 12 s in the mean."""
    chance = RandomState(SEED)
    gaps_s = chance.exponential(12 / SEATS, count).tolist()
    holds_s = (12 * chance.lognormal(-0.5, 1.0, count)).tolist()
    who = chance.randint(0, tenants, count).tolist()
    now_s = 0.0
    for gap_s, held_s, number in zip(gaps_s, holds_s, who, strict=True):
        now_s += gap_s
        yield Step(now_s, held_s, str(number))


class Cycle:
    """An order with all seats held and two tickets a tenant waiting; each step takes one more round of it."""

    def __init__(self, order: FairQueue[int], tenants: int) -> None:
        self.order = order
        self._owners: dict[int, str] = {}
        self.holders: deque[str] = deque()
        """Whose seats are held, the oldest first."""
        self._numbers = itertools.count()
        for number in range(2 * tenants + SEATS):
            self._enqueue(str(number % tenants), 0.0)
        for _ in range(SEATS):
            self._grant(0.0)

    def take(self, step: Step) -> None:
        """Release the oldest seat, enqueue, grant."""
        self.order.release(tenant=self.holders.popleft(), cost=step.held_s, now_s=step.now_s)
        self._enqueue(step.tenant, step.now_s)
        self._grant(step.now_s)

    def _enqueue(self, tenant: str, now_s: float) -> None:
        ticket = next(self._numbers)
        self._owners[ticket] = tenant
        self.order.enqueue(ticket, tenant=tenant, weight=1.0, now_s=now_s)

    def _grant(self, now_s: float) -> None:
        ticket = self.order.grant(now_s)
        if ticket is None:
            raise RuntimeError("somebody waits, and nobody was next")
        self.holders.append(self._owners.pop(ticket))


def cycle_us(tenants: int) -> float:
    """Microseconds of CPU for a release, an enqueue and a grant, with the little that this loop adds."""
    cycle = Cycle(FairQueue(of_seats(SEATS)), tenants)
    planned = list(steps(tenants, CYCLES * (BATCHES + 1)))
    batches = []
    for begin in range(0, len(planned), CYCLES):
        batch = planned[begin : begin + CYCLES]
        before_s = time.process_time()
        for step in batch:
            cycle.take(step)
        batches.append((time.process_time() - before_s) / CYCLES * 1e6)
    return min(batches[1:])


class CountingHeap(LazyHeap[Account[int]]):
    """Counts how often a key had to be read again before the smallest was known."""

    refreshes = 0

    def smallest(self, now_s: float) -> Account[int] | None:
        """The member with the smallest key."""
        read, reads = self._key, 0

        def counted(member: Account[int], at_s: float) -> float:
            nonlocal reads
            reads += 1
            return read(member, at_s)

        self._key = counted
        found = super().smallest(now_s)
        self._key = read
        # The one that is found has to be read too.
        self.refreshes += max(0, reads - 1)
        return found


class CountingOrder(FairQueue[int]):
    """`FairQueue` with a heap that counts."""

    def __init__(self, cost_model: CostModel) -> None:
        super().__init__(cost_model)
        self.heap = CountingHeap(self._key)
        self._next = self.heap


def refreshes_per_grant(tenants: int) -> float:
    """How many stale keys come up before the right one does."""
    order = CountingOrder(of_seats(SEATS))
    cycle = Cycle(order, tenants)
    order.heap.refreshes = 0
    for step in steps(tenants, CYCLES):
        cycle.take(step)
    return order.heap.refreshes / CYCLES


def waiting_megabytes(tickets: int = TICKETS) -> float:
    """What the order keeps of so many waiting tickets; the tickets themselves are the caller's."""
    names = [f"tenant-{number}" for number in range(TICKET_TENANTS)]
    held = list(range(tickets))
    gc.collect()
    tracemalloc.start()
    order: FairQueue[int] = FairQueue(of_seats(SEATS))
    for ticket in held:
        order.enqueue(ticket, tenant=names[ticket % TICKET_TENANTS], weight=1.0, now_s=0.0)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    if len(order) != tickets:
        raise RuntimeError("a ticket was lost")
    return kept / 1e6
