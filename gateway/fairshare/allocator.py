"""How capacity is split: weighted max-min over what is asked for, and over the replicas where it is asked.

Nobody gets more than it asks for while somebody else lacks, and what is left goes to those who lack, by weight. It is
exact in one pass over the tenants, ordered by how soon they are content.
"""

from collections.abc import Mapping
from math import floor

_GOLDEN = 0.6180339887
"""Its multiples, taken modulo one, lie evenly however many there are."""
Demand = tuple[float, float]
"""What is asked for, and the weight."""


def water_fill(capacity: float, demands: Mapping[str, Demand]) -> dict[str, float]:
    """The weighted max-min allocation; its sum is the smaller of the capacity and all that is asked for."""
    allocated: dict[str, float] = {}
    left, weights = max(0.0, capacity), sum(weight for _, weight in demands.values())
    for tenant, (demand, weight) in sorted(demands.items(), key=lambda item: item[1][0] / item[1][1]):
        # The last one takes what is left: the sum of the weights has lost a little by rounding.
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
    """Whole seats for each replica, of which `demands` says what each tenant asks for there.

    What nobody asks for is spread evenly, so that a first request finds a seat anywhere. The sum
    never exceeds the capacity. Every replica that sees the same demands comes to the same split. Parts of a seat go
    round: over many turns each replica has its exact part, and none is left without for ever.
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
    """Each part rounded up or down, their sum kept: seats lie along a line, and the parts are cut out of it."""
    whole: dict[str, int] = {}
    end, before = 0.0, floor(offset)
    for replica in sorted(exact):
        end += exact[replica]
        # Rounded: the order in which parts were added up must not decide.
        upto = floor(round(end, 6) + offset)
        whole[replica], before = upto - before, upto
    return whole
