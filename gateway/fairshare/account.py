"""Represent the state of one tenant at one queue: attained service, held seats and waiting tickets."""

from collections.abc import Hashable
from typing import Generic, TypeVar

from gateway.fairshare.tenant_queue import TenantQueue

T = TypeVar("T", bound=Hashable)


class Account(Generic[T]):
    """Represent one tenant at one queue. `Occupancy` changes the counts."""

    __slots__ = (
        "at_s",
        "attained",
        "credited",
        "held",
        "left_s",
        "line",
        "mean_hold_s",
        "owed",
        "remote",
        "served",
        "served_elsewhere",
        "tenant",
        "waiting",
        "waiting_bytes",
        "weight",
    )

    def __init__(self, tenant: str, weight: float) -> None:
        self.tenant = tenant
        self.weight = weight
        self.attained = 0.0
        """Attained service divided by the weight, up to `at_s`."""
        self.at_s = 0.0
        self.held = 0
        self.served = 0.0
        """Total service at this replica, not divided by the weight."""
        self.served_elsewhere = 0.0
        """Total service at other replicas, as far as they have reported it."""
        self.remote = 0
        """Number of seats held at other replicas."""
        self.credited = 0.0
        """Service assumed for the seats at other replicas since their last report."""
        self.owed = 0.0
        """Service, divided by the weight, that it had less than the others when its line became empty, at `left_s`."""
        self.left_s = 0.0
        self.line: TenantQueue[T] = TenantQueue()
        self.waiting = 0
        """Number of tickets in the line: a copy of its length, because it is read often."""
        self.waiting_bytes = 0
        """Memory held by these tickets, in bytes."""
        self.mean_hold_s: float | None = None
        """Mean time for which a permit is held, in seconds; None until the first one is released."""

    @property
    def is_present(self) -> bool:
        """Return True if the tenant has tickets or permits at this replica."""
        return bool(self.waiting or self.held)

    def attained_at(self, per_second: float, now_s: float) -> float:
        """Return the attained service per weight at `now_s`.

        `per_second` is the service that accrues for each seat held, here or at other replicas.
        """
        return self.attained + per_second * (self.held + self.remote) * (now_s - self.at_s) / self.weight

    def bring_up(self, per_second: float, now_s: float) -> None:
        """Update the counters with the service that accrued until `now_s`."""
        self.attained = self.attained_at(per_second, now_s)
        accrued = per_second * (now_s - self.at_s)
        self.served += accrued * self.held
        self.credited += accrued * self.remote
        self.at_s = now_s

    def serve(self, cost: float) -> None:
        """Add service that is charged at once rather than by the second."""
        self.attained += cost / self.weight
        self.served += cost
