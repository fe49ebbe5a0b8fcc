"""The simulated server gives out no more than it has, and all that is asked for."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.fairness.machine import Request, busy_seats, simulate
from bench.fairness.measures import seat_seconds
from bench.fairness.orders import ORDER_NAMES, Fifo, seat_orders

REQUESTS = st.lists(
    st.builds(
        Request,
        arrival_s=st.integers(0, 40).map(lambda number: number / 4),
        tenant=st.sampled_from("abc"),
        hold_s=st.integers(1, 20).map(lambda number: number / 4),
    ),
    max_size=40,
)


@pytest.mark.parametrize("name", ORDER_NAMES)
@settings(max_examples=40, deadline=None)
@given(requests=REQUESTS, seats=st.integers(1, 4))
def test_service_is_conserved(name: str, requests: list[Request], seats: int) -> None:
    run = simulate(seat_orders(seats)[name], requests, seats=seats)
    assert sorted(map(repr, requests)) == sorted(repr(start.request) for start in run.starts)
    assert not run.unserved
    assert all(start.wait_s >= 0 for start in run.starts)
    assert all(0 <= held <= seats for _, held in busy_seats(run))
    given_out = sum(seat_seconds(run.starts, 0, 1000).values())
    assert given_out == pytest.approx(sum(request.hold_s for request in requests))


@settings(max_examples=40, deadline=None)
@given(requests=REQUESTS, seats=st.integers(1, 4))
def test_who_waits_finds_all_seats_taken(requests: list[Request], seats: int) -> None:
    run = simulate(seat_orders(seats)["ours"], requests, seats=seats)
    for start in run.starts:
        if start.wait_s > 0:
            just_before = [each for each in run.starts if each.start_s < start.start_s <= each.end_s]
            assert len(just_before) == seats


def test_what_still_waits_at_the_end_is_told() -> None:
    requests = [Request(0.0, "a", 10.0), Request(1.0, "b", 1.0), Request(30.0, "b", 1.0)]
    run = simulate(Fifo(), requests, seats=1, until_s=5.0)
    assert [start.request.tenant for start in run.starts] == ["a"]
    assert run.unserved == [requests[1]]
    assert run.tenants == ["a", "b"]
    assert run.waits_s("b") == [0.0]
    assert run.waits_s("a", 0.5) == []


def test_tenants_may_ask_again_when_they_are_served() -> None:
    def twice(started: Request, now_s: float) -> Iterable[Request]:
        return [Request(now_s + started.hold_s, started.tenant, 1.0)] if now_s < 2 else []

    run = simulate(Fifo(), [Request(0.0, "a", 1.0)], seats=1, follow_up=twice)
    assert [start.start_s for start in run.starts] == [0.0, 1.0, 2.0]
