"""A simulated server: a number of seats, tenants that wait for them, and a clock that jumps from event to event."""

import heapq
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.fairness.orders import Order

_ENDS, _ARRIVES = 0, 1
"""At one instant seats come free first, so that nobody waits for a seat that is free already."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a tenant asks for, and how long it will hold a seat: the order is not told."""

    arrival_s: float
    tenant: str
    hold_s: float
    input_tokens: int = 0
    output_tokens: int = 0

    @property
    def cost(self) -> float:
        """What it is worth in VTC's measure: an output token costs twice an input token."""
        return self.input_tokens + 2 * self.output_tokens

    @property
    def prompt_cost_s(self) -> float:
        """What its prompt is worth in seconds of a seat, if its output is worth as long as it takes."""
        return self.hold_s * self.input_tokens / (2 * self.output_tokens) if self.output_tokens else 0.0


@dataclass(frozen=True, slots=True)
class Start:
    """A request that was given a seat."""

    request: Request
    start_s: float

    @property
    def end_s(self) -> float:
        """When the seat came free again."""
        return self.start_s + self.request.hold_s

    @property
    def wait_s(self) -> float:
        """How long it waited for the seat."""
        return self.start_s - self.request.arrival_s


@dataclass(frozen=True, slots=True)
class Run:
    """What came of it."""

    starts: Sequence[Start]
    unserved: Sequence[Request]
    """Arrived, and without a seat at the end."""
    seats: int
    weights: Mapping[str, float]
    ended_s: float

    @property
    def tenants(self) -> list[str]:
        """All that asked for anything, by name."""
        asked = {start.request.tenant for start in self.starts} | {request.tenant for request in self.unserved}
        return sorted(asked)

    def waits_s(self, tenants: Iterable[str], from_s: float = 0.0, to_s: float = math.inf) -> list[float]:
        """The waits of what these tenants asked for in this time. Who was never served counts as if at the end."""
        among = set(tenants)
        served = [
            start.wait_s
            for start in self.starts
            if start.request.tenant in among and from_s <= start.request.arrival_s < to_s
        ]
        left = [
            self.ended_s - request.arrival_s
            for request in self.unserved
            if request.tenant in among and from_s <= request.arrival_s < to_s
        ]
        return served + left


def ask_no_more(_request: Request, _now_s: float) -> Iterable[Request]:
    """The follow-up of tenants whose requests do not depend on when they are served."""
    return ()


def simulate(
    order: Order,
    requests: Sequence[Request],
    *,
    seats: int,
    weights: Mapping[str, float] | None = None,
    until_s: float = math.inf,
    follow_up: Callable[[Request, float], Iterable[Request]] = ask_no_more,
) -> Run:
    """Serve these requests in this order, and those that `follow_up` asks for when one gets its seat."""
    weights = weights or {}
    tickets = list(requests)
    events = [(request.arrival_s, _ARRIVES, number) for number, request in enumerate(tickets)]
    heapq.heapify(events)
    starts: list[Start] = []
    waiting: set[int] = set()
    free, ended_s = seats, 0.0
    while events and events[0][0] <= until_s:
        now_s, kind, number = heapq.heappop(events)
        request, ended_s = tickets[number], now_s
        if kind == _ENDS:
            free += 1
            order.release(tenant=request.tenant, cost=request.hold_s, now_s=now_s)
        else:
            waiting.add(number)
            order.enqueue(number, tenant=request.tenant, weight=weights.get(request.tenant, 1.0), now_s=now_s)
        if events and events[0][0] == now_s:
            continue  # What comes at one instant is all there before anything is given away.
        while free and (granted := order.grant(now_s)) is not None:
            free -= 1
            waiting.remove(granted)
            request = tickets[granted]
            starts.append(Start(request, now_s))
            heapq.heappush(events, (now_s + request.hold_s, _ENDS, granted))
            for more in follow_up(request, now_s):
                heapq.heappush(events, (more.arrival_s, _ARRIVES, len(tickets)))
                tickets.append(more)
    if free and waiting:
        raise RuntimeError("a seat is idle while somebody waits")
    return Run(starts, [tickets[number] for number in sorted(waiting)], seats, weights, ended_s)


def busy_seats(run: Run) -> list[tuple[float, int]]:
    """How many seats were held from when on."""
    changes = sorted(itertools.chain.from_iterable(((each.start_s, 1), (each.end_s, -1)) for each in run.starts))
    held, steps = 0, []
    for at_s, change in changes:
        held += change
        steps.append((at_s, held))
    return steps
