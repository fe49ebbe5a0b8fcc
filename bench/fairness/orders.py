"""The orders that are compared: ours as the gateway runs it, and those that others run."""

from collections import deque
from collections.abc import Callable
from typing import Protocol

from gateway.fairshare.cost_model import of_calls, of_seats
from gateway.fairshare.fair_queue import FairQueue

CALL_SEATS = 400

FIFO, ROUND_ROBIN, VTC, ATTAINED_ONLY, OURS = "FIFO", "round robin", "VTC", "attained only", "ours"
"""`attained only` is ours without its second term, the seats held right now: VTC's idea on seconds of a seat."""
ORDER_NAMES = (FIFO, ROUND_ROBIN, VTC, ATTAINED_ONLY, OURS)


class Order(Protocol):
    """Who is next. `FairQueue` has this shape, and is used as it is."""

    def enqueue(self, ticket: int, *, tenant: str, weight: float, now_s: float) -> None:
        """A ticket begins to wait."""

    def grant(self, now_s: float) -> int | None:
        """Take out the ticket whose turn it is."""

    def release(self, *, tenant: str, cost: float, now_s: float) -> None:
        """What was granted is over."""

    def __len__(self) -> int:
        """How many tickets wait."""


class Fifo:
    """First come, first served: what one queue in front of one server does."""

    def __init__(self) -> None:
        self._tickets: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._tickets)

    def enqueue(self, ticket: int, *, tenant: str, weight: float, now_s: float) -> None:
        """A ticket begins to wait."""
        del tenant, weight, now_s
        self._tickets.append(ticket)

    def grant(self, now_s: float) -> int | None:
        """Take out the oldest ticket."""
        del now_s
        return self._tickets.popleft() if self._tickets else None

    def release(self, *, tenant: str, cost: float, now_s: float) -> None:
        """Nothing to learn from it."""


class RoundRobin:
    """One request of each tenant that waits, in turn, whatever it costs and whatever its weight."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[int]] = {}
        """The tenants that wait, the next one first."""

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def enqueue(self, ticket: int, *, tenant: str, weight: float, now_s: float) -> None:
        """A ticket begins to wait; a tenant that had none waits for a whole round."""
        del weight, now_s
        self._lines.setdefault(tenant, deque()).append(ticket)

    def grant(self, now_s: float) -> int | None:
        """Take out a ticket of the tenant whose turn is longest ago."""
        del now_s
        if not self._lines:
            return None
        tenant = next(iter(self._lines))
        line = self._lines.pop(tenant)
        ticket = line.popleft()
        if line:
            self._lines[tenant] = line
        return ticket

    def release(self, *, tenant: str, cost: float, now_s: float) -> None:
        """Nothing to learn from it."""


class _Counter:
    """One tenant in VTC."""

    __slots__ = ("at_s", "attained", "held", "line", "turn", "weight")

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.attained = 0.0
        self.at_s = 0.0
        self.held = 0
        self.line: deque[int] = deque()
        self.turn = 0
        """When it was last its turn: among equals it is that of who waits longest for one."""


class Vtc:
    """The virtual token counter of Sheng et al. (OSDI 2024), written as plainly as it can be.

    Next is who has had least service by weight; who comes back is lifted to the least of those who wait. A request is
    charged its prompt when it is granted, and what it makes as it makes it.
    """

    def __init__(self, *, second_cost: float, grant_cost: Callable[[int], float] = lambda _: 0.0) -> None:
        """What a held seat costs each second, and what a ticket costs when it is granted."""
        self._second_cost = second_cost
        self._grant_cost = grant_cost
        self._counters: dict[str, _Counter] = {}
        self._waiting: set[str] = set()
        self._last_attained = 0.0
        self._turns = 0

    def __len__(self) -> int:
        return sum(len(self._counters[tenant].line) for tenant in self._waiting)

    def enqueue(self, ticket: int, *, tenant: str, weight: float, now_s: float) -> None:
        """A ticket begins to wait."""
        counter = self._counters.setdefault(tenant, _Counter(weight))
        if not counter.line:
            others = [self._bring_up(each, now_s) for each in self._waiting]
            floor = min(others, default=self._last_attained)
            counter.attained = max(self._bring_up(tenant, now_s), floor)
            self._waiting.add(tenant)
        counter.line.append(ticket)

    def grant(self, now_s: float) -> int | None:
        """Take out the first ticket of who has had least."""
        if not self._waiting:
            return None
        tenant = min(self._waiting, key=lambda each: (self._bring_up(each, now_s), self._counters[each].turn, each))
        counter = self._counters[tenant]
        ticket = counter.line.popleft()
        if not counter.line:
            self._waiting.remove(tenant)
        counter.attained += self._grant_cost(ticket) / counter.weight
        counter.held += 1
        self._turns += 1
        counter.turn = self._turns
        self._last_attained = counter.attained
        return ticket

    def release(self, *, tenant: str, cost: float, now_s: float) -> None:
        """A seat was given back."""
        del cost
        self._bring_up(tenant, now_s)
        self._counters[tenant].held -= 1

    def _bring_up(self, tenant: str, now_s: float) -> float:
        counter = self._counters[tenant]
        counter.attained += self._second_cost * counter.held * (now_s - counter.at_s) / counter.weight
        counter.at_s = now_s
        return counter.attained


def _no_cost(_ticket: int) -> float:
    return 0.0


def seat_orders(seats: int, prompt_cost_s: Callable[[int], float] = _no_cost) -> dict[str, Order]:
    """A fresh one of each, where seats are scarce. VTC is told what each prompt is worth in seconds of a seat."""
    return {
        FIFO: Fifo(),
        ROUND_ROBIN: RoundRobin(),
        VTC: Vtc(second_cost=1.0, grant_cost=prompt_cost_s),
        ATTAINED_ONLY: Vtc(second_cost=1.0),
        OURS: FairQueue(of_seats(seats)),
    }


def call_orders(per_s: float) -> dict[str, Order]:
    """A fresh one of each, where calls are scarce and all cost the same: VTC's two forms are one there."""
    return {
        FIFO: Fifo(),
        ROUND_ROBIN: RoundRobin(),
        VTC: Vtc(second_cost=0.0, grant_cost=lambda _: 1.0),
        ATTAINED_ONLY: Vtc(second_cost=0.0, grant_cost=lambda _: 1.0),
        OURS: FairQueue(of_calls(per_s, seats=CALL_SEATS)),
    }
