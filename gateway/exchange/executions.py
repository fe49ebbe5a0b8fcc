"""How long workers run for a tenant's jobs: what a cancel is worth, before anybody knows."""

from gateway.domain import Tenant

NEWEST_PART = 0.1
"""How much of the mean the newest job is: the last twenty or so count."""


class Executions:
    """Mean execution times in seconds, by tenant and endpoint."""

    def __init__(self) -> None:
        self._means_s: dict[tuple[str, str], float] = {}

    def note(self, tenant: Tenant, endpoint: str, execution_s: float) -> None:
        """A job ran to its end."""
        key = (tenant.name, endpoint)
        mean_s = self._means_s.get(key, execution_s)
        self._means_s[key] = mean_s + NEWEST_PART * (execution_s - mean_s)

    def mean_s(self, tenant: Tenant, endpoint: str) -> float | None:
        """The mean of late; None before the first."""
        return self._means_s.get((tenant.name, endpoint))
