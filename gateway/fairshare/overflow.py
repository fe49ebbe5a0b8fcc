"""Decide which tickets may wait: predict waits, and choose whose ticket is evicted from a full queue. Pure.

The fair part of a tenant is its weight divided by the weights of all tenants present. Times are in seconds, sizes in
bytes.
"""

from collections.abc import Hashable
from enum import Enum, auto
from typing import Generic, TypeVar

import msgspec

from gateway.fairshare.account import Account
from gateway.fairshare.lazy_heap import LazyHeap
from gateway.fairshare.occupancy import Occupancy

HOLD_S_FIRST_GUESS = 5.0
"""Assumed time for which a seat is held, until the first was released; also the upper bound for a tenant that has not
released any."""
HOLD_WEIGHT = 0.1
"""Weight of the latest hold in the mean hold time."""
UNPREDICTED_TICKETS = 8
"""Number of tickets per tenant that may wait whatever is predicted: a mean says little about a few."""
SPREAD = 0.2
"""Relative amount by which predicted waits sent to clients are varied, so that clients rejected together do not return
together."""
_GOLDEN = 0.6180339887
"""Fractional part of the golden ratio: its multiples modulo one are evenly distributed for any count."""

T = TypeVar("T", bound=Hashable)


class QueueLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the limits of a queue."""

    tickets_max: int = 10_000
    bytes_max: int = 256 * 1024 * 1024
    tenant_tickets_max: int = 1000
    refuses_hopeless: bool = True
    """True if a ticket is rejected at once when its predicted wait is too long."""


class Verdict(Enum):
    """Enumerate the decisions on a new ticket."""

    WAIT = auto()
    REFUSE = auto()
    """Reject the ticket: its tenant has too many waiting."""
    EVICT = auto()
    """Accept the ticket after evicting the newest ticket of the heaviest tenant."""


class OverflowPolicy(Generic[T]):
    """Judge tickets by the counts of an occupancy. The caller reports every change of the counts."""

    def __init__(self, limits: QueueLimits, occupancy: Occupancy[T]) -> None:
        self._limits = limits
        self._occupancy = occupancy
        self._mean_hold_s = HOLD_S_FIRST_GUESS
        self._heaviest: LazyHeap[Account[T]] = LazyHeap(lambda account, _: -self._load_s(account))
        self._told = 0

    def verdict(self, account: Account[T], size: int, *, seats: int, wait_s_max: float) -> Verdict:
        """Decide whether to queue a ticket, reject it, or evict another tenant's ticket for it."""
        limits, counts = self._limits, self._occupancy
        if account.waiting >= limits.tenant_tickets_max:
            return Verdict.REFUSE
        may_hope = not limits.refuses_hopeless or not seats
        if not may_hope and account.waiting >= UNPREDICTED_TICKETS and self._wait_s(account, seats) > wait_s_max:
            return Verdict.REFUSE
        if counts.waiting < limits.tickets_max and counts.waiting_bytes + size <= limits.bytes_max:
            return Verdict.WAIT
        # It replaces another ticket only if its own tenant is not the one that fills the queue.
        heaviest = self.heaviest()
        own_s = self._load_s(account) + self._hold_s(account) / account.weight
        if heaviest is None or self._load_s(heaviest) <= own_s:
            return Verdict.REFUSE
        # A ticket is evicted only if that makes enough room for the new one.
        is_enough = heaviest.waiting_bytes >= counts.waiting_bytes + size - limits.bytes_max
        return Verdict.EVICT if is_enough else Verdict.REFUSE

    def heaviest(self) -> Account[T] | None:
        """Return the account whose waiting tickets ask for the most seat-seconds per weight.

        None if no ticket waits.
        """
        return self._heaviest.smallest(0.0)

    def waiting_changed(self, account: Account[T]) -> None:
        """Record a change in the number of tickets or in the weight of an account."""
        if account.waiting:
            self._heaviest.push(account, 0.0)
        else:
            self._heaviest.remove(account)

    def released(self, account: Account[T], held_s: float) -> None:
        """Record for how many seconds a released permit was held."""
        account.mean_hold_s = held_s if account.mean_hold_s is None else _moved(account.mean_hold_s, held_s)
        self._mean_hold_s = _moved(self._mean_hold_s, held_s)
        if account.waiting:
            self._heaviest.push(account, 0.0)

    def told_wait_s(self, account: Account[T], seats: int) -> float:
        """Return the predicted wait of one more ticket, varied by up to SPREAD.

        The variation keeps clients from returning all at once.
        """
        self._told += 1
        spread = 1 + SPREAD * (2 * (self._told * _GOLDEN % 1) - 1)
        return self._wait_s(account, seats) * spread

    def _wait_s(self, account: Account[T], seats: int) -> float:
        # Seats beyond its fair part are borrowed: it may keep or lose them, so the prediction is optimistic.
        turns = max(self._fair_seats(account, seats), account.held, 1.0)
        return (account.waiting + 1) * self._hold_s(account) / turns

    def _fair_seats(self, account: Account[T], seats: int) -> float:
        others = self._occupancy.present_weight - (account.weight if account.is_present else 0.0)
        return seats * account.weight / (account.weight + max(0.0, others))

    def _hold_s(self, account: Account[T]) -> float:
        # Long holds of other tenants say nothing about a tenant without holds: they must not get it rejected.
        return min(self._mean_hold_s, HOLD_S_FIRST_GUESS) if account.mean_hold_s is None else account.mean_hold_s

    def _load_s(self, account: Account[T]) -> float:
        """Return the seat-seconds per weight that the waiting tickets ask for."""
        return account.waiting * self._hold_s(account) / account.weight


def _moved(mean: float, value: float) -> float:
    return mean + HOLD_WEIGHT * (value - mean)
