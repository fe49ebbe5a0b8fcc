"""Rows 12, 13 and 15: several replicas, a crash, an outage of the store, and a limit that Runpod halves."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from bench.fairness.halved_limit import CASES, REFUSED_MAX, STEADY, halved
from bench.fairness.orders import OURS
from bench.fairness.replicas import PARTS, SINGLE, Crowd, Life, Network, Scenario, live
from bench.fairness.row import Bound, Row
from gateway.domain import Tenant

REPLICAS = 4
SKEWED, EVERYWHERE = "A", "B"
TENANTS = 10
PUBLISHED = "Doorman 96.6 to 96.8 %, up to 106 %"


def hold_s(chance: Random) -> float:
    """Six seconds in the mean."""
    return 6 * chance.lognormvariate(-0.125, 0.5)


def short_s(chance: Random) -> float:
    """Half a second in the mean."""
    return hold_s(chance) / 12


def skewed() -> tuple[Crowd, ...]:
    """One tenant at one replica, the other at all of them."""
    only = Crowd(tenant=Tenant(name=SKEWED), replica=0, clients=150)
    return (only, *(Crowd(tenant=Tenant(name=EVERYWHERE), replica=each, clients=60) for each in range(REPLICAS)))


def random_places() -> tuple[Crowd, ...]:
    """Ten tenants of different weights, each at one to four replicas."""
    chance = Random(3)  # noqa: S311 - a simulation.
    crowds: list[Crowd] = []
    for number in range(TENANTS):
        tenant = Tenant(name=str(number), weight=float(chance.choice([1, 1, 2, 3])))
        places = chance.sample(range(REPLICAS), chance.randint(1, REPLICAS))
        crowds += [Crowd(tenant=tenant, replica=place, clients=60) for place in places]
    return tuple(crowds)


def waves() -> tuple[Crowd, ...]:
    """One tenant everywhere and always; at each replica another one, that asks for some seconds and then does not."""
    always = tuple(Crowd(tenant=Tenant(name=EVERYWHERE), replica=each, clients=120) for each in range(REPLICAS))
    names = [f"at replica {each}" for each in range(REPLICAS)]
    moving = [
        Crowd(tenant=Tenant(name=name), replica=each, clients=60, asks_s=5 + 1.3 * each)
        for each, name in enumerate(names)
    ]
    return (*always, *moving)


SKEW = Scenario(crowds=skewed(), replicas=REPLICAS, hold_s=hold_s)
IN_STEP = Network(delay_s=(0.0, 0.0), is_in_step=True)
OUTAGE = Network(outage_s=(100.0, 130.0))
CRASH = replace(SKEW, crowds=random_places(), ends_s=660.0, crash_s=200.0)


def _safe(life: Life, use_min: float) -> list[Bound]:
    single = live(replace(life.scenario, way=SINGLE, network=Network(), crash_s=life.scenario.ends_s))
    use = life.utilisation / single.utilisation
    return [Bound("use of one gate's", use, use_min, is_lower=True), Bound("seats too many", life.overshoot, 0)]


def _even(life: Life) -> Bound:
    return Bound("from a half", abs(life.share(SKEWED) - 0.5), 0.005)


def replicas() -> Sequence[Row]:
    """Four replicas share 100 seats by heartbeats."""
    rows = []
    for name, scenario, use_min in (
        ("heartbeats at any time", SKEW, 0.999),
        ("heartbeats in step", replace(SKEW, network=IN_STEP), 0.999),
        ("one in twenty messages lost", replace(SKEW, network=Network(loss=0.05)), 0.99),
        ("a quarter of the seats each", replace(SKEW, way=PARTS), 0.0),
    ):
        life = live(scenario)
        is_leased = scenario.way != PARTS
        bounds = [*_safe(life, use_min), _even(life)] if is_leased else []
        rows.append(
            Row(
                number="12",
                measure=f"a tenant at one of {REPLICAS} replicas, one at all, {name}: use, seats too many, its share",
                cells={OURS: f"{life.utilisation:.4f}, {life.overshoot}, {life.share(SKEWED):.4f}"},
                bounds=bounds,
                published=PUBLISHED,
            )
        )
    return rows + _many_tenants() + _moving_demand()


def _many_tenants() -> list[Row]:
    scenario = replace(SKEW, crowds=random_places())
    leased, parts = live(scenario), live(replace(scenario, way=PARTS))
    return [
        Row(
            number="12",
            measure=f"{TENANTS} tenants of different weights at random replicas: Jain's index (a quarter each:"
            f" {parts.jain:.3f}), use, seats too many",
            cells={OURS: f"{leased.jain:.4f}, {leased.utilisation:.4f}, {leased.overshoot}"},
            bounds=[Bound("Jain", leased.jain, 0.992, is_lower=True), *_safe(leased, 0.999)],
        )
    ]


def _moving_demand() -> list[Row]:
    """A seat that moves is idle for two to three heartbeats: the more of the time, the shorter it is held."""
    rows = []
    for hold, scenario, use_min in (
        ("6 s", replace(SKEW, crowds=waves()), 0.999),
        ("half a second", replace(SKEW, crowds=waves(), hold_s=short_s, ends_s=180.0), None),
    ):
        life = live(scenario)
        rows.append(
            Row(
                number="12",
                measure=f"demand moves between replicas every few seconds, requests of {hold}: use, seats too many",
                cells={OURS: f"{life.utilisation:.4f}, {life.overshoot}"},
                bounds=_safe(life, use_min) if use_min else [],
            )
        )
    return rows


def failures() -> Sequence[Row]:
    """A replica that is killed, and a store that is away for half a minute."""
    rows = []
    for name, scenario, use_min in (
        (f"one of {REPLICAS} replicas is killed in ten minutes", CRASH, 0.98),
        ("no store for 30 s", replace(SKEW, network=OUTAGE), 0.998),
        ("no store for 30 s, then an empty one", replace(SKEW, network=replace(OUTAGE, is_wiped=True)), 0.998),
    ):
        life = live(scenario)
        bounds, told = [*_safe(life, use_min), Bound("seats lost", life.lost, 0)], ""
        if scenario is not CRASH:
            bounds.append(_even(life))
            told = f", {life.share(SKEWED):.4f}"
        rows.append(
            Row(
                number="13",
                measure=f"{name}: use, seats too many, seats lost for good{', its share' if told else ''}",
                cells={OURS: f"{life.utilisation:.4f}, {life.overshoot}, {life.lost}{told}"},
                bounds=bounds,
                published="LiteLLM: every replica the whole limit, or locked for an hour",
            )
        )
    return rows


WINDOWS = 3
"""So many may pass after the halving."""


def refusals() -> Sequence[Row]:
    """Runpod's 429s, where it keeps what it publishes and where it allows half of it from some moment on."""
    rows = []
    for name, case in CASES.items():
        steady, run = halved(replace(case, halves_at_s=STEADY)).refused_part(0.0), halved(case)
        refused, use = run.refused_part(run.after(WINDOWS)), run.use(run.after(WINDOWS))
        rows.append(
            Row(
                number="15",
                measure=f"{name}: 429s in steady state; after the limit was halved, windows until less than 1 % is"
                " refused; from the third on, 429s and use",
                cells={OURS: f"{steady:.4%}; {run.windows_to_calm}; {refused:.2%}, {use:.3f}"},
                bounds=(
                    Bound("steady", steady, 0.0001),
                    Bound("windows", run.windows_to_calm, WINDOWS),
                    Bound("429s", refused, REFUSED_MAX),
                    Bound("use", use, 0.9, is_lower=True),
                ),
            )
        )
    return rows
