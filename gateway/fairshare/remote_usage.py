"""Track the service that other replicas give to tenants, from the reports that each of them renews.

A report holds the whole state and no changes, so a lost or repeated report does no harm: the next one is complete.
"""

from collections.abc import Iterator, Mapping

import msgspec

from gateway.fairshare.quota import QuotaUse
from gateway.fairshare.replica_jobs import TimedJobs


class TenantUse(msgspec.Struct, frozen=True, array_like=True):
    """Represent the use of one tenant at one gate of one replica."""

    weight: float
    held: int
    waiting: int
    served: float
    """Total service since the process started, in the unit of the gate's cost model."""


class Report(msgspec.Struct, frozen=True, array_like=True):
    """Represent the report of one replica. It omits tenants that neither wait nor hold permits."""

    incarnation: str
    gates: dict[str, dict[str, TenantUse]] = {}
    quotas: dict[str, QuotaUse] = {}
    running: dict[str, int] = {}
    """Number of attempts that run on the workers of each Runpod endpoint, by its address."""
    version: int = 1
    """Version of the format. Increase it when processes of this release could not read the new format."""
    jobs: TimedJobs | None = None
    """Jobs by the same address; None until the replica knows the store's time."""


FORGET_S = 35.0
"""Seconds without a report after which a replica is forgotten: a little longer than the store keeps its seats
(`HOLD_S`)."""
UsageReport = tuple[str, float, int, float]
"""A tenant, its weight, the number of seats it holds at other replicas, and the service it received there since the
previous news."""


class GateElsewhere:
    """Track the other replicas' use of one gate."""

    def __init__(self, capacity_per_s: float) -> None:
        self.capacity_per_s = capacity_per_s
        self._served: dict[str, dict[str, float]] = {}
        """Last reported service, by replica and tenant."""
        self._heard_at_s: dict[str, float] = {}
        self._holders: dict[str, float] = {}

    def news(self, uses: Mapping[str, Mapping[str, TenantUse]], now_s: float) -> Iterator[UsageReport]:
        """Yield the changes since the previous call.

        `uses` maps replicas to their tenants; the name of a replica includes its incarnation.
        """
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

    def silence(self) -> Iterator[UsageReport]:
        """Yield zero remote seats for every tenant that held some: no replica reports any more."""
        holders, self._holders = self._holders, {}
        for tenant, weight in holders.items():
            yield tenant, weight, 0, 0.0

    def _gains(self, replica: str, tenants: Mapping[str, TenantUse], now_s: float) -> dict[str, float]:
        """Return the service that each tenant received at a replica since its previous report.

        A gain is negative where a settlement gave service back.
        """
        heard_at_s = self._heard_at_s.get(replica)
        before = self._served.setdefault(replica, {})
        # The total of a tenant that is new in the report may include older service, so its gain is bounded.
        most = 0.0 if heard_at_s is None else self.capacity_per_s * (now_s - heard_at_s)
        gains = {
            tenant: use.served - before[tenant] if tenant in before else min(use.served, most)
            for tenant, use in tenants.items()
        }
        self._heard_at_s[replica] = now_s
        before.update({tenant: use.served for tenant, use in tenants.items()})
        return gains
