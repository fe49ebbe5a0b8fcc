"""Grant permits fairly: next is the tenant with the least service by weight, including the seats that it holds.

    key = attained service / weight  +  mean cost of a grant * seats held / weight

Service accrues while requests run, so the duration of a request need not be estimated; the second term balances seats
at every moment and not only in the long run. The cost model defines the unit of service: seat-seconds, calls or tokens.
A tenant that returns after a pause starts at the level of the others: it gets no credit for its idle time, keeps its
debt up to a bound, and, if its queue was empty only for a moment, keeps what it was owed then.

The first term is the virtual token counter of Sheng et al., "Fairness in Serving Large Language Models" (OSDI 2024).
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from gateway.fairshare.account import Account
from gateway.fairshare.cost_model import CostModel
from gateway.fairshare.lazy_heap import LazyHeap
from gateway.fairshare.occupancy import Occupancy
from gateway.fairshare.overflow import OverflowPolicy, QueueLimits, Verdict

T = TypeVar("T", bound=Hashable)

DEBT_S_MAX = 60.0
"""Maximum debt that a returning tenant keeps: service beyond that of the others, in seconds of the whole capacity."""
EPOCH_S = 2.0
"""Minimum seconds between updates of the mean cost: every key depends on it."""
COST_CHANGE_MIN = 0.2
"""Minimum relative change of the mean cost for an update: an update may evaluate many keys again, and a rough mean is
good enough."""
OWED_S_MAX = 2.0
"""Maximum service owed that a returning tenant keeps, in seconds of the whole capacity."""
MOMENT_S = 0.5
"""Maximum seconds for which a line may be empty without losing what is owed: between two waves of clients that send
again as soon as they are answered."""
_COST_MEMORY = 0.98


class FairQueue(Generic[T]):
    """Hold the tickets of many tenants and grant them in fair order; within a tenant, in the order of its line.

    Each `grant` needs a matching `release`; times are monotonic seconds that never decrease.
    """

    def __init__(
        self, cost_model: CostModel, limits: QueueLimits | None = None, size_of: Callable[[T], int] = lambda _: 0
    ) -> None:
        """Create an empty queue; `size_of` returns what a waiting ticket keeps in memory, in bytes."""
        self._cost_model = cost_model
        self._size_of = size_of
        self._accounts: dict[str, Account[T]] = {}
        self._holders: set[Account[T]] = set()
        """Accounts with seats here or at other replicas, whose keys depend on the mean cost."""
        self._next: LazyHeap[Account[T]] = LazyHeap(self._key)
        self._floor: LazyHeap[Account[T]] = LazyHeap(self._attained)
        self.occupancy: Occupancy[T] = Occupancy()
        self._overflow = OverflowPolicy(limits or QueueLimits(), self.occupancy)
        self._last: Account[T] | None = None
        self._last_attained = self._attained_before = 0.0
        """Attained service per weight of the account of the last grant, and of the grant before it. Newcomers start at
        the former while no ticket waits."""
        self._mean_cost = cost_model.first_guess
        self._costs_sum = 0.0
        self._costs_square_sum = 0.0
        self._epoch_ends_s = float("-inf")

    def __len__(self) -> int:
        """Return the number of waiting tickets."""
        return self.occupancy.waiting

    def verdict(self, *, tenant: str, weight: float, size: int, seats: int, wait_s_max: float, now_s: float) -> Verdict:
        """Decide what to do with a ticket that would have to wait: see `OverflowPolicy`."""
        account = self._account(tenant, weight, now_s)
        return self._overflow.verdict(account, size, seats=seats, wait_s_max=wait_s_max)

    def evict(self) -> T:
        """Remove and return the newest ticket of the tenant that fills the queue, after such a `verdict`."""
        heaviest = self._overflow.heaviest()
        assert heaviest is not None  # noqa: S101 - some ticket waits.
        ticket = heaviest.line.newest()
        self.withdraw(ticket, tenant=heaviest.tenant)
        return ticket

    def told_wait_s(self, tenant: str, seats: int) -> float:
        """Return the predicted wait of one more ticket, as reported to clients; the tenant must be known."""
        return self._overflow.told_wait_s(self._accounts[tenant], seats)

    def enqueue(
        self,
        ticket: T,
        *,
        tenant: str,
        weight: float,
        now_s: float,
        member: str = "",
        is_urgent: bool = False,
    ) -> None:
        """Add a ticket."""
        account = self._account(tenant, weight, now_s)
        is_back = not account.waiting
        account.line.enqueue(ticket, member=member, is_urgent=is_urgent)
        self.occupancy.wait(account, self._size_of(ticket))
        self._overflow.waiting_changed(account)
        if is_back:
            self._lift(account, now_s)
            self._next.push(account, now_s)
            self._floor.push(account, now_s)

    def reweigh(self, tenant: str, weight: float, now_s: float) -> None:
        """Change the weight of a tenant, also for its waiting tickets; do nothing if it is unknown."""
        if tenant in self._accounts:
            self._account(tenant, weight, now_s)

    def retune(self, cost_model: CostModel) -> None:
        """Set the cost model of a changed capacity, which bounds debts; the prices must stay the same."""
        self._cost_model = cost_model

    def withdraw(self, ticket: T, *, tenant: str) -> None:
        """Remove a ticket; do nothing if it is not waiting."""
        account = self._accounts[tenant]
        if account.line.withdraw(ticket):
            self._leave_line(account, ticket)

    def grant(self, now_s: float, may: Callable[[Account[T]], bool] | None = None) -> T | None:
        """Remove and return the next ticket, of a tenant for which `may` is true, which then holds one more seat."""
        self._begin_epoch(now_s)
        account = self._next.smallest(now_s) if may is None else self._next.smallest_of(may, now_s)
        if account is None:
            return None
        ticket = account.line.grant()
        account.bring_up(self._cost_model.per_second, now_s)
        self._hold(account)
        self._leave_line(account, ticket)
        if account.waiting:
            # Pushed again although its key grew: this makes equal keys take turns.
            self._next.push(account, now_s)
        else:
            self._note_owed(account, now_s)
        return ticket

    def grant_at_once(self, *, tenant: str, weight: float, now_s: float) -> None:
        """Grant a seat to a tenant without a ticket: what `enqueue` and `grant` do if no ticket waits."""
        account = self._account(tenant, weight, now_s)
        self._lift(account, now_s)
        self._begin_epoch(now_s)
        self._hold(account)
        account.left_s = now_s

    def charge(self, tenant: str, cost: float, now_s: float) -> None:
        """Charge service beyond what accrues by the second; a negative cost is a refund."""
        account = self._accounts[tenant]
        account.serve(cost)
        if cost < 0:
            self._reread(account, now_s)

    def forgive(self, tenant: str, cost: float, now_s: float) -> None:
        """Refund the price of a failed grant and its cost so far, as if it was never granted."""
        if self._last is not None and tenant == self._last.tenant:
            self._last_attained = self._attained_before
        self.charge(tenant, -cost - self._cost_model.per_grant, now_s)

    def release(self, *, tenant: str, cost: float, now_s: float, held_s: float | None = None) -> None:
        """Take back a seat.

        `cost` is its total cost, which is already charged; it predicts the cost of the next ones. `held_s` is how long
        it was held, in seconds; it predicts waits.
        """
        account = self._accounts[tenant]
        account.bring_up(self._cost_model.per_second, now_s)
        self.occupancy.release(account)
        if held_s is not None:
            self._overflow.released(account, held_s)
        self._note_holder(account)
        self._costs_sum = _COST_MEMORY * self._costs_sum + cost
        self._costs_square_sum = _COST_MEMORY * self._costs_square_sum + cost * cost
        if account.waiting:
            self._next.push(account, now_s)

    def held_by(self, tenant: str) -> int:
        """Return the number of seats that a tenant holds here."""
        account = self._accounts.get(tenant)
        return 0 if account is None else account.held

    def held_anywhere(self, tenant: str) -> int:
        """Return the number of seats of a known tenant, here and at other replicas."""
        account = self._accounts[tenant]
        return account.held + account.remote

    def served(self, tenants: Iterable[str], now_s: float) -> dict[str, float]:
        """Return the total service of these tenants at this replica; unknown tenants are left out."""
        found = [self._accounts[name] for name in tenants if name in self._accounts]
        for account in found:
            account.bring_up(self._cost_model.per_second, now_s)
        return {account.tenant: account.served for account in found}

    def present_anywhere(self, now_s: float) -> dict[str, tuple[float, float]]:
        """Return weight and total service at all replicas of each tenant present here or holding seats elsewhere."""
        found: dict[str, tuple[float, float]] = {}
        for account in self._holders | self._next.members:
            account.bring_up(self._cost_model.per_second, now_s)
            found[account.tenant] = account.weight, account.served + account.served_elsewhere
        return found

    def note_remote_usage(self, news: Iterable[tuple[str, float, int, float]], now_s: float) -> None:
        """Record what other replicas did since: (tenant, weight, seats held there, service given there)."""
        for tenant, weight, held, served in news:
            account = self._account(tenant, weight, now_s)
            account.bring_up(self._cost_model.per_second, now_s)
            is_less = served < account.credited or held < account.remote
            account.attained += (served - account.credited) / weight
            account.served_elsewhere += served
            account.credited = 0.0
            account.remote = held
            self._note_holder(account)
            if is_less:
                self._reread(account, now_s)

    def _hold(self, account: Account[T]) -> None:
        """Add one seat to an account that is brought up to date."""
        account.serve(self._cost_model.per_grant)
        self.occupancy.hold(account)
        self._holders.add(account)
        self._attained_before, self._last_attained = self._last_attained, account.attained
        self._last = account

    def _note_holder(self, account: Account[T]) -> None:
        if account.held or account.remote:
            self._holders.add(account)
        else:
            self._holders.discard(account)

    def _account(self, tenant: str, weight: float, now_s: float) -> Account[T]:
        account = self._accounts.get(tenant)
        if account is None:
            account = self._accounts[tenant] = Account(tenant, weight)
            account.at_s = now_s
        if account.weight != weight:
            account.bring_up(self._cost_model.per_second, now_s)
            self.occupancy.reweigh(account, weight)
            self._reread(account, now_s)
            self._overflow.waiting_changed(account)
        return account

    def _leave_line(self, account: Account[T], ticket: T) -> None:
        self.occupancy.leave(account, self._size_of(ticket))
        if not account.waiting:
            self._next.remove(account)
            self._floor.remove(account)
            self._overflow.waiting_changed(account)

    def _reread(self, account: Account[T], now_s: float) -> None:
        """Evaluate keys again that may have become smaller, which the heaps do not detect by themselves."""
        if account.waiting:
            self._next.push(account, now_s)
            self._floor.push(account, now_s)

    def _lift(self, account: Account[T], now_s: float) -> None:
        """Place a returning tenant: ahead of the others by at most what it is owed, behind by at most DEBT_S_MAX."""
        account.bring_up(self._cost_model.per_second, now_s)
        lowest = self._floor.smallest(now_s)
        floor = self._last_attained if lowest is None else self._attained(lowest, now_s)
        debt_max = DEBT_S_MAX * self._cost_model.capacity_per_s / account.weight
        owed = account.owed if now_s - account.left_s <= MOMENT_S else 0.0
        account.attained = min(max(account.attained, floor - owed), floor + debt_max)

    def _note_owed(self, account: Account[T], now_s: float) -> None:
        """Record what a tenant is owed as its line becomes empty: it had less than the others because it waited."""
        lowest = self._floor.smallest(now_s)
        account.left_s = now_s
        if lowest is not None:
            owed_max = OWED_S_MAX * self._cost_model.capacity_per_s / account.weight
            account.owed = min(max(0.0, self._attained(lowest, now_s) - account.attained), owed_max)

    def _begin_epoch(self, now_s: float) -> None:
        if now_s < self._epoch_ends_s or not self._costs_sum:
            return
        self._epoch_ends_s = now_s + EPOCH_S
        # Weighted by the costs themselves: where they differ, a higher mean balances the seats more strongly.
        mean_cost = self._costs_square_sum / self._costs_sum
        before = self._mean_cost
        if abs(mean_cost - before) <= COST_CHANGE_MIN * before:
            return
        self._mean_cost = mean_cost
        if mean_cost < before:
            # The heap detects grown keys by itself, and keys of tenants without seats do not change.
            for account in self._holders:
                if account.waiting:
                    self._next.push(account, now_s)

    def _attained(self, account: Account[T], now_s: float) -> float:
        return account.attained_at(self._cost_model.per_second, now_s)

    def _key(self, account: Account[T], now_s: float) -> float:
        expected = self._mean_cost * (account.held + account.remote) / account.weight
        return account.attained_at(self._cost_model.per_second, now_s) + expected
