"""A request that Runpod answered with 429 leaves its tenant as if it had never been sent."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.admission.gate import Gate
from gateway.admission.permit import Permit
from gateway.domain import Tenant
from gateway.fairshare.cost_model import of_seats
from gateway.fairshare.fair_queue import FairQueue
from tests.invariants.profile import steady
from tests.invariants.stage import Stage

Farewell = Callable[[Gate, Permit], None]
A, B = Tenant(name="a", weight=2.0), Tenant(name="b")


def refuse(gate: Gate, permit: Permit) -> None:
    gate.refused_upstream(permit, retry_after_s=0.0)


def charge_and_refuse(cost: float) -> Farewell:
    """The gate is paused for a while then, so that nobody else's turn comes before it is looked at."""

    def farewell(gate: Gate, permit: Permit) -> None:
        gate.charge(permit, cost)
        gate.refused_upstream(permit, retry_after_s=5.0)

    return farewell


@given(st.sampled_from([None, 50, 1000]), st.floats(0, 50), st.floats(0, 100), st.integers(1, 20))
@steady(60)
def test_a_429_leaves_service_and_the_place_in_the_order_as_they_were(
    per_10s: int | None, lasts_s: float, charged: float, served_before: int
) -> None:
    with Stage(1, per_10s=per_10s) as stage:
        for _ in range(served_before):
            stage.submit(A).ends.set()
            stage.submit(B).ends.set()
            stage.pass_time(1.0)
        stage.submit(B)
        stage.settle()
        refused = stage.submit(A)
        for tenant in (A, A, A, B, B, B):
            stage.submit(tenant)
        stage.settle()
        order = stage.gate._queue
        before, served = (
            order._attained(order._accounts["a"], stage.clock.now_s),
            order.served(["a"], stage.clock.now_s)["a"],
        )
        while not refused.is_inside:
            stage.inside()[0].ends.set()
            stage.pass_time(1.0)
        stage.pass_time(lasts_s)
        refused.farewell = charge_and_refuse(charged)
        refused.ends.set()
        stage.settle()
        now_s = stage.clock.now_s
        assert order._accounts["a"].held == 0
        assert order.served(["a"], now_s)["a"] == pytest.approx(served, abs=1e-6), "refund: service was charged"
        assert order._attained(order._accounts["a"], now_s) == pytest.approx(before, abs=1e-6), (
            "refund: service per weight"
        )
        stage.cancel_all()
        stage.check_nothing_is_left()


def test_a_429_while_nobody_waits_leaves_the_place_of_newcomers_as_it_was() -> None:
    """One has had 50 s of the seat, a request of it is refused at once, and then a newcomer comes."""
    attained = []
    for is_sent in (False, True):
        order: FairQueue[str] = FairQueue(of_seats(1))
        order.enqueue("long", tenant="a", weight=1, now_s=0)
        assert order.grant(0) == "long"
        order.release(tenant="a", cost=50, now_s=50)
        if is_sent:
            order.enqueue("refused", tenant="a", weight=1, now_s=50)
            assert order.grant(50) == "refused"
            order.forgive("a", 0.0, 50)
            order.release(tenant="a", cost=0, now_s=50)
        order.enqueue("new", tenant="new", weight=1, now_s=50)
        attained.append(order._attained(order._accounts["new"], 50))
    assert attained[0] == attained[1], "refund: a newcomer stands elsewhere"


def turns_after(*, is_refused: bool, lasts_s: float) -> list[str]:
    """Who is served in which order afterwards, where one of a's requests was refused or never came."""
    with Stage(1) as stage:
        return turns_at(stage, is_refused=is_refused, lasts_s=lasts_s)


def turns_at(stage: Stage, *, is_refused: bool, lasts_s: float) -> list[str]:
    first = stage.submit(A) if is_refused else None
    stage.settle()
    if first is None:
        filler = stage.submit(Tenant(name="filler"))
        stage.settle()
    visits = [stage.submit(tenant) for _ in range(8) for tenant in (B, A)]
    stage.settle()
    stage.pass_time(lasts_s)
    if first is not None:
        first.farewell = refuse
        first.ends.set()
    else:
        filler.ends.set()
    turns: list[str] = []
    while len(turns) < len(visits):
        stage.pass_time(1.0)
        (inside,) = stage.inside()
        turns.append(inside.tenant.name)
        inside.ends.set()
    stage.drain()
    return turns


@given(st.floats(0.0, 200.0))
@steady(30)
def test_after_a_429_the_turns_come_as_if_it_had_never_been_sent(lasts_s: float) -> None:
    """In the other world a stranger held the seat instead, and nothing of the tenant's was refused."""
    refused = turns_after(is_refused=True, lasts_s=lasts_s)
    never_sent = turns_after(is_refused=False, lasts_s=lasts_s)
    assert refused.count("a") == never_sent.count("a") == 8
    # Ties may fall either way.
    for turn in range(1, len(refused) + 1):
        assert abs(refused[:turn].count("a") - never_sent[:turn].count("a")) <= 1, "refund: the turns differ"
