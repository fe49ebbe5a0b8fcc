"""Hold what one tenant has had of an endpoint, holds of it and waits for."""

from collections.abc import Hashable
from typing import Generic, TypeVar

from gateway.fairshare.line import Line

T = TypeVar("T", bound=Hashable)


class Account(Generic[T]):
    """Represent one tenant at one queue. `Occupancy` changes the counts."""

    __slots__ = (
        "at_s",
        "attained",
        "credited",
        "elsewhere",
        "held",
        "left_s",
        "line",
        "mean_hold_s",
        "owed",
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
        """Per weight, up to `at_s`."""
        self.at_s = 0.0
        self.held = 0
        self.served = 0.0
        """All service that it ever had here."""
        self.served_elsewhere = 0.0
        """As far as it was told."""
        self.elsewhere = 0
        """Seats that it holds at other replicas."""
        self.credited = 0.0
        """Service assumed for those since they were last told."""
        self.owed = 0.0
        """Per weight: how far it stood behind the others when its line ran out, at `left_s`."""
        self.left_s = 0.0
        self.line: Line[T] = Line()
        self.waiting = 0
        """Tickets in the line; asked for more often than the line is near."""
        self.waiting_bytes = 0
        """What these keep in memory."""
        self.mean_hold_s: float | None = None
        """How long it holds a permit; None before it has given one back."""

    @property
    def is_present(self) -> bool:
        """Tell whether it waits or holds here."""
        return bool(self.waiting or self.held)

    def attained_at(self, per_second: float, now_s: float) -> float:
        """What it has attained by now, at so much a second for each seat that it holds, here or elsewhere."""
        return self.attained + per_second * (self.held + self.elsewhere) * (now_s - self.at_s) / self.weight

    def bring_up(self, per_second: float, now_s: float) -> None:
        """Write down what has accrued."""
        self.attained = self.attained_at(per_second, now_s)
        accrued = per_second * (now_s - self.at_s)
        self.served += accrued * self.held
        self.credited += accrued * self.elsewhere
        self.at_s = now_s

    def serve(self, cost: float) -> None:
        """Service at once, beyond what accrues."""
        self.attained += cost / self.weight
        self.served += cost
