"""Orders on cases small enough to do by hand."""

import pytest

from bench.fairness.machine import Request, simulate
from bench.fairness.orders import ORDER_NAMES, Fifo, Order, RoundRobin, Vtc, call_orders, seat_orders


def turns(order: Order, tickets: str) -> str:
    """Tickets named by their tenants, all there at once; who is granted, one after the other."""
    for number, tenant in enumerate(tickets):
        order.enqueue(number, tenant=tenant, weight=1.0, now_s=0.0)
    assert len(order) == len(tickets)
    granted: list[int] = []
    while (ticket := order.grant(0.0)) is not None:
        granted.append(ticket)
    assert len(order) == 0
    return "".join(tickets[each] for each in granted)


def test_fifo_takes_them_as_they_come() -> None:
    assert turns(Fifo(), "aaabbc") == "aaabbc"


def test_round_robin_goes_round() -> None:
    assert turns(RoundRobin(), "aaabbc") == "abcaba"


def test_seats_held_right_now_count_for_ours() -> None:
    assert turns(seat_orders(10)["ours"], "aaabbc") == "abcaba"


@pytest.mark.parametrize("name", ["VTC", "attained only", "ours"])
def test_calls_are_shared_by_number(name: str) -> None:
    assert turns(call_orders(10)[name], "aaabbc") == "abcaba"


def test_vtc_prefers_who_has_had_less() -> None:
    """One seat. b comes when a has had 1 s and has 4 s in the end: three of b's requests of 1 s, then it is even."""
    requests = [Request(0, "a", 4), Request(1, "a", 1), *(Request(1, "b", 1) for _ in range(5))]
    run = simulate(Vtc(second_cost=1.0), requests, seats=1)
    assert "".join(start.request.tenant for start in run.starts) == "abbbabb"


def test_vtc_lifts_who_comes_back() -> None:
    """b was away while a was served for 10 s. It takes turns then, and does not make up for its absence."""
    requests = [*(Request(0, "a", 1) for _ in range(14)), *(Request(9.5, "b", 1) for _ in range(4))]
    run = simulate(Vtc(second_cost=1.0), requests, seats=1)
    assert "".join(start.request.tenant for start in run.starts)[10:] == "babababa"


def test_vtc_charges_the_prompt_at_once() -> None:
    """Without it nothing has been charged yet when the second seat is given away."""
    assert turns(Vtc(second_cost=1.0, grant_cost=lambda _: 5.0), "aab") == "aba"


def test_vtc_counts_by_weight() -> None:
    order = Vtc(second_cost=0.0, grant_cost=lambda _: 1.0)
    for number in range(12):
        order.enqueue(number, tenant="ab"[number % 2], weight=(1.0, 2.0)[number % 2], now_s=0.0)
    granted = [order.grant(0.0) for _ in range(6)]
    assert sum(number % 2 == 1 for number in granted if number is not None) == 4


@pytest.mark.parametrize("name", ORDER_NAMES)
def test_nobody_is_next_when_nobody_waits(name: str) -> None:
    assert seat_orders(3)[name].grant(0.0) is None
