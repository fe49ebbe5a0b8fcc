"""Split capacity by weighted max-min fairness over the tenants' demands, and over the replicas that report them.

No tenant gets more than its demand while another one lacks capacity, and the rest is split among those that lack it, by
weight. One pass over the tenants, ordered by demand per weight, gives the exact result.
"""

from collections.abc import Mapping
from math import floor

_GOLDEN = 0.6180339887
"""Fractional part of the golden ratio: its multiples modulo one are evenly distributed for any count."""
Demand = tuple[float, float]
"""The demand and the weight of a tenant."""


def water_fill(capacity: float, demands: Mapping[str, Demand]) -> dict[str, float]:
    """Return the weighted max-min allocation; its sum is the smaller of the capacity and the total demand."""
    allocated: dict[str, float] = {}
    left, weights = max(0.0, capacity), sum(weight for _, weight in demands.values())
    for tenant, (demand, weight) in sorted(demands.items(), key=lambda item: item[1][0] / item[1][1]):
        # The last tenant takes all that is left: the sum of the weights has a rounding error.
        share = left if weights <= weight else left * weight / weights
        allocated[tenant] = min(demand, share)
        left -= allocated[tenant]
        weights -= weight
    return allocated


def split(
    capacity: int,
    demands: Mapping[str, Mapping[str, float]],
    weights: Mapping[str, float],
    *,
    turn: int = 0,
) -> dict[str, int]:
    """Return the whole seats of each replica; `demands` maps replicas to the demand of each tenant there.

    Spare capacity is spread evenly, so that a first request finds a seat at any replica. The sum never exceeds the
    capacity. Every replica that sees the same demands computes the same split. Fractions of a seat rotate with `turn`:
    over many turns each replica gets its exact part, and none is without a seat forever.
    """
    asked: dict[str, float] = {}
    for tenants in demands.values():
        for tenant, demand in tenants.items():
            asked[tenant] = asked.get(tenant, 0.0) + demand
    wanted = {tenant: (demand, weights.get(tenant, 1.0)) for tenant, demand in asked.items() if demand > 0}
    allocated = water_fill(capacity, wanted)
    spare = (capacity - sum(allocated.values())) / max(1, len(demands))
    exact = {
        replica: spare
        + sum(allocated[tenant] * demand / asked[tenant] for tenant, demand in tenants.items() if demand > 0)
        for replica, tenants in demands.items()
    }
    return _whole(exact, turn * _GOLDEN % 1)


def _whole(exact: Mapping[str, float], offset: float) -> dict[str, int]:
    """Round each part up or down and keep their sum, by rounding the running total of the parts."""
    whole: dict[str, int] = {}
    end, before = 0.0, floor(offset)
    for replica in sorted(exact):
        end += exact[replica]
        # Rounded, so that the result does not depend on the order in which the parts were added.
        upto = floor(round(end, 6) + offset)
        whole[replica], before = upto - before, upto
    return whole
