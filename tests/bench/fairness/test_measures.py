"""Measures on runs that are written down by hand."""

import pytest

from bench.fairness import measures
from bench.fairness.machine import Request, Run, Start


def start(tenant: str, arrival_s: float, start_s: float, hold_s: float, output_tokens: int = 50) -> Start:
    return Start(Request(arrival_s, tenant, hold_s, 0, output_tokens), start_s)


def run(*starts: Start, unserved: tuple[Request, ...] = (), seats: int = 1) -> Run:
    return Run(starts, unserved, seats, {}, 0.0)


def test_service_is_spread_evenly_over_the_hold() -> None:
    """100 in token cost over ten seconds, of which the window sees six."""
    service = measures.service_between([start("a", 0, 4, 10)], 0, 10)
    assert service == {"a": pytest.approx(60)}


def test_the_points_are_those_of_the_artifact() -> None:
    points = measures.window_starts()
    assert len(points) == 19
    assert points[0] == pytest.approx(28.5)
    assert points[-1] == pytest.approx(541.5)


def test_service_difference_asks_only_for_what_was_wanted() -> None:
    """All the time a is served 10 a second. b wants 4 a second and has 1, so it lacks 3, not 9."""
    served = [start("a", at_s, at_s, 1, 5) for at_s in range(660)]
    served += [start("b", at_s, at_s, 1, 2) for at_s in range(0, 660, 4)]
    wanted = [Request(at_s, "b", 1, 0, 2) for at_s in range(660) if at_s % 4]
    difference = measures.service_difference(run(*served, unserved=tuple(wanted), seats=2))
    assert difference.mean == pytest.approx(3, rel=0.05)
    assert difference.largest == pytest.approx(3, rel=0.1)
    assert difference.variance < 0.05


def test_jain() -> None:
    assert measures.jain([2, 2, 2]) == pytest.approx(1)
    assert measures.jain([3, 0, 0]) == pytest.approx(1 / 3)
    assert measures.jain([0, 0]) == 1


def test_only_who_waits_all_through_is_backlogged() -> None:
    every = run(
        start("a", 0, 5, 1),
        start("a", 3, 9, 1),
        start("a", 20, 21, 1),
        start("b", 1, 1, 1),
        unserved=(Request(2, "c", 1),),
    )
    spans = measures.waiting_times(every)
    assert spans["a"] == [(0, 9), (20, 21)]
    assert spans["b"] == []
    assert spans["c"][0][0] == 2


def test_percentiles_are_nearest_ranks() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [measures.percentile(values, percent) for percent in (0, 50, 99, 100)] == [1, 50, 99, 100]


def test_utilisation_counts_seats_that_somebody_could_have_used() -> None:
    full = run(start("a", 0, 0, 10), start("b", 0, 10, 10))
    assert measures.utilisation(full, 0, 20) == pytest.approx(1)
    idle = run(start("a", 0, 0, 10), start("b", 0, 15, 5))
    assert measures.utilisation(idle, 0, 20) == pytest.approx(0.75)
    nobody_asks = run(start("a", 0, 0, 5))
    assert measures.utilisation(nobody_asks, 0, 20) == pytest.approx(1)


def test_the_gap_is_in_longest_requests_by_the_least_weight() -> None:
    """After four seconds a has had four and b nothing; b's request begins then."""
    assert measures.normalised_gap([start("a", 0, 0, 4), start("b", 0, 4, 4)], {"a": 1, "b": 1}) == pytest.approx(1)
    assert measures.normalised_gap([start("a", 0, 0, 4), start("b", 0, 4, 4)], {"a": 2, "b": 1}) == pytest.approx(0.5)


def test_throughput_counts_until_the_last_is_done() -> None:
    assert measures.throughput(run(start("a", 0, 0, 10), start("a", 0, 15, 10))) == pytest.approx(100 / 25)
