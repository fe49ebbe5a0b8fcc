"""Define the capacity of a gate, in seats and paced calls, and implement it for a single process.

`capacity_leased` implements it for several replicas.
"""

from collections.abc import Iterable
from typing import Protocol

from gateway.admission.permit import Permit
from gateway.domain import Limit
from gateway.fairshare.adaptive_limit import AdaptiveLimit
from gateway.fairshare.cost_model import CostModel
from gateway.fairshare.occupancy import Occupancy
from gateway.fairshare.pacer import Pacer
from gateway.fairshare.remote_usage import UsageReport


class Demand(Protocol):
    """Describe the user of a capacity: its gate."""

    occupancy: Occupancy[Permit]

    def served(self) -> dict[str, float]:
        """Return the total service of each tenant that is present."""
        ...

    def note_remote_usage(self, news: Iterable[UsageReport]) -> None:
        """Record what other replicas do for the tenants."""
        ...

    def pump(self) -> None:
        """Grant what can be granted, as there may be more capacity now."""
        ...


class Capacity(Protocol):
    """Describe the capacity of one gate. Times are monotonic seconds."""

    seats_max: int
    """Number of seats of all replicas together."""

    def bind(self, demand: Demand, cost_model: CostModel) -> None:
        """Set the gate that uses this capacity."""
        ...

    def resize(self, seats: int, cost_model: CostModel) -> None:
        """Set the number of seats of all replicas together."""
        ...

    def request_more(self) -> None:
        """Ask for more capacity, if other replicas have any: a ticket has to wait for it."""
        ...

    def seats(self, now_s: float) -> int:
        """Return how many permits may be held now.

        If more are held, none is granted until enough of them are released.
        """
        ...

    def ready_at_s(self, now_s: float) -> float:
        """Return when the next call may be sent.

        A time up to `now_s` means now; infinity means that only an answer of the store can tell.
        """
        ...

    @property
    def paused_until_s(self) -> float:
        """Return the end of the pause that a 429 asked for; no call is sent before."""
        ...

    def take(self, now_s: float) -> None:
        """Record that a call is sent now."""
        ...

    def used(self, held: int, now_s: float) -> float:
        """Return the part in use: of the seats or of the last window's calls, whichever is greater."""
        ...

    def refused(self, held: int, now_s: float, *, retry_after_s: float | None, is_certain: bool = True) -> None:
        """Record a 429 to a call, while `held` permits are held.

        `is_certain` is False if a worker may have sent the 429 instead of Runpod.
        """
        ...

    def accepted(self, held: int, now_s: float) -> None:
        """Record that a call got another answer than 429, while `held` permits are held."""
        ...


class Capacities(Protocol):
    """Describe the source of capacities for gates. Names are the same at every replica."""

    def seats(self, name: str, seats: int) -> Capacity:
        """Return a capacity for this many permits at a time."""
        ...

    def calls(self, name: str, limit: Limit) -> Capacity:
        """Return a capacity for the limits that Runpod sets for an operation."""
        ...


class StaticCapacity:
    """Provide the whole of a limit to a single process, reduced after Runpod's 429s."""

    def __init__(self, seats: int, *, calls_per_10s: float | None = None) -> None:
        self.seats_max = seats
        self._calls_per_10s = calls_per_10s
        self._pacer = Pacer(calls_per_10s) if calls_per_10s else None
        self._adaptive_limit = AdaptiveLimit()

    def bind(self, demand: Demand, cost_model: CostModel) -> None:
        """Do nothing: this capacity needs no gate."""

    def resize(self, seats: int, _cost_model: CostModel) -> None:
        """Set the number of seats."""
        self.seats_max = seats

    def request_more(self) -> None:
        """Do nothing: there is no other capacity."""

    def seats(self, _now_s: float) -> int:
        """Return the seats, reduced to the part in use after 429s, but at least one."""
        return max(1, int(self.seats_max * self._adaptive_limit.concurrency))

    @property
    def paused_until_s(self) -> float:
        """Return the end of the pause after the last 429."""
        return self._adaptive_limit.paused_until_s

    def ready_at_s(self, now_s: float) -> float:
        """Return when the pacer allows the next call, but not before the end of the pause."""
        paused_until_s = self._adaptive_limit.paused_until_s
        return paused_until_s if self._pacer is None else max(paused_until_s, self._pacer.ready_at_s(now_s))

    def take(self, now_s: float) -> None:
        """Record a call at the pacer."""
        if self._pacer is not None:
            self._pacer.take(now_s)

    def used(self, held: int, now_s: float) -> float:
        """Return the part of the published limits in use."""
        calls_used = self._calls_used(now_s) * self._adaptive_limit.rate
        return max(held / self.seats_max, calls_used)

    def refused(self, held: int, now_s: float, *, retry_after_s: float | None, is_certain: bool = True) -> None:
        """Reduce the rate or the seats, and pause."""
        self._adaptive_limit.refused(
            seats_used=held / self.seats(now_s), retry_after_s=retry_after_s, now_s=now_s, is_certain=is_certain
        )
        self._apply()

    def accepted(self, held: int, now_s: float) -> None:
        """Increase the rate or the seats again if they were reduced."""
        if self._adaptive_limit.is_open:
            return
        calls_used = self._calls_used(now_s)
        if self._adaptive_limit.accepted(seats_used=held / self.seats(now_s), calls_used=calls_used, now_s=now_s):
            self._apply()

    def _calls_used(self, now_s: float) -> float:
        return 0.0 if self._pacer is None else self._pacer.used(now_s)

    def _apply(self) -> None:
        if self._pacer is not None and self._calls_per_10s is not None:
            self._pacer.limit(self._calls_per_10s * self._adaptive_limit.rate)


class StaticCapacities:
    """Provide each gate of a single process with its whole limit."""

    def seats(self, _name: str, seats: int) -> StaticCapacity:
        """Return a capacity of all these seats."""
        return StaticCapacity(seats)

    def calls(self, _name: str, limit: Limit) -> StaticCapacity:
        """Return a capacity of the whole limit."""
        return StaticCapacity(limit.concurrent, calls_per_10s=limit.per_10s)
