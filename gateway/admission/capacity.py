"""How much may be used now: seats at a time, and calls by a pacer. The seam between one process and several."""

from collections.abc import Iterable
from typing import Protocol

from gateway.admission.permit import Permit
from gateway.domain import Limit
from gateway.fairshare.elsewhere import News
from gateway.fairshare.occupancy import Occupancy
from gateway.fairshare.pacer import Pacer
from gateway.fairshare.tariff import Tariff
from gateway.fairshare.throttle import Throttle


class Demand(Protocol):
    """Who asks a capacity: its gate."""

    occupancy: Occupancy[Permit]

    def served(self) -> dict[str, float]:
        """All service of the tenants present."""
        ...

    def note_elsewhere(self, news: Iterable[News]) -> None:
        """What other replicas do for the tenants."""
        ...

    def pump(self) -> None:
        """There may be more now: grant what can be granted."""
        ...


class Capacity(Protocol):
    """What one gate may hand out. Times are monotonic seconds."""

    seats_max: int
    """Of all replicas together."""

    def bind(self, demand: Demand, tariff: Tariff) -> None:
        """The gate that this is for."""
        ...

    def resize(self, seats: int, tariff: Tariff) -> None:
        """So many permits at a time from now on, of all replicas together."""
        ...

    def starve(self) -> None:
        """Somebody has to wait for it, and more may be had elsewhere."""
        ...

    def seats(self, now_s: float) -> int:
        """How many permits may be held now; fewer than are held means that none is granted until some came back."""
        ...

    def ready_at_s(self, now_s: float) -> float:
        """When the next call may be sent; not later than `now_s` means now, infinity that only news will tell."""
        ...

    @property
    def paused_until_s(self) -> float:
        """When the pause that a 429 asked for ends; nothing is sent before."""
        ...

    def take(self, now_s: float) -> None:
        """A call is sent now."""
        ...

    def used(self, held: int, now_s: float) -> float:
        """The part in use: of the seats, or of the last window's calls, whichever is more."""
        ...

    def refused(self, held: int, now_s: float, *, retry_after_s: float | None, is_certain: bool = True) -> None:
        """Runpod answered 429 to a call under one of these permits; or a worker may have, where it is not certain."""
        ...

    def accepted(self, held: int, now_s: float) -> None:
        """It answered something else."""
        ...


class Capacities(Protocol):
    """Where gates get their capacity. Names are the same at every replica."""

    def seats(self, name: str, seats: int) -> Capacity:
        """So many permits at a time."""
        ...

    def calls(self, name: str, limit: Limit) -> Capacity:
        """What Runpod allows of an operation."""
        ...


class StaticCapacity:
    """The whole of a limit: for one process alone, less what Runpod's 429s forbid."""

    def __init__(self, seats: int, *, calls_per_10s: float | None = None) -> None:
        self.seats_max = seats
        self._calls_per_10s = calls_per_10s
        self._pacer = Pacer(calls_per_10s) if calls_per_10s else None
        self._throttle = Throttle()

    def bind(self, demand: Demand, tariff: Tariff) -> None:
        """It asks nobody."""

    def resize(self, seats: int, _tariff: Tariff) -> None:
        """All of them."""
        self.seats_max = seats

    def starve(self) -> None:
        """There is no more."""

    def seats(self, _now_s: float) -> int:
        """All, or the part that 429s left."""
        return max(1, int(self.seats_max * self._throttle.concurrency))

    @property
    def paused_until_s(self) -> float:
        """By the last 429."""
        return self._throttle.paused_until_s

    def ready_at_s(self, now_s: float) -> float:
        """By the pacer, and not in a pause that a 429 asked for."""
        paused_until_s = self._throttle.paused_until_s
        return paused_until_s if self._pacer is None else max(paused_until_s, self._pacer.ready_at_s(now_s))

    def take(self, now_s: float) -> None:
        """Told to the pacer."""
        if self._pacer is not None:
            self._pacer.take(now_s)

    def used(self, held: int, now_s: float) -> float:
        """Of the published limits."""
        calls_used = self._calls_used(now_s) * self._throttle.rate
        return max(held / self.seats_max, calls_used)

    def refused(self, held: int, now_s: float, *, retry_after_s: float | None, is_certain: bool = True) -> None:
        """Use less, and pause."""
        self._throttle.refused(
            seats_used=held / self.seats(now_s), retry_after_s=retry_after_s, now_s=now_s, is_certain=is_certain
        )
        self._apply()

    def accepted(self, held: int, now_s: float) -> None:
        """Use more again, where less was used."""
        if self._throttle.is_open:
            return
        calls_used = self._calls_used(now_s)
        if self._throttle.accepted(seats_used=held / self.seats(now_s), calls_used=calls_used, now_s=now_s):
            self._apply()

    def _calls_used(self, now_s: float) -> float:
        return 0.0 if self._pacer is None else self._pacer.used(now_s)

    def _apply(self) -> None:
        if self._pacer is not None and self._calls_per_10s is not None:
            self._pacer.limit(self._calls_per_10s * self._throttle.rate)


class StaticCapacities:
    """For one process alone: each gate has its whole limit."""

    def seats(self, _name: str, seats: int) -> StaticCapacity:
        """All of them."""
        return StaticCapacity(seats)

    def calls(self, _name: str, limit: Limit) -> StaticCapacity:
        """All of it."""
        return StaticCapacity(limit.concurrent, calls_per_10s=limit.per_10s)
