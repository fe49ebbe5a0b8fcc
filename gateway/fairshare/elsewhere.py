"""What other replicas do for the tenants, from the reports that each of them renews: state, never changes of it.

So a report that is lost or comes twice does no harm: the next one says it all.
"""

from collections.abc import Iterator, Mapping

import msgspec

from gateway.fairshare.quota import QuotaUse


class TenantUse(msgspec.Struct, frozen=True, array_like=True):
    """One tenant at one gate of one replica."""

    weight: float
    held: int
    waiting: int
    served: float
    """All service since the process began, in the unit of the gate's tariff."""


class Report(msgspec.Struct, frozen=True, array_like=True):
    """What one replica says of itself. Tenants that neither wait nor hold are left out."""

    incarnation: str
    gates: dict[str, dict[str, TenantUse]] = {}
    quotas: dict[str, QuotaUse] = {}


News = tuple[str, float, int, float]
"""A tenant, its weight, the seats it holds elsewhere, and the service it was given there since the last news."""


class GateElsewhere:
    """The other replicas' side of one gate."""

    def __init__(self, capacity_per_s: float) -> None:
        self._capacity_per_s = capacity_per_s
        self._served: dict[tuple[str, str], float] = {}
        self._known: set[str] = set()
        self._holders: dict[str, float] = {}
        self._told_at_s: float | None = None

    def news(self, uses: Mapping[str, Mapping[str, TenantUse]], now_s: float) -> Iterator[News]:
        """What changed; `uses` has the tenants by replica, where the name of a replica includes its incarnation."""
        since_s = 0.0 if self._told_at_s is None else now_s - self._told_at_s
        self._told_at_s = now_s
        held: dict[str, int] = {}
        gained: dict[str, float] = {}
        weights: dict[str, float] = {}
        for replica, tenants in uses.items():
            for tenant, use in tenants.items():
                weights[tenant] = use.weight
                held[tenant] = held.get(tenant, 0) + use.held
                gained[tenant] = gained.get(tenant, 0.0) + self._gain(replica, tenant, use.served, since_s)
        # A process that is gone never reports again.
        self._known = set(uses)
        self._served = {key: served for key, served in self._served.items() if key[0] in self._known}
        for tenant, weight in self._holders.items():
            if tenant not in held:
                yield tenant, weight, 0, 0.0
        self._holders = {tenant: weights[tenant] for tenant, count in held.items() if count}
        for tenant, count in held.items():
            yield tenant, weights[tenant], count, gained[tenant]

    def _gain(self, replica: str, tenant: str, served: float, since_s: float) -> float:
        before = self._served.get((replica, tenant))
        self._served[replica, tenant] = served
        if before is not None:
            return max(0.0, served - before)
        if replica not in self._known:
            return 0.0
        # It was left out so far: what it had long ago is not told apart from what it had just now, so that is bounded.
        return min(served, self._capacity_per_s * since_s)
