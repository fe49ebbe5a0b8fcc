"""The other scenarios tell a fair order from an unfair one."""

from dataclasses import replace

import pytest
from numpy.random import RandomState

from bench.fairness import closed_loop, concurrency_keys, decision_cost, flood, rest_gap
from bench.fairness.call_rate import LIMIT, send_calls
from bench.fairness.closed_loop import Client, Scenario
from bench.fairness.machine import simulate
from bench.fairness.measures import percentile
from bench.fairness.orders import call_orders, seat_orders
from gateway.fairshare.cost_model import of_seats
from gateway.fairshare.fair_queue import FairQueue


def test_many_threads_win_under_fifo_only() -> None:
    scenario = Scenario(4, [Client(20, 100, 1, 0), Client(4, 100, 1, -1e-9)], 40, "")
    errors = closed_loop.errors(scenario)
    assert errors["FIFO"][0] > 0.3
    assert errors["ours"][0] < 0.03


def test_a_split_scenario_is_judged_in_halves() -> None:
    assert all(len(each) == 2 for each in closed_loop.errors(closed_loop.SCENARIOS["Windup"]).values())


def test_a_flood_is_felt_under_fifo_and_not_under_ours() -> None:
    case = replace(flood.CASES["2 tenants"], measured_s=30)
    requests = flood.flood_requests(case, 1)
    waits_s = {
        name: simulate(order, requests, seats=case.seats, until_s=case.ends_s).waits_s(
            flood.victims_of(case), flood.FLOOD_FROM_S, case.ends_s - 3
        )
        for name, order in seat_orders(case.seats).items()
    }
    assert percentile(waits_s["FIFO"], 99) > 10
    assert percentile(waits_s["ours"], 99) < 0.5


def test_calls_are_paced_and_polite_ones_pass() -> None:
    chance = RandomState(3)
    arrivals = sorted(
        (float(at_s), tenant)
        for tenant, count in (("polite", 100), ("flood", 6000))
        for at_s in chance.uniform(0, 5, count)
    )
    runs = {name: send_calls(order, arrivals) for name, order in call_orders(193).items()}
    assert percentile(runs["FIFO"].polite_waits_s, 99) > 5
    assert percentile(runs["ours"].polite_waits_s, 99) < 0.1
    assert all(run.most_in_a_window <= LIMIT.per_10s for run in runs.values())


def test_a_light_key_waits_for_a_heavy_one_under_fifo_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency_keys, "SEEDS", range(2))
    results = concurrency_keys.key_results.__wrapped__("ckTrickle")
    assert results["FIFO"].wait_ms > 500
    assert results["ours"].wait_ms < 40
    assert results["ours"].makespan_ms == pytest.approx(results["FIFO"].makespan_ms, rel=0.05)


def test_from_rest_ours_stays_within_a_request() -> None:
    gaps = rest_gap.gaps(11)
    assert gaps["ours"] <= 1.1
    assert gaps["attained only"] > 2


def test_refreshes_are_counted_and_the_order_is_the_same() -> None:
    plain = decision_cost.Cycle(FairQueue[int](of_seats(8)), 5)
    counting = decision_cost.CountingOrder(of_seats(8))
    counted = decision_cost.Cycle(counting, 5)
    for step in decision_cost.steps(5, 300):
        plain.take(step)
        counted.take(step)
        assert plain.holders == counted.holders
    assert counting.heap.refreshes > 0


def test_waiting_tickets_weigh_little() -> None:
    assert decision_cost.waiting_megabytes(1000) < 2
