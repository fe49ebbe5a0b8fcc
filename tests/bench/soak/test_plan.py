"""The load is what it is meant to be, and the same each time."""

import itertools

import pytest

from bench.soak import plan

SEATS = 64


def test_the_same_seed_plans_the_same() -> None:
    assert plan.visits(60, seats=SEATS) == plan.visits(60, seats=SEATS)
    assert plan.visits(60, seats=SEATS) != plan.visits(60, seats=SEATS, seed=2)


def test_the_load_is_the_planned_part_of_the_seats() -> None:
    seconds = 40 * plan.PERIOD_S
    planned = plan.visits(seconds, seats=SEATS)

    def held_for_s(visit: plan.Visit) -> float:
        whole_s = visit.tokens * plan.TOKEN_S + plan.EDGES_S
        # A relayed answer cannot be cancelled.
        is_cancelled = visit.leaves_after_s is not None and visit.route == "job"
        return min(whole_s, visit.leaves_after_s) if is_cancelled else whole_s

    held_s = list(map(held_for_s, planned))
    assert sum(held_s) / seconds / SEATS == pytest.approx(plan.LOAD, rel=0.05)
    assert all(one.at_s <= other.at_s for one, other in itertools.pairwise(planned))
    assert planned[-1].at_s < seconds


def test_halves_are_halves_and_one_in_five_leaves() -> None:
    planned = plan.visits(600, seats=SEATS)
    count = len(planned)
    leaving_s = [each.leaves_after_s for each in planned if each.leaves_after_s is not None]
    assert sum(each.is_stream for each in planned) / count == pytest.approx(0.5, abs=0.02)
    assert sum(each.route == "job" for each in planned) / count == pytest.approx(0.5, abs=0.02)
    assert len(leaving_s) / count == pytest.approx(plan.LEAVING, abs=0.02)
    assert sum(after_s < plan.EARLY_S for after_s in leaving_s) > len(leaving_s) / 2
    assert {each.tenant for each in planned} == plan.TENANTS.keys()


def test_a_burst_asks_for_more_than_there_is() -> None:
    planned = plan.visits(20 * plan.PERIOD_S, seats=SEATS)
    in_bursts = sum(each.at_s % plan.PERIOD_S < plan.BURST_S for each in planned)
    assert in_bursts / len(planned) == pytest.approx(
        plan.BURST_LOAD * plan.BURST_S / (plan.LOAD * plan.PERIOD_S), abs=0.03
    )
