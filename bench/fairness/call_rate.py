"""Calls that a limit on their rate holds back: the gateway's pacer and its order, on a virtual clock."""

import functools
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from numpy.random import RandomState

from bench.fairness.orders import Order, call_orders
from gateway.domain import Limit
from gateway.fairshare.pacer import Pacer

LIMIT = Limit(per_10s=2000, concurrent=400)
DURATION_S = 60.0
RATES = {"polite": 50.0, "flood": 1000.0}
"""Calls a second that each tenant asks for, at Poisson times."""
WINDOW_S = 10.0
SEED = 1


@dataclass(frozen=True, slots=True)
class CallRun:
    """When calls were sent, and how long the polite tenant's waited."""

    sent_s: Sequence[float]
    polite_waits_s: Sequence[float]

    @property
    def use(self) -> float:
        """The part of what the limit allows that was sent."""
        return len(self.sent_s) / (LIMIT.per_10s * DURATION_S / WINDOW_S)

    @property
    def most_in_a_window(self) -> int:
        """The most calls that were sent in any ten seconds."""
        window: deque[float] = deque()
        most = 0
        for at_s in self.sent_s:
            window.append(at_s)
            while window[0] <= at_s - WINDOW_S:
                window.popleft()
            most = max(most, len(window))
        return most


def _arrivals() -> list[tuple[float, str]]:
    chance = RandomState(SEED)
    arrivals = []
    for tenant, rate in RATES.items():
        count = chance.poisson(rate * DURATION_S)
        arrivals += [(at_s, tenant) for at_s in chance.uniform(0, DURATION_S, count).tolist()]
    return sorted(arrivals)


def send_calls(order: Order, arrivals: Sequence[tuple[float, str]]) -> CallRun:
    """Send as many as the pacer lets through, in this order; a call is over at once."""
    pacer = Pacer(LIMIT.per_10s)
    sent_s: list[float] = []
    waits_s: dict[int, float] = {number: DURATION_S - at_s for number, (at_s, _) in enumerate(arrivals)}
    come = 0
    now_s = 0.0
    while now_s <= DURATION_S:
        while come < len(arrivals) and arrivals[come][0] <= now_s:
            order.enqueue(come, tenant=arrivals[come][1], weight=1.0, now_s=now_s)
            come += 1
        while pacer.ready_at_s(now_s) <= now_s and (number := order.grant(now_s)) is not None:
            pacer.take(now_s)
            sent_s.append(now_s)
            waits_s[number] = now_s - arrivals[number][0]
            order.release(tenant=arrivals[number][1], cost=0.0, now_s=now_s)
        next_call_s = arrivals[come][0] if come < len(arrivals) else DURATION_S + 1
        now_s = min(next_call_s, pacer.ready_at_s(now_s)) if len(order) else next_call_s
    return CallRun(sent_s, [wait_s for number, wait_s in waits_s.items() if arrivals[number][1] == "polite"])


@functools.cache
def call_runs() -> dict[str, CallRun]:
    """One run under each order."""
    arrivals = _arrivals()
    return {name: send_calls(order, arrivals) for name, order in call_orders(Pacer(LIMIT.per_10s).calls_per_s).items()}
