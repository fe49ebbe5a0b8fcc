"""Tenants that always wait and began together: how far apart they ever are, over many mixtures."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from numpy.random import RandomState

from bench.fairness.machine import Request, simulate
from bench.fairness.measures import normalised_gap
from bench.fairness.orders import ORDER_NAMES, seat_orders

CASES = 120
SEATS = (1, 2, 3, 4, 6, 8, 12, 19, 32, 50, 75, 100)
TURNS = 12
"""How often every seat is given away, roughly."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """Tenants by weight, and how long the requests of each take."""

    seats: int
    weights: Mapping[str, float]
    hold_s: Callable[[RandomState, str], float]
    ends_s: float


def mixture(seed: int) -> Mixture:
    """One of them: two to six tenants, equal or unequal weights, holds that are fixed, differ or vary."""
    chance = RandomState(seed)
    seats = SEATS[seed % len(SEATS)]
    tenants = [str(number) for number in range(chance.randint(2, 7))]
    is_weighted, is_mixed, is_random = (chance.rand(3) < 0.5).tolist()
    weights = {name: float(chance.randint(1, 6)) if is_weighted else 1.0 for name in tenants}
    mean_s = float(10 ** chance.uniform(0, 1.5))
    means_s = {name: mean_s * (float(10 ** chance.uniform(-1, 0)) if is_mixed else 1.0) for name in tenants}

    def hold_s(draw: RandomState, tenant: str) -> float:
        return means_s[tenant] * (float(draw.uniform(0.2, 1.8)) if is_random else 1.0)

    return Mixture(seats, weights, hold_s, TURNS * mean_s)


def gaps(seed: int) -> dict[str, float]:
    """The largest distance under each order, in longest requests by the smallest weight."""
    given = mixture(seed)
    found = {}
    for order, fresh in seat_orders(given.seats).items():
        chance = RandomState(seed)

        def ask(tenant: str, at_s: float, chance: RandomState = chance) -> Request:
            return Request(at_s, tenant, given.hold_s(chance, tenant))

        def ask_again(started: Request, now_s: float, ask: Callable[[str, float], Request] = ask) -> Iterable[Request]:
            return [ask(started.tenant, now_s)]

        # Tenant by tenant in turn, so that nobody is alone for longer than an instant.
        first = [ask(tenant, 0.0) for _ in range(given.seats + 1) for tenant in given.weights]
        run = simulate(
            fresh, first, seats=given.seats, weights=given.weights, until_s=given.ends_s, follow_up=ask_again
        )
        found[order] = normalised_gap(run.starts, given.weights)
    return found


def largest_gaps() -> dict[str, float]:
    """Over all mixtures."""
    every = [gaps(seed) for seed in range(CASES)]
    return {order: max(each[order] for each in every) for order in ORDER_NAMES}
