"""What other replicas do for the tenants, from the reports that each of them renews: state, never changes of it.

So a report that is lost or comes twice does no harm: the next one says it all.
"""

from collections.abc import Iterator, Mapping

import msgspec

from gateway.fairshare.quota import QuotaUse
from gateway.fairshare.replica_jobs import TimedJobs


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
    running: dict[str, int] = {}
    """How many attempts run on the workers of each Runpod endpoint, by its address."""
    version: int = 1
    """The version of the report's form. It has to grow when processes of this release could not read the new form."""
    jobs: TimedJobs | None = None
    """By the same address; None as long as the replica does not know the store's time."""


FORGET_S = 35.0
"""How long a replica may go unheard and still be the same: a little longer than the store keeps its seats."""
News = tuple[str, float, int, float]
"""A tenant, its weight, the seats it holds elsewhere, and the service it was given there since the last news."""


class GateElsewhere:
    """The other replicas' side of one gate."""

    def __init__(self, capacity_per_s: float) -> None:
        self.capacity_per_s = capacity_per_s
        self._served: dict[str, dict[str, float]] = {}
        """By replica and tenant, as last told."""
        self._heard_at_s: dict[str, float] = {}
        self._holders: dict[str, float] = {}

    def news(self, uses: Mapping[str, Mapping[str, TenantUse]], now_s: float) -> Iterator[News]:
        """What changed; `uses` has the tenants by replica, where the name of a replica includes its incarnation."""
        held: dict[str, int] = {}
        gained: dict[str, float] = {}
        weights: dict[str, float] = {}
        for replica, tenants in uses.items():
            gains = self._gains(replica, tenants, now_s)
            for tenant, use in tenants.items():
                weights[tenant] = use.weight
                held[tenant] = held.get(tenant, 0) + use.held
                gained[tenant] = gained.get(tenant, 0.0) + gains[tenant]
        for replica in [name for name, at_s in self._heard_at_s.items() if now_s - at_s > FORGET_S]:
            del self._served[replica], self._heard_at_s[replica]
        for tenant, weight in self._holders.items():
            if tenant not in held:
                yield tenant, weight, 0, 0.0
        self._holders = {tenant: weights[tenant] for tenant, count in held.items() if count}
        for tenant, count in held.items():
            yield tenant, weights[tenant], count, gained[tenant]

    def silence(self) -> Iterator[News]:
        """Nobody is heard any more: who held seats elsewhere is told of none."""
        holders, self._holders = self._holders, {}
        for tenant, weight in holders.items():
            yield tenant, weight, 0, 0.0

    def _gains(self, replica: str, tenants: Mapping[str, TenantUse], now_s: float) -> dict[str, float]:
        """What each of its tenants was given there since it was last heard; less than nothing where it was settled."""
        heard_at_s = self._heard_at_s.get(replica)
        before = self._served.setdefault(replica, {})
        # What a tenant that was left out so far had long ago is not told apart from what it had since: that is bounded.
        most = 0.0 if heard_at_s is None else self.capacity_per_s * (now_s - heard_at_s)
        gains = {
            tenant: use.served - before[tenant] if tenant in before else min(use.served, most)
            for tenant, use in tenants.items()
        }
        self._heard_at_s[replica] = now_s
        before.update({tenant: use.served for tenant, use in tenants.items()})
        return gains
