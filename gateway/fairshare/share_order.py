"""Who is next: the tenant that has had least of the endpoint, by weight, counting what it holds right now.

    key = attained service / weight  +  mean hold * seats held / weight

Service is seat-seconds, growing while requests run, so that nobody has to guess how long one will take; the second term
makes seats even at every moment and not in the long run alone. Where calls and not seats are what is scarce, each call
costs the same instead, and only the first term is left. A tenant that comes back after a pause starts where
the others stand: it brings no credit from its idle time, and keeps its debt up to a bound.

The first term is the virtual token counter of Sheng et al., "Fairness in Serving Large Language Models" (OSDI 2024).
"""

from collections.abc import Hashable
from typing import Generic, Self, TypeVar

from gateway.fairshare.lazy_heap import LazyHeap
from gateway.fairshare.line import Line

T = TypeVar("T", bound=Hashable)

DEBT_S_MAX = 60.0
"""How much service beyond the others' a tenant is held to when it comes back, in seconds of all there is."""
EPOCH_S = 1.0
"""How often the mean hold is brought up to date: every key depends on it."""
HOLD_CHANGE_MIN = 0.1
"""By how much it has to have changed: all keys are read again for it, and a rough mean serves as well."""
_HOLD_MEMORY = 0.98
HOLD_S_FIRST_GUESS = 5.0


class _Account(Generic[T]):
    """What one tenant has had, holds and waits for."""

    __slots__ = ("at_s", "attained", "held", "line", "weight")

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.attained = 0.0
        """Per weight, up to `at_s`."""
        self.at_s = 0.0
        self.held = 0
        self.line: Line[T] = Line()


class ShareOrder(Generic[T]):
    """Tickets of many tenants in the order of their turn; within a tenant, by its own line.

    `grant` and `release` have to come in pairs; times are monotonic seconds that never go back.
    """

    def __init__(self, *, capacity_per_s: float, second_cost: float = 1.0, grant_cost: float = 0.0) -> None:
        """What costs: a held seat each second, or each grant. `capacity_per_s` is what all tenants can have of it."""
        self._capacity_per_s = capacity_per_s
        self._second_cost = second_cost
        self._grant_cost = grant_cost
        self._accounts: dict[str, _Account[T]] = {}
        self._waiting = 0
        self._next: LazyHeap[str] = LazyHeap(self._key)
        self._floor: LazyHeap[str] = LazyHeap(self._attained)
        self._last_attained = 0.0
        self._hold_s = HOLD_S_FIRST_GUESS
        self._holds_sum = 0.0
        self._holds_square_sum = 0.0
        self._epoch_ends_s = float("-inf")

    def __len__(self) -> int:
        return self._waiting

    @classmethod
    def of_seats(cls, seats: int) -> Self:
        """Seats are scarce, and pay by the second."""
        return cls(capacity_per_s=seats)

    @classmethod
    def of_calls(cls, per_s: float) -> Self:
        """Calls are scarce, and each pays the same."""
        return cls(capacity_per_s=per_s, second_cost=0.0, grant_cost=1.0)

    def enqueue(self, ticket: T, *, tenant: str, weight: float, now_s: float, is_urgent: bool = False) -> None:
        """A ticket begins to wait."""
        account = self._accounts.get(tenant)
        if account is None:
            account = self._accounts[tenant] = _Account(weight)
        if account.weight != weight:
            self._bring_up(account, now_s)
            account.weight = weight
        is_back = not len(account.line)
        account.line.enqueue(ticket, is_urgent=is_urgent)
        self._waiting += 1
        if is_back:
            self._lift(account, now_s)
            self._next.push(tenant, now_s)
            self._floor.push(tenant, now_s)

    def withdraw(self, ticket: T, *, tenant: str) -> None:
        """A ticket waits no longer."""
        account = self._accounts[tenant]
        account.line.withdraw(ticket)
        self._leave_line(tenant, account)

    def grant(self, now_s: float) -> T | None:
        """Take out the ticket whose turn it is; its tenant holds one seat more."""
        self._begin_epoch(now_s)
        tenant = self._next.smallest(now_s)
        if tenant is None:
            return None
        account = self._accounts[tenant]
        ticket = account.line.grant()
        self._bring_up(account, now_s)
        account.attained += self._grant_cost / account.weight
        account.held += 1
        self._last_attained = account.attained
        self._leave_line(tenant, account)
        if len(account.line):
            # Pushed again although its key grew: among equal keys the turn goes round.
            self._next.push(tenant, now_s)
        return ticket

    def release(self, *, tenant: str, held_s: float, now_s: float) -> None:
        """A seat was given back after `held_s`."""
        account = self._accounts[tenant]
        self._bring_up(account, now_s)
        account.held -= 1
        self._holds_sum = _HOLD_MEMORY * self._holds_sum + held_s
        self._holds_square_sum = _HOLD_MEMORY * self._holds_square_sum + held_s * held_s
        if len(account.line):
            self._next.push(tenant, now_s)

    def _leave_line(self, tenant: str, account: _Account[T]) -> None:
        self._waiting -= 1
        if not len(account.line):
            self._next.remove(tenant)
            self._floor.remove(tenant)

    def _lift(self, account: _Account[T], now_s: float) -> None:
        """Place a tenant that comes back: not behind the others by more than a bound, and not before them."""
        self._bring_up(account, now_s)
        lowest = self._floor.smallest(now_s)
        floor = self._last_attained if lowest is None else self._attained(lowest, now_s)
        debt_max = DEBT_S_MAX * self._capacity_per_s / account.weight
        account.attained = min(max(account.attained, floor), floor + debt_max)

    def _begin_epoch(self, now_s: float) -> None:
        if now_s < self._epoch_ends_s or not self._holds_sum:
            return
        self._epoch_ends_s = now_s + EPOCH_S
        # Weighted by the seats' time, so that it errs to the steady side where holds differ.
        hold_s = self._holds_square_sum / self._holds_sum
        if abs(hold_s - self._hold_s) > HOLD_CHANGE_MIN * self._hold_s:
            self._hold_s = hold_s
            self._next.rebuild(now_s)

    def _bring_up(self, account: _Account[T], now_s: float) -> None:
        """Write down what has accrued."""
        account.attained = self._attained_by(account, now_s)
        account.at_s = now_s

    def _attained_by(self, account: _Account[T], now_s: float) -> float:
        return account.attained + self._second_cost * account.held * (now_s - account.at_s) / account.weight

    def _attained(self, tenant: str, now_s: float) -> float:
        return self._attained_by(self._accounts[tenant], now_s)

    def _key(self, tenant: str, now_s: float) -> float:
        account = self._accounts[tenant]
        seats = self._second_cost * self._hold_s * account.held / account.weight
        return self._attained_by(account, now_s) + seats
