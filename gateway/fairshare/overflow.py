"""Decide which tickets may wait: predict their waits, and choose whose ticket is evicted when the queue is full. Pure.

A tenant's fair part of the seats is its weight among the tenants present. Times are seconds, sizes bytes.
"""

from collections.abc import Hashable
from enum import Enum, auto
from typing import Generic, TypeVar

import msgspec

from gateway.fairshare.account import Account
from gateway.fairshare.lazy_heap import LazyHeap
from gateway.fairshare.occupancy import Occupancy

HOLD_S_FIRST_GUESS = 5.0
"""The assumed hold of a seat until the first was given back; of a tenant that gave none back yet, the most assumed."""
HOLD_WEIGHT = 0.1
"""The weight of the latest hold in the mean of its tenant's holds."""
UNPREDICTED_TICKETS = 8
"""So many may wait whatever is predicted: a mean says little about a few."""
SPREAD = 0.2
"""Predicted waits that clients are told are moved by up to this part, so that those refused together do not return
together."""
_GOLDEN = 0.6180339887
"""Its multiples, taken modulo one, lie evenly however many there are."""

T = TypeVar("T", bound=Hashable)


class QueueLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the limits of a queue."""

    tickets_max: int = 10_000
    bytes_max: int = 256 * 1024 * 1024
    tenant_tickets_max: int = 1000
    refuses_hopeless: bool = True
    """True where a ticket is refused at once if its predicted wait is too long."""


class Verdict(Enum):
    """Name what is done with a ticket that arrives."""

    WAIT = auto()
    REFUSE = auto()
    """Its tenant has too much waiting."""
    EVICT = auto()
    """There is room once the newest ticket of the heaviest tenant has gone."""


class OverflowPolicy(Generic[T]):
    """Judge tickets by the counts of an occupancy, of which it has to be told every change."""

    def __init__(self, limits: QueueLimits, occupancy: Occupancy[T]) -> None:
        self._limits = limits
        self._occupancy = occupancy
        self._mean_hold_s = HOLD_S_FIRST_GUESS
        self._heaviest: LazyHeap[Account[T]] = LazyHeap(lambda account, _: -self._load_s(account))
        self._told = 0

    def verdict(self, account: Account[T], size: int, *, seats: int, wait_s_max: float) -> Verdict:
        """Decide what to do with a ticket that would have to wait."""
        limits, counts = self._limits, self._occupancy
        if account.waiting >= limits.tenant_tickets_max:
            return Verdict.REFUSE
        may_hope = not limits.refuses_hopeless or not seats
        if not may_hope and account.waiting >= UNPREDICTED_TICKETS and self._wait_s(account, seats) > wait_s_max:
            return Verdict.REFUSE
        if counts.waiting < limits.tickets_max and counts.waiting_bytes + size <= limits.bytes_max:
            return Verdict.WAIT
        # It takes the place of a ticket only where its tenant is not the one that fills the queue.
        heaviest = self.heaviest()
        own_s = self._load_s(account) + self._hold_s(account) / account.weight
        if heaviest is None or self._load_s(heaviest) <= own_s:
            return Verdict.REFUSE
        # A ticket is evicted only if that makes enough room for the new one.
        is_enough = heaviest.waiting_bytes >= counts.waiting_bytes + size - limits.bytes_max
        return Verdict.EVICT if is_enough else Verdict.REFUSE

    def heaviest(self) -> Account[T] | None:
        """Return the account whose waiting tickets ask for most, by weight."""
        return self._heaviest.smallest(0.0)

    def waiting_changed(self, account: Account[T]) -> None:
        """Note that an account has more tickets or fewer, or another weight."""
        if account.waiting:
            self._heaviest.push(account, 0.0)
        else:
            self._heaviest.remove(account)

    def released(self, account: Account[T], held_s: float) -> None:
        """Note how long a permit was held."""
        account.mean_hold_s = held_s if account.mean_hold_s is None else _moved(account.mean_hold_s, held_s)
        self._mean_hold_s = _moved(self._mean_hold_s, held_s)
        if account.waiting:
            self._heaviest.push(account, 0.0)

    def told_wait_s(self, account: Account[T], seats: int) -> float:
        """Return how long one more ticket would wait, moved a little so that not all clients return at once."""
        self._told += 1
        spread = 1 + SPREAD * (2 * (self._told * _GOLDEN % 1) - 1)
        return self._wait_s(account, seats) * spread

    def _wait_s(self, account: Account[T], seats: int) -> float:
        # What it holds beyond its part is lent to it, and may well stay so: which of the two is not known.
        turns = max(self._fair_seats(account, seats), account.held, 1.0)
        return (account.waiting + 1) * self._hold_s(account) / turns

    def _fair_seats(self, account: Account[T], seats: int) -> float:
        others = self._occupancy.present_weight - (account.weight if account.is_present else 0.0)
        return seats * account.weight / (account.weight + max(0.0, others))

    def _hold_s(self, account: Account[T]) -> float:
        # The long holds of other tenants say nothing of one that had no seat yet: it must not be refused for them.
        return min(self._mean_hold_s, HOLD_S_FIRST_GUESS) if account.mean_hold_s is None else account.mean_hold_s

    def _load_s(self, account: Account[T]) -> float:
        """Return how many seconds of a seat its tickets ask for, by weight."""
        return account.waiting * self._hold_s(account) / account.weight


def _moved(mean: float, value: float) -> float:
    return mean + HOLD_WEIGHT * (value - mean)
