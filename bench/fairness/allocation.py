"""How a capacity is divided at once: the cases of youtube/doorman's algorithm_test.go, and many random ones.

Its test of the first come without a preloaded store is left out: there a lease is never taken back, which is about
leases and not about shares. Its proportional share is another goal; where both agree the case is used.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from numpy.random import RandomState

from gateway.fairshare.allocator import water_fill

Demands = Mapping[str, tuple[float, float]]
"""By client: what it wants, and its weight (its subclients)."""

RANDOM_CASES = 20_000
RANDOM_CAPACITY = 120.0


@dataclass(frozen=True, slots=True)
class Case:
    """What each client wants and should get."""

    name: str
    capacity: float
    wants: Sequence[float]
    gets: Sequence[float]
    weights: Sequence[float] = ()

    @property
    def demands(self) -> Demands:
        """As the allocator takes them."""
        weights = self.weights or [1.0] * len(self.wants)
        return {f"c{number}": each for number, each in enumerate(zip(self.wants, weights, strict=True))}


CASES = (
    Case("FairShare", 120, (1000, 60, 10), (55, 55, 10)),
    Case("FairShareLowerExtra", 120, (1000, 50, 10), (60, 50, 10)),
    Case("FairShareWithMultipleSubclients", 120, (1000, 500, 200), (60, 40, 20), (6, 4, 2)),
    Case("FairShareWithMultipleSubclients, 2", 1000, (2000, 500, 700), (200, 200, 600), (10, 10, 30)),
    Case("ProportionalShare", 120, (60, 60, 10), (55, 55, 10)),
    Case("ProportionalShareWithMultipleSubclients", 120, (65, 45, 20), (60, 40, 20), (3, 2, 1)),
    Case(
        "more than two rounds",
        120,
        (7.15, 4.01, 1.69, 0.65, 0.5, 15.28, 35.61, 57.2),
        (7.15, 4.01, 1.69, 0.65, 0.5, 15.28, 35.61, 55.11),
    ),
)


def largest_error(case: Case) -> float:
    """How far the allocator is from what a client should get."""
    given = water_fill(case.capacity, case.demands)
    return max(abs(given[name] - gets) for name, gets in zip(case.demands, case.gets, strict=True))


def random_demands(chance: RandomState) -> Demands:
    """Three to twelve clients of equal weight that want from next to nothing to nearly everything."""
    wants = (RANDOM_CAPACITY * 10 ** chance.uniform(-2.5, 0, chance.randint(3, 13))).tolist()
    return {f"c{number}": (want, 1.0) for number, want in enumerate(wants)}


def unfairness(capacity: float, demands: Demands) -> float:
    """By how much an allocation breaks a law of max-min fairness; zero if it is the one.

    Nobody gets more than it wants, everything is given that is wanted, and who gets less than it wants gets, by weight,
    at least what anybody else gets.
    """
    given = water_fill(capacity, demands)
    greed = max(given[name] - want for name, (want, _) in demands.items())
    idle = abs(min(capacity, sum(want for want, _ in demands.values())) - sum(given.values()))
    level = {name: given[name] / weight for name, (_, weight) in demands.items()}
    hungry = [level[name] for name, (want, _) in demands.items() if given[name] < want - 1e-9]
    envy = max(level.values()) - min(hungry, default=max(level.values()))
    return max(greed, idle, envy, 0.0)


def two_rounds(capacity: float, demands: Demands) -> dict[str, float]:
    """Doorman's FAIR_SHARE for clients of equal weight: what is left over is shared out twice, and not again."""
    equal = capacity / len(demands)
    given = {}
    for name, (want, _) in demands.items():
        others = [wanted for other, (wanted, _) in demands.items() if other != name]
        share = equal
        for _ in range(2):
            left = sum(max(0.0, share - wanted) for wanted in others)
            rivals = 1 + sum(wanted > share for wanted in others)
            if want <= share:
                break
            others = [wanted for wanted in others if wanted > share]
            share += left / rivals
        given[name] = min(want, share)
    return given


@dataclass(frozen=True, slots=True)
class RandomCases:
    """What came of the random cases."""

    worst_unfairness: float
    doorman_differs: float
    """The part of the cases."""
    doorman_idle: float
    """At most, of the capacity, while somebody wants it."""


def random_cases(count: int = RANDOM_CASES) -> RandomCases:
    """The allocator against the laws, and Doorman's two rounds against the allocator."""
    chance = RandomState(1)
    worst, differs, idle = 0.0, 0, 0.0
    for _ in itertools.repeat(None, count):
        demands = random_demands(chance)
        worst = max(worst, unfairness(RANDOM_CAPACITY, demands))
        exact = water_fill(RANDOM_CAPACITY, demands)
        rounds = two_rounds(RANDOM_CAPACITY, demands)
        differs += any(abs(exact[name] - rounds[name]) > 1e-6 for name in demands)
        idle = max(idle, sum(exact.values()) - sum(rounds.values()))
    return RandomCases(worst, differs / count, idle)
