"""How capacity is split: weighted max-min over what is asked for, and over the replicas where it is asked.

Nobody gets more than it asks for while somebody else lacks, and what is left goes to those who lack, by weight. It is
exact in one pass over the tenants, ordered by how soon they are content.
"""

from collections.abc import Mapping
from math import floor

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
    capacity: int, demands: Mapping[str, Mapping[str, float]], weights: Mapping[str, float], *, spares: bool = True
) -> dict[str, int]:
    """Whole seats for each replica, of which `demands` says what each tenant asks for there.

    What nobody asks for is spread evenly where `spares` is set, so that a first request finds a seat anywhere. The sum
    never exceeds the capacity. Every replica that sees the same demands comes to the same split.
    """
    asked: dict[str, float] = {}
    for tenants in demands.values():
        for tenant, demand in tenants.items():
            asked[tenant] = asked.get(tenant, 0.0) + demand
    wanted = {tenant: (demand, weights.get(tenant, 1.0)) for tenant, demand in asked.items() if demand > 0}
    allocated = water_fill(capacity, wanted)
    spare = (capacity - sum(allocated.values())) / max(1, len(demands)) if spares else 0.0
    exact = {
        replica: spare
        + sum(allocated[tenant] * demand / asked[tenant] for tenant, demand in tenants.items() if demand > 0)
        for replica, tenants in demands.items()
    }
    return _whole(exact, capacity)


def _whole(exact: Mapping[str, float], capacity: int) -> dict[str, int]:
    """Largest remainders, and among equals by name: the same everywhere."""
    whole = {replica: floor(share + 1e-9) for replica, share in exact.items()}
    left = min(capacity, round(sum(exact.values()))) - sum(whole.values())
    # Rounded: the order in which shares were added up must not decide between equals.
    by_remainder = sorted(exact, key=lambda replica: (round(whole[replica] - exact[replica], 9), replica))
    for replica in by_remainder[: max(0, left)]:
        whole[replica] += 1
    return whole
