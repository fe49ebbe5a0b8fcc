"""The scenarios with which trigger.dev compared caps and fair orders for its run queue (pull request 4353).

Four seats, runs of 25 ms in the mean (exponential, whole milliseconds), and keys that flood or trickle. Their random
numbers are not drawn again here, so means over many seeds are what can be compared.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from numpy.random import RandomState

from bench.fairness.machine import Request, Run, simulate
from bench.fairness.orders import ORDER_NAMES, seat_orders

SEATS = 4
HOLD_MS_MEAN = 25.0
SEEDS = range(40)


@dataclass(frozen=True, slots=True)
class Key:
    """Runs of one key: all at once, or at Poisson times."""

    name: str
    runs: int
    per_s: float | None = None
    tenant: str = ""
    """Who is behind it; else it is a tenant of its own."""


@dataclass(frozen=True, slots=True)
class KeyScenario:
    """Keys, and the one whose wait is looked at."""

    keys: Sequence[Key]
    watched: str
    published: str


_SYBIL = "trigger.dev: baseline 1767, per-key cap 1718, SFQ 462"
SCENARIOS: dict[str, KeyScenario] = {
    "ckSkew": KeyScenario(
        [Key("heavy", 240), *(Key(f"light-{number}", 15, 10) for number in range(1, 5))],
        "light-1",
        "trigger.dev: baseline 1098, per-key cap 20, SFQ 14",
    ),
    "ckTrickle": KeyScenario(
        [Key("bulk", 240), *(Key(f"trickle-{number}", 30, 25) for number in range(1, 3))],
        "trickle-1",
        "trigger.dev: baseline 1107, per-key cap 19, SFQ 17",
    ),
    "ckSybil, ten keys of one tenant": KeyScenario(
        [*(Key(f"heavy-{number}", 30, tenant="heavy") for number in range(10)), Key("light", 20, 40)],
        "light",
        _SYBIL,
    ),
    "ckSybil, ten tenants": KeyScenario(
        [*(Key(f"heavy-{number}", 30) for number in range(10)), Key("light", 20, 40)],
        "light",
        _SYBIL,
    ),
    "ckHeavyIdle": KeyScenario([Key("heavy", 200)], "heavy", "trigger.dev: makespan 1240, per-key cap 2507"),
}


def _whole_ms(chance: RandomState, mean_ms: float) -> float:
    return max(1.0, float(round(chance.exponential(mean_ms))))


def _requests(scenario: KeyScenario, seed: int) -> list[Request]:
    chance = RandomState(seed)
    requests = []
    for key in scenario.keys:
        at_ms = 0.0
        for number in range(key.runs):
            if key.per_s and number:
                at_ms += _whole_ms(chance, 1000 / key.per_s)
            hold_ms = _whole_ms(chance, HOLD_MS_MEAN)
            requests.append(Request(at_ms / 1000, key.tenant or key.name, hold_ms / 1000))
    return sorted(requests, key=lambda each: each.arrival_s)


@dataclass(frozen=True, slots=True)
class KeyResult:
    """Means over all seeds."""

    wait_ms: float
    makespan_ms: float
    """When the last run got its seat."""


def _result(runs: Sequence[Run], watched: str) -> KeyResult:
    waits_s = [fmean(run.waits_s([watched])) for run in runs]
    makespans_s = [max(start.start_s for start in run.starts) for run in runs]
    return KeyResult(1000 * fmean(waits_s), 1000 * fmean(makespans_s))


@functools.cache
def key_results(name: str) -> dict[str, KeyResult]:
    """What the watched key waits for under each order."""
    scenario = SCENARIOS[name]
    runs: dict[str, list[Run]] = {order: [] for order in ORDER_NAMES}
    for seed in SEEDS:
        requests = _requests(scenario, seed)
        for order, fresh in seat_orders(SEATS).items():
            runs[order].append(simulate(fresh, requests, seats=SEATS))
    return {order: _result(each, scenario.watched) for order, each in runs.items()}
