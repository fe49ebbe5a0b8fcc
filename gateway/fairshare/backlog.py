"""Count the tenants present at a gate, predict waits, and choose whose ticket is evicted when the line is full.

A tenant's fair part of the seats is its weight among the tenants present. Times are seconds, sizes bytes.
"""

from enum import Enum, auto

import msgspec

from gateway.fairshare.lazy_heap import LazyHeap

HOLD_S_FIRST_GUESS = 5.0
"""The assumed hold of a seat until the first was given back; of a tenant that gave none back yet, the most assumed."""
HOLD_WEIGHT = 0.1
"""The weight of the latest hold in the mean of its tenant's holds."""
UNPREDICTED_TICKETS = 8
"""So many may wait whatever is predicted: a mean says little about a few."""
SPREAD = 0.2
"""Waits that are told are moved by up to this part, so that those refused together do not return together."""
_GOLDEN = 0.6180339887
"""Its multiples, taken modulo one, lie evenly however many there are."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the limits of a line."""

    tickets_max: int = 10_000
    bytes_max: int = 256 * 1024 * 1024
    tenant_tickets_max: int = 1000
    refuses_hopeless: bool = True
    """True where a ticket is refused at once if its predicted wait is too long."""


class Entry(Enum):
    """Name what is done with a ticket that arrives."""

    WAIT = auto()
    REFUSE = auto()
    """Its tenant has too much waiting."""
    EVICT = auto()
    """There is room once the newest ticket of the fattest tenant has gone."""


class _Presence:
    """One tenant at the gate."""

    __slots__ = ("bytes", "held", "hold_s", "waiting", "weight")

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.waiting = 0
        self.held = 0
        self.bytes = 0
        self.hold_s: float | None = None


class Backlog:
    """Counts tickets and permits by tenant."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._tenants: dict[str, _Presence] = {}
        self._present: set[str] = set()
        self._weights = 0.0
        self._hold_s = HOLD_S_FIRST_GUESS
        self._fattest: LazyHeap[str] = LazyHeap(lambda tenant, _: -self._fatness(tenant))
        self._told = 0
        self.waiting = 0
        self.held = 0
        self._bytes = 0

    def tickets(self) -> dict[str, int]:
        """Return the number of tickets by tenant."""
        return {name: count for name in self._present if (count := self._tenants[name].waiting)}

    def permits(self) -> dict[str, int]:
        """Return the number of permits by tenant."""
        return {name: count for name in self._present if (count := self._tenants[name].held)}

    def held_by(self, tenant: str) -> int:
        """Return the number of permits of one tenant."""
        presence = self._tenants.get(tenant)
        return 0 if presence is None else presence.held

    def weights(self) -> dict[str, float]:
        """Return the weights of the tenants present."""
        return {name: self._tenants[name].weight for name in self._present}

    def reweigh(self, tenant: str, weight: float) -> None:
        """Another weight from now on, for tickets that wait as well; nothing happens if it never came."""
        if tenant in self._tenants:
            self._presence(tenant, weight)

    def entry(self, tenant: str, weight: float, size: int, *, seats: int, wait_s_max: float) -> Entry:
        """Decide what to do with a ticket that would have to wait."""
        presence, bounds = self._presence(tenant, weight), self._bounds
        if presence.waiting >= bounds.tenant_tickets_max:
            return Entry.REFUSE
        may_hope = not bounds.refuses_hopeless or not seats
        if not may_hope and presence.waiting >= UNPREDICTED_TICKETS and self._wait_s(presence, seats) > wait_s_max:
            return Entry.REFUSE
        if self.waiting < bounds.tickets_max and self._bytes + size <= bounds.bytes_max:
            return Entry.WAIT
        # It takes the place of a ticket only where its tenant is not the one that fills the room.
        fattest = self._fattest.smallest(0.0)
        own = self._fatness(tenant) + self._hold(presence) / presence.weight
        if fattest is None or self._fatness(fattest) <= own:
            return Entry.REFUSE
        # A ticket is evicted only if that makes enough room for the new one.
        is_enough = self._tenants[fattest].bytes >= self._bytes + size - bounds.bytes_max
        return Entry.EVICT if is_enough else Entry.REFUSE

    def fattest(self) -> str | None:
        """Return the tenant whose waiting tickets ask for most, by weight."""
        return self._fattest.smallest(0.0)

    def arrive(self, tenant: str, weight: float, size: int) -> None:
        """A ticket begins to wait."""
        presence = self._presence(tenant, weight)
        presence.waiting += 1
        presence.bytes += size
        self.waiting += 1
        self._bytes += size
        self._appear(tenant, presence)
        self._fattest.push(tenant, 0.0)

    def leave(self, tenant: str, size: int) -> None:
        """A ticket waits no longer."""
        presence = self._tenants[tenant]
        presence.waiting -= 1
        presence.bytes -= size
        self.waiting -= 1
        self._bytes -= size
        if not presence.waiting:
            self._fattest.remove(tenant)
        self._disappear(tenant, presence)

    def hold(self, tenant: str, size: int) -> None:
        """A waiting ticket became a permit."""
        self._tenants[tenant].held += 1
        self.held += 1
        self.leave(tenant, size)

    def hold_at_once(self, tenant: str, weight: float) -> None:
        """A permit without a wait."""
        presence = self._presence(tenant, weight)
        presence.held += 1
        self.held += 1
        self._appear(tenant, presence)

    def release(self, tenant: str, held_s: float) -> None:
        """A permit was given back."""
        presence = self._tenants[tenant]
        presence.held -= 1
        self.held -= 1
        presence.hold_s = held_s if presence.hold_s is None else _moved(presence.hold_s, held_s)
        self._hold_s = _moved(self._hold_s, held_s)
        if presence.waiting:
            self._fattest.push(tenant, 0.0)
        self._disappear(tenant, presence)

    def told_wait_s(self, tenant: str, seats: int) -> float:
        """How long one more ticket of this tenant would wait, moved a little so that not all return at once."""
        self._told += 1
        spread = 1 + SPREAD * (2 * (self._told * _GOLDEN % 1) - 1)
        return self._wait_s(self._tenants[tenant], seats) * spread

    def _wait_s(self, presence: _Presence, seats: int) -> float:
        # What it holds beyond its part is lent to it, and may well stay so: between the two nobody knows.
        turns = max(self._fair_seats(presence, seats), presence.held, 1.0)
        return (presence.waiting + 1) * self._hold(presence) / turns

    def _fair_seats(self, presence: _Presence, seats: int) -> float:
        others = self._weights - (presence.weight if presence.waiting or presence.held else 0.0)
        return seats * presence.weight / (presence.weight + max(0.0, others))

    def _hold(self, presence: _Presence) -> float:
        # The long holds of other tenants say nothing of one that had no seat yet: it must not be refused for them.
        return min(self._hold_s, HOLD_S_FIRST_GUESS) if presence.hold_s is None else presence.hold_s

    def _fatness(self, tenant: str) -> float:
        presence = self._tenants[tenant]
        return presence.waiting * self._hold(presence) / presence.weight

    def _presence(self, tenant: str, weight: float) -> _Presence:
        presence = self._tenants.get(tenant)
        if presence is None:
            presence = self._tenants[tenant] = _Presence(weight)
        elif presence.weight != weight:
            if tenant in self._present:
                self._weights += weight - presence.weight
            presence.weight = weight
            if presence.waiting:
                # With a smaller weight it is fatter, which the heap does not notice by itself.
                self._fattest.push(tenant, 0.0)
        return presence

    def _appear(self, tenant: str, presence: _Presence) -> None:
        if tenant not in self._present:
            self._present.add(tenant)
            self._weights += presence.weight

    def _disappear(self, tenant: str, presence: _Presence) -> None:
        if not presence.waiting and not presence.held:
            self._present.discard(tenant)
            # Begun anew where nobody is left, so that rounding does not add up.
            self._weights = self._weights - presence.weight if self._present else 0.0


def _moved(mean: float, value: float) -> float:
    return mean + HOLD_WEIGHT * (value - mean)
