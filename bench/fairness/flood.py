"""Tenants that ask for less than their share, beside one that asks for three times all there is."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from numpy.random import RandomState

from bench.fairness.machine import Request, Run, simulate
from bench.fairness.orders import ATTAINED_ONLY, ORDER_NAMES, VTC, seat_orders

FLOOD = "flood"
FLOOD_LOAD = 3.0
"""Of everything the server has."""
FLOOD_FROM_S = 60.0
"""Before it the others are alone."""

Hold = Callable[[RandomState, int], list[float]]


def lognormal(mean_s: float) -> Hold:
    """Holds as those of completions are: many short, a few very long (sigma 1)."""
    return lambda chance, count: (mean_s * chance.lognormal(-0.5, 1.0, count)).tolist()


def fixed(hold_s: float) -> Hold:
    """Holds that are all the same."""
    return lambda _, count: [hold_s] * count


@dataclass(frozen=True, slots=True, kw_only=True)
class FloodCase:
    """The others, what they ask for in parts of their share, and how long requests take."""

    seats: int
    victims: int
    victim_load: float
    victim_mean_s: float
    victim_hold: Hold
    flood_mean_s: float
    flood_hold: Hold
    measured_s: float
    """How long after the beginning of the flood."""
    seeds: Sequence[int] = (1, 2, 3, 4, 5)

    @property
    def ends_s(self) -> float:
        """When the run is over, whoever still waits."""
        return FLOOD_FROM_S + self.measured_s


CASES: dict[str, FloodCase] = {
    "2 tenants": FloodCase(
        seats=400,
        victims=1,
        victim_load=0.5,
        victim_mean_s=12,
        victim_hold=lognormal(12),
        flood_mean_s=12,
        flood_hold=lognormal(12),
        measured_s=180,
    ),
    "10 tenants at 90 %": FloodCase(
        seats=400,
        victims=10,
        victim_load=0.9,
        victim_mean_s=12,
        victim_hold=lognormal(12),
        flood_mean_s=12,
        flood_hold=lognormal(12),
        measured_s=180,
    ),
    "1 s beside 60 s": FloodCase(
        seats=400,
        victims=1,
        victim_load=0.5,
        victim_mean_s=1,
        victim_hold=lognormal(1),
        flood_mean_s=60,
        flood_hold=lognormal(60),
        measured_s=180,
        # One run's p99 is anything from 0.5 to 1.1 s.
        seeds=range(1, 13),
    ),
    "1 s beside 60 s in step": FloodCase(
        # All of the flood's requests take equally long, so its seats come free together, and none in between.
        seats=400,
        victims=1,
        victim_load=0.5,
        victim_mean_s=1,
        victim_hold=fixed(1),
        flood_mean_s=60,
        flood_hold=fixed(60),
        measured_s=360,
        seeds=(1, 2),
    ),
    "few seats": FloodCase(
        seats=8,
        victims=1,
        victim_load=0.5,
        victim_mean_s=12,
        victim_hold=lognormal(12),
        flood_mean_s=12,
        flood_hold=lognormal(12),
        measured_s=3000,
    ),
}


def victims_of(case: FloodCase) -> list[str]:
    """The names of the others."""
    return [f"polite {number}" for number in range(case.victims)]


def flood_requests(case: FloodCase, seed: int) -> list[Request]:
    """All that is asked for, by Poisson arrivals."""
    chance = RandomState(seed)
    share = case.seats / (case.victims + 1)
    requests: list[Request] = []
    for tenant in victims_of(case):
        rate = case.victim_load * share / case.victim_mean_s
        requests += _poisson(chance, tenant, rate, (0.0, case.ends_s), case.victim_hold)
    rate = FLOOD_LOAD * case.seats / case.flood_mean_s
    requests += _poisson(chance, FLOOD, rate, (FLOOD_FROM_S, case.ends_s), case.flood_hold)
    return sorted(requests, key=lambda each: each.arrival_s)


def _poisson(
    chance: RandomState, tenant: str, rate: float, span_s: tuple[float, float], hold: Hold
) -> Sequence[Request]:
    from_s, to_s = span_s
    count = chance.poisson(rate * (to_s - from_s))
    arrivals_s = chance.uniform(from_s, to_s, count).tolist()
    return [Request(at_s, tenant, hold_s) for at_s, hold_s in zip(arrivals_s, hold(chance, count), strict=True)]


@functools.cache
def flood_runs(name: str) -> dict[str, list[Run]]:
    """Each order's runs of this case, one a seed."""
    case = CASES[name]
    runs: dict[str, list[Run]] = {order: [] for order in ORDER_NAMES}
    for seed in case.seeds:
        requests = flood_requests(case, seed)
        for order, fresh in seat_orders(case.seats).items():
            if order != VTC:
                runs[order].append(simulate(fresh, requests, seats=case.seats, until_s=case.ends_s))
    # There are no prompts here, without which the two do the same.
    runs[VTC] = runs[ATTAINED_ONLY]
    return runs


def victims_waits_s(name: str, run: Run) -> list[float]:
    """How long the others waited while the flood lasted; but for the last seconds, when nobody can wait long yet."""
    case = CASES[name]
    return run.waits_s(victims_of(case), FLOOD_FROM_S, case.ends_s - case.measured_s / 10)
