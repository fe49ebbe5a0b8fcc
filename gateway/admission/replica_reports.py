"""Keep the last reports of the other replicas, and answer what they say about gates, quotas and endpoints.

A replica has a name that survives a restart, and an incarnation that does not. Totals count from the start of a
process, so they are compared by name and incarnation; the split of seats, which is the same at all replicas, by name.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec

from gateway.admission.lease_store import RECORD_VERSION
from gateway.fairshare.quota import QuotaUse
from gateway.fairshare.remote_usage import Report, TenantUse
from gateway.fairshare.replica_jobs import TimedJobs
from gateway.wire.malformed import MALFORMED

_decode = msgspec.msgpack.Decoder(Report).decode


class ReplicaReports:
    """Hold one report for each other replica: the whole state of its tenants, so each replaces the one before."""

    def __init__(self) -> None:
        self._by_name: dict[str, Report] = {}
        self._by_incarnation: dict[str, Report] = {}
        self._incarnations: frozenset[str] = frozenset()
        self._known: frozenset[str] = frozenset()
        self._quota_tenants: frozenset[str] = frozenset()
        self._quota_tenants_before: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """Return the names of the replicas."""
        return frozenset(self._by_name)

    @property
    def known(self) -> frozenset[str]:
        """Return names and incarnations of the replicas whose report is not the first one received from them."""
        return self._known

    def receive(self, encoded: Mapping[str, bytes]) -> int:
        """Replace all reports by these, keyed by replica; return how many were skipped as unreadable."""
        decoded = {name: _read(each) for name, each in encoded.items()}
        self._by_name = {name: report for name, report in decoded.items() if report is not None}
        self._by_incarnation = {f"{name} {report.incarnation}": report for name, report in self._by_name.items()}
        self._known, self._incarnations = self._incarnations, frozenset(self._by_incarnation)
        tenants = frozenset(tenant for report in self._by_name.values() for tenant in report.quotas)
        self._quota_tenants_before, self._quota_tenants = self._quota_tenants, tenants
        return len(encoded) - len(self._by_name)

    def expire(self) -> None:
        """Drop the reports, which must not count as if they were still current; their replicas stay known."""
        self._by_name, self._by_incarnation = {}, {}

    def running(self) -> Counter[str]:
        """Return the number of attempts that run on the workers of each Runpod endpoint, by its address."""
        total = Counter[str]()
        for report in self._by_name.values():
            total.update(report.running)
        return total

    def jobs(self) -> list[TimedJobs | None]:
        """Return the jobs of each replica; None for one that has not reported any yet."""
        return [report.jobs for report in self._by_name.values()]

    def gate_uses(self, gate: str) -> dict[str, dict[str, TenantUse]]:
        """Return the use of a gate by replica and tenant."""
        return {name: report.gates.get(gate, {}) for name, report in self._by_name.items()}

    def gate_uses_by_incarnation(self, gate: str) -> dict[str, dict[str, TenantUse]]:
        """Return the same, keyed so that the totals of a restarted process are not compared with its predecessor's."""
        return {name: report.gates.get(gate, {}) for name, report in self._by_incarnation.items()}

    def quota_uses(self) -> Iterator[tuple[str, dict[str, QuotaUse]]]:
        """Yield each tenant and the use of its quota, by replica and incarnation.

        A tenant of the previous reports that these do not name any more is yielded once, without any use.
        """
        reports = self._by_incarnation
        for tenant in self._quota_tenants | self._quota_tenants_before:
            yield tenant, {name: each.quotas[tenant] for name, each in reports.items() if tenant in each.quotas}


def _read(encoded: bytes) -> Report | None:
    """Decode a report; return None if it is malformed or of a later version."""
    try:
        report = _decode(encoded)
    except MALFORMED:
        return None
    return report if report.version <= RECORD_VERSION else None
