"""Coming back: no credit from idle time, debt up to a bound, and nothing to gain by leaving."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fairshare.cost_model import of_seats
from gateway.fairshare.fair_queue import DEBT_S_MAX, MOMENT_S, OWED_S_MAX, FairQueue
from tests.invariants.profile import steady
from tests.invariants.seats_world import SeatsWorld

EPSILON = 1e-6


@given(
    st.integers(1, 3),
    st.sampled_from([0.5, 1.0, 4.0]),
    st.sampled_from([{"flood": 1.0, "other": 2.0}, {"flood": 30.0, "other": 2.0}, {"flood": 30.0}]),
    st.lists(
        st.tuples(st.floats(0, 400), st.integers(1, 4), st.sampled_from([0.1, 5.0, 700.0])), min_size=2, max_size=8
    ),
)
@steady(120)
def test_whoever_comes_back_stands_between_the_floor_less_what_it_is_owed_and_the_floor_and_its_debt(
    seats: int, weight: float, holds: dict[str, float], visits: list[tuple[float, int, float]]
) -> None:
    """Others flood all the time; one comes, asks for a few turns that last as long as they like, and goes."""
    weights = {"one": weight, "flood": 1.0, "other": 2.0}
    lasts_s = 1.0
    world = SeatsWorld(seats, weights, lambda name, _turn: holds.get(name, lasts_s))
    world.when_over = lambda tenant: world.ask(tenant) if tenant != "one" else None
    for name in holds:
        world.ask(name, 2 * seats)
    for pause_s, count, lasts_s in visits:  # noqa: B007 - the world reads it.
        world.run_until(world.now_s + pause_s)
        was_waiting = bool(len(world.order._accounts["one"].line)) if "one" in world.order._accounts else False
        floor = min(world.attained(name) for name in holds)
        world.ask("one", count)
        if not was_waiting:
            second_of_all = seats / weight
            assert world.attained("one") >= floor - OWED_S_MAX * second_of_all - EPSILON, (
                "hoarding: idle time is credit"
            )
            assert world.attained("one") <= floor + DEBT_S_MAX * second_of_all + EPSILON, "hoarding: debt has no bound"


@given(st.integers(1, 8), st.floats(1, 5000), st.integers(1, 20))
@steady(60)
def test_an_idle_tenant_gets_nothing_for_its_idle_time(seats: int, idle_s: float, count: int) -> None:
    """It was never there, and so it is owed nothing: it starts at the floor."""
    world = SeatsWorld(seats, {"idle": 1.0, "flood": 1.0}, lambda _name, _turn: 1.0)
    world.when_over = lambda tenant: world.ask(tenant) if tenant == "flood" else None
    world.ask("flood", 2 * seats)
    world.run_until(idle_s)
    world.ask("idle", count)
    assert world.attained("idle") >= world.attained("flood") - EPSILON, "hoarding: idle time is credit"


@given(
    st.integers(1, 8),
    st.integers(1, 6),
    st.integers(1, 3),
    st.floats(0, 2),
    st.floats(0.1, 2.0),
)
@steady(40)
def test_draining_and_returning_at_every_turn_gives_no_more_than_the_fair_share(
    seats: int, batch: int, rivals: int, pause_s: float, hold_s: float
) -> None:
    """It asks for a batch, waits until all of it is done, pauses, and asks again."""
    flood = [f"flood{number}" for number in range(rivals)]
    world = SeatsWorld(seats, {"one": 1.0, **dict.fromkeys(flood, 1.0)}, lambda _name, _turn: hold_s)
    world.when_over = lambda tenant: world.ask(tenant) if tenant != "one" else None
    for name in flood:
        world.ask(name, seats + 2)
    end_s = 300 * hold_s
    asked = 0
    while world.now_s < end_s:
        world.ask("one", batch)
        asked += batch
        while (len(world.waits["one"]) < asked or world.held["one"]) and world.now_s < end_s:
            world.run_until(world.now_s + hold_s / 4)
        world.run_until(world.now_s + pause_s * hold_s)
    share = world.now_s * seats / (1 + rivals)
    slack = OWED_S_MAX * seats + 2 * max(hold_s, 5.0)
    assert world.seat_seconds["one"] <= share + slack, "cheap return: more than the fair share"


@given(st.floats(0, 1000), st.floats(0, 1000))
@steady(40)
def test_where_nobody_waits_a_newcomer_starts_where_the_last_turn_was(busy_s: float, gap_s: float) -> None:
    order: FairQueue[int] = FairQueue(of_seats(1))
    last = 0.0
    for number in range(3):
        order.enqueue(number, tenant="early", weight=1, now_s=number * busy_s)
        assert order.grant(number * busy_s) == number
        last = order._attained(order._accounts["early"], number * busy_s)
        order.release(tenant="early", cost=busy_s, now_s=(number + 1) * busy_s)
    now_s = 3 * busy_s + gap_s
    order.enqueue(9, tenant="new", weight=1, now_s=now_s)
    assert order._attained(order._accounts["new"], now_s) == pytest.approx(last), "hoarding: a newcomer brings credit"


@given(st.floats(0.1, 500), st.integers(2, 5), st.sampled_from([0.2, 0.4, 0.6, 60.0]))
@steady(30)
def test_what_is_owed_is_bounded_and_paid_once_and_soon(lag_s: float, returns: int, away_s: float) -> None:
    """One lags behind when its line runs out; it comes back and goes again without a turn, and has been paid."""
    order: FairQueue[str] = FairQueue(of_seats(1))
    for ticket in ("flood1", "flood2", "flood3"):
        order.enqueue(ticket, tenant="flood", weight=1, now_s=0)
    order.grant(0)
    order.enqueue("one", tenant="one", weight=1, now_s=0)
    order.release(tenant="flood", cost=lag_s, now_s=lag_s)
    assert order.grant(lag_s) == "one"
    order.release(tenant="one", cost=0, now_s=lag_s)
    # The flood's next request makes the floor rise a little, of which nothing is owed to anybody.
    order.grant(lag_s)
    now_s = lag_s + away_s
    order.release(tenant="flood", cost=away_s, now_s=now_s)
    order.enqueue("back", tenant="one", weight=1, now_s=now_s)
    owed = order._attained(order._accounts["flood"], now_s) - order._attained(order._accounts["one"], now_s)
    expected = min(lag_s, OWED_S_MAX) if away_s <= MOMENT_S else 0.0
    assert owed == pytest.approx(expected, abs=EPSILON), "hoarding: more than what it lagged behind, or than the bound"
    assert OWED_S_MAX <= 2, "hoarding: more than two seconds of everything"
    order.withdraw("back", tenant="one")
    assert order.grant(now_s) == "flood3"
    order.release(tenant="flood", cost=60, now_s=now_s + 60)
    for number in range(returns):
        order.enqueue("flood", tenant="flood", weight=1, now_s=now_s + 60)
        order.enqueue(f"again{number}", tenant="one", weight=1, now_s=now_s + 60)
        behind_s = order._attained(order._accounts["flood"], now_s + 60) - order._attained(
            order._accounts["one"], now_s + 60
        )
        assert behind_s <= EPSILON, "hoarding: what is owed is paid again"
        order.withdraw(f"again{number}", tenant="one")
        order.withdraw("flood", tenant="flood")
