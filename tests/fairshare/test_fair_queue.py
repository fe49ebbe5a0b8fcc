"""Shares on a virtual clock: seats, tenants with endless work, and a count of who got what."""

import heapq
import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.fairshare.cost_model import of_calls, of_seats
from gateway.fairshare.fair_queue import FairQueue

Hold = Callable[[random.Random], float]


class Machine:
    """Seats before which tenants wait, and the events of their requests."""

    def __init__(self, seats: int, weights: dict[str, float]) -> None:
        self.order: FairQueue[int] = FairQueue(of_seats(seats))
        self.weights = weights
        self.free = seats
        self.now_s = 0.0
        self.served: Counter[str] = Counter()
        self.seat_seconds: defaultdict[str, float] = defaultdict(float)
        self.waits: defaultdict[str, list[float]] = defaultdict(list)
        self._numbers = itertools.count()
        self._tickets: dict[int, tuple[str, float, float]] = {}
        self._ends: list[tuple[float, int, str, float]] = []

    def ask(self, tenant: str, hold_s: float) -> None:
        number = next(self._numbers)
        self._tickets[number] = (tenant, hold_s, self.now_s)
        self.order.enqueue(number, tenant=tenant, weight=self.weights[tenant], now_s=self.now_s)
        self._fill()

    def _fill(self) -> None:
        while self.free and (number := self.order.grant(self.now_s)) is not None:
            tenant, hold_s, asked_s = self._tickets.pop(number)
            self.free -= 1
            self.waits[tenant].append(self.now_s - asked_s)
            heapq.heappush(self._ends, (self.now_s + hold_s, number, tenant, hold_s))
        assert self.free == 0 or len(self.order) == 0, "a seat must not be idle while somebody waits"

    def run_until(self, end_s: float, again: Callable[[str], None] = lambda _: None) -> None:
        while self._ends and self._ends[0][0] <= end_s:
            self.now_s, _, tenant, hold_s = heapq.heappop(self._ends)
            self.free += 1
            self.served[tenant] += 1
            self.seat_seconds[tenant] += hold_s
            self.order.release(tenant=tenant, cost=hold_s, now_s=self.now_s)
            again(tenant)
            self._fill()
        self.now_s = end_s


def flood(seats: int, weights: dict[str, float], holds: dict[str, Hold], seconds: float, seed: int = 7) -> Machine:
    """Every tenant always has more work than seats."""
    chance, machine = random.Random(seed), Machine(seats, weights)

    def again(tenant: str) -> None:
        machine.ask(tenant, holds[tenant](chance))

    for _ in range(seats * 2):
        for tenant in weights:
            again(tenant)
    machine.run_until(seconds, again)
    return machine


def lognormal(mean_s: float) -> Hold:
    return lambda chance: mean_s * chance.lognormvariate(-0.5, 1)


@pytest.mark.parametrize("seats", [4, 64, 400])
def test_a_flood_is_shared_by_weight(seats: int) -> None:
    weights = {"three": 3.0, "one": 1.0}
    machine = flood(seats, weights, {name: lognormal(12) for name in weights}, 4000)
    ratio = machine.seat_seconds["three"] / machine.seat_seconds["one"]
    assert ratio == pytest.approx(3, rel=0.02)


def test_long_requests_win_nothing() -> None:
    weights = {"short": 1.0, "long": 1.0}
    machine = flood(64, weights, {"short": lambda _: 1.0, "long": lambda _: 60.0}, 4000)
    assert machine.seat_seconds["long"] / machine.seat_seconds["short"] == pytest.approx(1, rel=0.05)


def test_a_lone_tenant_has_every_seat() -> None:
    machine = flood(10, {"alone": 1.0}, {"alone": lambda _: 1.0}, 100)
    assert machine.served["alone"] == 1000


def test_a_polite_tenant_does_not_feel_a_flood() -> None:
    """It asks for half of its share; seats come free every 30 ms, and it gets nearly each one it asks for."""
    chance, machine = random.Random(3), Machine(400, {"flood": 1.0, "polite": 1.0})
    for _ in range(1200):
        machine.ask("flood", lognormal(12)(chance))
    again = lambda tenant: machine.ask("flood", lognormal(12)(chance)) if tenant == "flood" else None  # noqa: E731
    machine.run_until(60, again)
    arrivals = sorted(60 + chance.random() * 600 for _ in range(int(600 * 100 / 12)))
    for at_s in arrivals:
        machine.run_until(at_s, again)
        machine.ask("polite", lognormal(12)(chance))
    waits = sorted(machine.waits["polite"])
    assert waits[int(0.99 * len(waits))] <= 0.25
    assert waits[-1] <= 0.6


def test_idle_time_is_no_credit() -> None:
    chance, weights = random.Random(5), {"steady": 1.0, "absent": 1.0}
    machine = Machine(10, weights)

    def again(tenant: str) -> None:
        machine.ask(tenant, chance.uniform(0.5, 1.5))

    for _ in range(30):
        again("steady")
    machine.run_until(1000, again)
    before = machine.seat_seconds["steady"]
    for _ in range(30):
        again("absent")
    machine.run_until(1100, again)
    gained = machine.seat_seconds["steady"] - before
    assert machine.seat_seconds["absent"] / gained == pytest.approx(1, abs=0.1)


def test_debt_is_remembered_and_bounded() -> None:
    machine = Machine(1, {"greedy": 1.0, "other": 1.0})
    machine.ask("greedy", 10_000.0)
    machine.run_until(10_000)
    machine.ask("other", 1.0)
    machine.ask("other", 1.0)
    machine.ask("greedy", 1.0)
    # One after the other's two, not after ten thousand seconds of them.
    for _ in range(200):
        machine.ask("other", 1.0)
    machine.run_until(10_150)
    assert machine.served["greedy"] == 2


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 3), st.booleans()), max_size=80), st.integers(1, 4))
def test_the_next_is_the_one_with_the_smallest_key(steps: list[tuple[str, float, bool]], seats: int) -> None:
    """Differential: against looking at every tenant that waits."""
    order: FairQueue[int] = FairQueue(of_seats(seats))
    weights, now_s, tickets, held = {"a": 1.0, "b": 2.0, "c": 5.0}, 0.0, {}, []
    for number, (tenant, gap_s, gives_back) in enumerate(steps):
        now_s += gap_s
        order.enqueue(number, tenant=tenant, weight=weights[tenant], now_s=now_s)
        tickets[number] = tenant
        if gives_back and held:
            name, since_s = held.pop(0)
            order.release(tenant=name, cost=now_s - since_s, now_s=now_s)
        if len(held) < seats:
            order._begin_epoch(now_s)
            keys = {name: order._key(order._accounts[name], now_s) for name in set(tickets.values())}
            granted = order.grant(now_s)
            assert granted is not None
            assert keys[tickets[granted]] == min(keys.values())
            assert granted == min(each for each, name in tickets.items() if name == tickets[granted])
            held.append((tickets.pop(granted), now_s))
    assert len(order) == len(tickets)
    for number, name in tickets.items():
        order.withdraw(number, tenant=name)
    assert order.grant(now_s) is None
    assert len(order) == 0


def test_short_calls_are_shared_by_number() -> None:
    order: FairQueue[int] = FairQueue(of_calls(10, seats=20))
    now_s, numbers = 0.0, itertools.count()
    for _ in range(1000):
        for tenant, weight in (("a", 1.0), ("b", 1.0), ("c", 2.0)):
            order.enqueue(next(numbers), tenant=tenant, weight=weight, now_s=now_s)
    turns: Counter[int] = Counter()
    for _ in range(400):
        now_s += 0.1
        number = order.grant(now_s)
        assert number is not None
        turns[number % 3] += 1
        order.release(tenant="abc"[number % 3], cost=0.0, now_s=now_s)
    assert turns == {0: 100, 1: 100, 2: 200}


def test_long_calls_are_shared_by_the_seats_they_hold() -> None:
    """20 seats, and one tenant's calls take 50 s where the other's take one: it must not fill the seats with them."""
    order: FairQueue[int] = FairQueue(of_calls(10, seats=20))
    now_s, numbers = 0.0, itertools.count()
    held: list[tuple[float, str]] = []
    seat_seconds: Counter[str] = Counter()
    for _ in range(2000):
        for tenant in ("long", "short"):
            order.enqueue(next(numbers), tenant=tenant, weight=1, now_s=now_s)
    while now_s < 2000:
        while len(held) < 20:
            number = order.grant(now_s)
            assert number is not None
            tenant = ("long", "short")[number % 2]
            heapq.heappush(held, (now_s + (50.0 if tenant == "long" else 1.0), tenant))
            order.enqueue(next(numbers) * 2 + number % 2, tenant=tenant, weight=1, now_s=now_s)
        ends_s, tenant = heapq.heappop(held)
        for _, name in [*held, (ends_s, tenant)]:
            seat_seconds[name] += ends_s - now_s
        now_s = ends_s
        order.release(tenant=tenant, cost=(50.0 if tenant == "long" else 1.0) / 20, now_s=now_s)
    # The short ones make many more calls, which count as well.
    assert 1 <= seat_seconds["long"] / seat_seconds["short"] <= 3


def test_urgent_tickets_go_before_their_own_tenant_s_others_only() -> None:
    order: FairQueue[str] = FairQueue(of_calls(10, seats=20))
    for ticket, is_urgent in (("a1", False), ("a2", True), ("a3", True)):
        order.enqueue(ticket, tenant="a", weight=1, now_s=0, is_urgent=is_urgent)
    order.enqueue("b1", tenant="b", weight=1, now_s=0)
    assert [order.grant(0) for _ in range(4)] == ["a2", "b1", "a3", "a1"]


def two_calls() -> FairQueue[str]:
    """One call of either tenant was granted, and one more of each waits."""
    order: FairQueue[str] = FairQueue(of_calls(10, seats=20))
    for ticket, tenant in (("a1", "a"), ("b1", "b")):
        order.enqueue(ticket, tenant=tenant, weight=1.0, now_s=0.0)
    assert {order.grant(0.0), order.grant(0.0)} == {"a1", "b1"}
    for ticket, tenant in (("a2", "a"), ("b2", "b")):
        order.enqueue(ticket, tenant=tenant, weight=1.0, now_s=0.0)
    return order


@pytest.mark.parametrize("tenant", ["a", "b"])
def test_a_grant_that_is_forgiven_costs_nothing_whether_or_not_it_was_the_last(tenant: str) -> None:
    order = two_calls()
    order.forgive(tenant, 0.0, 0.0)
    assert order.grant(0.0) == f"{tenant}2"


def test_who_does_not_wait_is_not_withdrawn() -> None:
    order = two_calls()
    order.withdraw("a1", tenant="a")
    assert len(order) == 2
    order.withdraw("a2", tenant="a")
    assert (len(order), order.grant(0.0), order.grant(0.0)) == (1, "b2", None)


def test_a_turn_may_be_that_of_some_tenants_alone() -> None:
    order: FairQueue[str] = FairQueue(of_seats(4))
    for tenant in ("a", "b"):
        for number in range(2):
            order.enqueue(f"{tenant}{number}", tenant=tenant, weight=1.0, now_s=0.0)
    assert order.grant(0.0, lambda account: account.tenant == "b") == "b0"
    assert order.grant(0.0, lambda account: account.tenant == "c") is None
    # The other one has had less since.
    assert order.grant(0.0, lambda _: True) == "a0"
    assert [order.held_by(tenant) for tenant in ("a", "b")] == [1, 1]
    assert len(order) == 2
