"""What the order amounts to over time: max-min shares, bounded differences, and a turn for everybody."""

import itertools
import random
from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from gateway.fairshare.allocator import water_fill
from gateway.fairshare.fair_queue import DEBT_S_MAX
from gateway.fairshare.tenant_queue import URGENT_IN_A_ROW_MAX, TenantQueue
from tests.invariants.profile import steady
from tests.invariants.seats_world import SeatsWorld

WEIGHTS = st.sampled_from([1.0, 1.0, 2.0, 3.0, 5.0])
FIRST_GUESS_S = 5.0
SEATS_OFF_MAX = 0.4
"""Of the mean seats held. Hardly anything in most cases, 0.15 where all requests last the same."""


@given(
    st.integers(0, 40),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 6)), min_size=1, max_size=7),
)
@steady(300)
def test_water_filling_equals_an_exact_solver(capacity: int, asked: list[tuple[int, int]]) -> None:
    demands = {str(number): (float(demand), float(weight)) for number, (demand, weight) in enumerate(asked)}
    exact = solve({str(number): each for number, each in enumerate(asked)}, Fraction(capacity))
    allocated = water_fill(capacity, demands)
    assert allocated == pytest.approx({name: float(share) for name, share in exact.items()}, abs=1e-9)
    assert sum(allocated.values()) == pytest.approx(min(capacity, sum(demand for demand, _ in asked)))


def solve(asked: dict[str, tuple[int, int]], capacity: Fraction) -> dict[str, Fraction]:
    """Raise everybody's level together, in exact numbers, and stop whoever is content."""
    allocated, growing = {name: Fraction(0) for name in asked}, {name for name, (demand, _) in asked.items() if demand}
    while growing and capacity > 0:
        weights = sum(asked[name][1] for name in growing)
        soonest = min(Fraction(asked[name][0] - allocated[name], asked[name][1]) for name in growing)
        step = min(soonest, capacity / weights)
        for name in growing:
            allocated[name] += step * asked[name][1]
        capacity -= step * weights
        growing = {name for name in growing if allocated[name] < asked[name][0]}
    return allocated


@given(
    st.integers(2, 16),
    st.lists(st.tuples(st.integers(1, 20), WEIGHTS), min_size=2, max_size=4),
    st.floats(0.0, 0.5),
    st.integers(0, 2**16),
)
@steady(30)
@example(seats=8, asked=[(4, 3.0), (9, 1.0), (2, 2.0), (1, 5.0)], spread=0.0, seed=0)
def test_the_mean_of_seats_held_is_the_max_min_allocation(
    seats: int, asked: list[tuple[int, float]], spread: float, seed: int
) -> None:
    """Each tenant always has as many requests as it asks for, under way or in line."""
    chance, names = random.Random(seed), "abcd"
    demands = {name: (float(demand), weight) for name, (demand, weight) in zip(names, asked, strict=False)}
    weights = {name: weight for name, (_, weight) in demands.items()}
    world = SeatsWorld(seats, weights, lambda _name, _turn: chance.uniform(1 - spread, 1 + spread))
    world.when_over = world.ask
    for name, (demand, _) in demands.items():
        world.ask(name, int(demand))
    world.run_until(60)
    before, seconds = dict(world.seat_seconds), 300
    world.run_until(60 + seconds)
    for name, allocated in water_fill(seats, demands).items():
        mean = (world.seat_seconds[name] - before.get(name, 0.0)) / seconds
        assert mean == pytest.approx(allocated, abs=SEATS_OFF_MAX), f"max-min: {name}"


def widest_gap(seats: int, weights_of: list[float], hold_s_max: float, is_long: list[bool], seed: int) -> float:
    """How far two tenants that always wait come apart from rest, per weight.

    In the longest request of the smallest weight.
    """
    chance, weights = random.Random(seed), dict(zip("abcde", weights_of, strict=False))
    long_ones = dict(zip(weights, itertools.cycle(is_long), strict=False))

    def hold_s(name: str, _turn: int) -> float:
        return hold_s_max * (chance.choice((1.0, 1.0, 0.9)) if long_ones[name] else chance.choice((0.02, 0.1, 1.0)))

    world, widest = SeatsWorld(seats, weights, hold_s), 0.0

    def ask_again(tenant: str) -> None:
        nonlocal widest
        world.ask(tenant)
        attained = [world.attained(name) for name in weights]
        widest = max(widest, max(attained) - min(attained))

    world.when_over = ask_again
    for name in weights:
        world.ask(name, seats + 1)
    world.run_until(8 * hold_s_max)
    return widest * min(weights.values()) / hold_s_max


@given(
    st.integers(1, 16),
    st.lists(WEIGHTS, min_size=2, max_size=5),
    st.floats(FIRST_GUESS_S, 40),
    st.lists(st.booleans(), min_size=1, max_size=5),
    st.integers(0, 2**16),
)
@steady(80)
@example(seats=13, weights_of=[1.0, 2.0, 1.0, 1.0], hold_s_max=12.0, is_long=[True, True, False, False, True], seed=816)
def test_two_that_always_wait_differ_by_two_requests_and_the_share_under_way_at_most(
    seats: int, weights_of: list[float], hold_s_max: float, is_long: list[bool], seed: int
) -> None:
    """What is under way is expected to cost the mean: as much as all of it may cost another's account is uncertain."""
    gap = widest_gap(seats, weights_of, hold_s_max, is_long, seed)
    assert gap <= 2 + seats * min(weights_of) / sum(weights_of), "bounded difference"


@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.floats(0, 60), WEIGHTS, st.integers(1, 12), st.floats(0.2, 10)), min_size=1, max_size=5),
    WEIGHTS,
    st.integers(1, 6),
    st.floats(0, 300),
)
@steady(60)
@example(seats=1, rivals=[(0.0, 5.0, 12, 10.0)], weight=1.0, ahead=6, debt_s=300.0)
def test_nobody_waits_longer_than_its_debt_and_its_own_line_explain(
    seats: int, rivals: list[tuple[float, float, int, float]], weight: float, ahead: int, debt_s: float
) -> None:
    """A flood that never ends, rivals that come when they like, and one with debts who asks for a few turns."""
    weights = {"one": weight, **{str(number): each[1] for number, each in enumerate(rivals)}}
    holds = {"one": 1.0, **{str(number): each[3] for number, each in enumerate(rivals)}}
    world = SeatsWorld(seats, weights, lambda name, turn: debt_s if (name, turn) == ("one", 0) else holds[name])
    hold_s_max, all_weights = max([*holds.values(), FIRST_GUESS_S]), sum(weights.values())
    world.when_over = lambda tenant: world.ask(tenant) if tenant != "one" else None
    world.ask("one")
    world.run_until(debt_s)
    for number, (after_s, _, count, _) in sorted(enumerate(rivals), key=lambda each: each[1][0]):
        world.run_until(max(world.now_s, debt_s + after_s))
        world.ask(str(number), count + seats)
    world.run_until(world.now_s)
    assume(len(world.order))
    world.ask("one", ahead)
    fair_seats = seats * weight / all_weights
    debt_max_s = DEBT_S_MAX * seats / weight / (seats / all_weights)
    bound = (
        debt_max_s + ahead * hold_s_max / fair_seats + hold_s_max + 2 * hold_s_max * all_weights / min(weights.values())
    )
    world.run_until(world.now_s + bound + 1)
    assert len(world.waits["one"]) == 1 + ahead, "starvation: one still waits"
    assert world.longest_wait_s("one") <= bound, "starvation: one waited too long"


@given(st.integers(1, 10), st.integers(0, 20), st.lists(st.sampled_from("xyz"), min_size=1, max_size=5))
@steady(60)
def test_urgent_requests_do_not_starve_the_ordinary_ones_of_their_tenant(
    ordinary: int, urgent_before: int, members: list[str]
) -> None:
    line: TenantQueue[int] = TenantQueue()
    for ticket in range(-urgent_before, 0):
        line.enqueue(ticket, is_urgent=True)
    for ticket in range(ordinary):
        line.enqueue(ticket, member=members[ticket % len(members)])
    turns = []
    for number in range((URGENT_IN_A_ROW_MAX + 1) * ordinary):
        line.enqueue(1000 + number, is_urgent=True)
        turns.append(line.grant())
    assert set(range(ordinary)) <= set(turns), "starvation: an ordinary request never has its turn"
