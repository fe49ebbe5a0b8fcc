"""Grant permits in a fair order: next is the tenant that has had least of the endpoint by weight, with what it holds.

    key = attained service / weight  +  mean cost of a grant * seats held / weight

Service accrues while requests run, so that nobody has to guess how long one will take; the second term makes seats even
at every moment and not in the long run alone. What service is counted in, a tariff says: seat-seconds, calls, tokens.
A tenant that comes back after a pause starts where the others stand: it brings no credit from its idle time, keeps its
debt up to a bound, and, if its line ran out for a moment only, what it was owed then.

The first term is the virtual token counter of Sheng et al., "Fairness in Serving Large Language Models" (OSDI 2024).
"""

from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from gateway.fairshare.account import Account
from gateway.fairshare.lazy_heap import LazyHeap
from gateway.fairshare.occupancy import Occupancy
from gateway.fairshare.overflow import OverflowPolicy, QueueLimits, Verdict
from gateway.fairshare.tariff import Tariff

T = TypeVar("T", bound=Hashable)

DEBT_S_MAX = 60.0
"""How much service beyond the others' a tenant is held to when it comes back, in seconds of all there is."""
EPOCH_S = 2.0
"""How often the mean cost is brought up to date: every key depends on it."""
COST_CHANGE_MIN = 0.2
"""By how much it has to have changed: many keys may have to be read again for it, and a rough mean serves as well."""
OWED_S_MAX = 2.0
"""How much of what it was owed a tenant is paid when it comes back, in seconds of all there is."""
MOMENT_S = 0.5
"""So long a line may be empty between two waves of clients that ask again as soon as they are answered."""
_COST_MEMORY = 0.98


class FairQueue(Generic[T]):
    """Hold tickets of many tenants in the order of their turn; within a tenant, by its own line.

    `grant` and `release` have to come in pairs; times are monotonic seconds that never go back.
    """

    def __init__(
        self, tariff: Tariff, limits: QueueLimits | None = None, size_of: Callable[[T], int] = lambda _: 0
    ) -> None:
        """Create an empty queue; `size_of` returns what a waiting ticket keeps in memory, in bytes."""
        self._tariff = tariff
        self._size_of = size_of
        self._accounts: dict[str, Account[T]] = {}
        self._holders: set[Account[T]] = set()
        """Whose keys the mean cost is part of."""
        self._next: LazyHeap[Account[T]] = LazyHeap(self._key)
        self._floor: LazyHeap[Account[T]] = LazyHeap(self._attained)
        self.occupancy: Occupancy[T] = Occupancy()
        self._overflow = OverflowPolicy(limits or QueueLimits(), self.occupancy)
        self._last: Account[T] | None = None
        self._last_attained = self._attained_before = 0.0
        """Where newcomers begin while no ticket waits: where the last grant's account stood, and the one before."""
        self._mean_cost = tariff.first_guess
        self._costs_sum = 0.0
        self._costs_square_sum = 0.0
        self._epoch_ends_s = float("-inf")

    def __len__(self) -> int:
        """Return how many tickets wait."""
        return self.occupancy.waiting

    def verdict(self, *, tenant: str, weight: float, size: int, seats: int, wait_s_max: float, now_s: float) -> Verdict:
        """Decide what to do with a ticket that would have to wait: see `OverflowPolicy`."""
        account = self._account(tenant, weight, now_s)
        return self._overflow.verdict(account, size, seats=seats, wait_s_max=wait_s_max)

    def evict(self) -> T:
        """Take out the newest ticket of the tenant that fills the queue. There is one where `verdict` says so."""
        heaviest = self._overflow.heaviest()
        assert heaviest is not None  # noqa: S101 - some ticket waits.
        ticket = heaviest.line.newest()
        self.withdraw(ticket, tenant=heaviest.tenant)
        return ticket

    def told_wait_s(self, tenant: str, seats: int) -> float:
        """Return how long one more ticket of a tenant that came before would wait, as its client is told."""
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
        """Let a ticket wait."""
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
        """Give a tenant another weight, for tickets that wait as well; nothing happens if it never came."""
        if tenant in self._accounts:
            self._account(tenant, weight, now_s)

    def retune(self, tariff: Tariff) -> None:
        """Note that the capacity has changed, and with it the bounds of debts; prices stay what they were."""
        self._tariff = tariff

    def withdraw(self, ticket: T, *, tenant: str) -> None:
        """Take out a ticket; nothing happens if it did not wait."""
        account = self._accounts[tenant]
        if account.line.withdraw(ticket):
            self._leave_line(account, ticket)

    def grant(self, now_s: float, may: Callable[[Account[T]], bool] | None = None) -> T | None:
        """Take out the ticket whose turn it is, of a tenant that `may` go; that tenant holds one more seat."""
        self._begin_epoch(now_s)
        account = self._next.smallest(now_s) if may is None else self._next.smallest_of(may, now_s)
        if account is None:
            return None
        ticket = account.line.grant()
        account.bring_up(self._tariff.per_second, now_s)
        self._hold(account)
        self._leave_line(account, ticket)
        if account.waiting:
            # Pushed again although its key grew: among equal keys the turn goes round.
            self._next.push(account, now_s)
        else:
            self._note_owed(account, now_s)
        return ticket

    def grant_at_once(self, *, tenant: str, weight: float, now_s: float) -> None:
        """Do what `enqueue` and `grant` come to while nobody waits: the tenant holds one seat more."""
        account = self._account(tenant, weight, now_s)
        self._lift(account, now_s)
        self._begin_epoch(now_s)
        self._hold(account)
        account.left_s = now_s

    def charge(self, tenant: str, cost: float, now_s: float) -> None:
        """Charge service beyond what accrues by itself; less than nothing gives back."""
        account = self._accounts[tenant]
        account.serve(cost)
        if cost < 0:
            self._reread(account, now_s)

    def forgive(self, tenant: str, cost: float, now_s: float) -> None:
        """Give back the price of a grant that came to nothing, and its cost so far, as if it had not been."""
        if self._last is not None and tenant == self._last.tenant:
            self._last_attained = self._attained_before
        self.charge(tenant, -cost - self._tariff.per_grant, now_s)

    def release(self, *, tenant: str, cost: float, now_s: float, held_s: float | None = None) -> None:
        """Take back a seat.

        `cost` is what it came to, charged already: what the next ones are expected to. `held_s` is how long it was
        held, from which waits are predicted.
        """
        account = self._accounts[tenant]
        account.bring_up(self._tariff.per_second, now_s)
        self.occupancy.release(account)
        if held_s is not None:
            self._overflow.released(account, held_s)
        self._note_holder(account)
        self._costs_sum = _COST_MEMORY * self._costs_sum + cost
        self._costs_square_sum = _COST_MEMORY * self._costs_square_sum + cost * cost
        if account.waiting:
            self._next.push(account, now_s)

    def held_by(self, tenant: str) -> int:
        """Return the seats of a tenant here."""
        account = self._accounts.get(tenant)
        return 0 if account is None else account.held

    def held_anywhere(self, tenant: str) -> int:
        """Return the seats of a tenant that came before, here and at other replicas."""
        account = self._accounts[tenant]
        return account.held + account.elsewhere

    def served(self, tenants: Iterable[str], now_s: float) -> dict[str, float]:
        """Return all service that these tenants ever had here."""
        found = [self._accounts[name] for name in tenants if name in self._accounts]
        for account in found:
            account.bring_up(self._tariff.per_second, now_s)
        return {account.tenant: account.served for account in found}

    def present_anywhere(self, now_s: float) -> dict[str, tuple[float, float]]:
        """Return weight and all service, wherever given, of the tenants that wait or hold here or hold elsewhere."""
        found: dict[str, tuple[float, float]] = {}
        for account in self._holders | self._next.members:
            account.bring_up(self._tariff.per_second, now_s)
            found[account.tenant] = account.weight, account.served + account.served_elsewhere
        return found

    def note_elsewhere(self, news: Iterable[tuple[str, float, int, float]], now_s: float) -> None:
        """Note what other replicas did since the last call: (tenant, weight, seats held there, service given there)."""
        for tenant, weight, held, served in news:
            account = self._account(tenant, weight, now_s)
            account.bring_up(self._tariff.per_second, now_s)
            is_less = served < account.credited or held < account.elsewhere
            account.attained += (served - account.credited) / weight
            account.served_elsewhere += served
            account.credited = 0.0
            account.elsewhere = held
            self._note_holder(account)
            if is_less:
                self._reread(account, now_s)

    def _hold(self, account: Account[T]) -> None:
        """Give one seat more to an account that was brought up."""
        account.serve(self._tariff.per_grant)
        self.occupancy.hold(account)
        self._holders.add(account)
        self._attained_before, self._last_attained = self._last_attained, account.attained
        self._last = account

    def _note_holder(self, account: Account[T]) -> None:
        if account.held or account.elsewhere:
            self._holders.add(account)
        else:
            self._holders.discard(account)

    def _account(self, tenant: str, weight: float, now_s: float) -> Account[T]:
        account = self._accounts.get(tenant)
        if account is None:
            account = self._accounts[tenant] = Account(tenant, weight)
            account.at_s = now_s
        if account.weight != weight:
            account.bring_up(self._tariff.per_second, now_s)
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
        """Read keys again that may have become smaller, which the heaps do not notice by themselves."""
        if account.waiting:
            self._next.push(account, now_s)
            self._floor.push(account, now_s)

    def _lift(self, account: Account[T], now_s: float) -> None:
        """Place a tenant that comes back: not behind the others by more than a bound, and not before them."""
        account.bring_up(self._tariff.per_second, now_s)
        lowest = self._floor.smallest(now_s)
        floor = self._last_attained if lowest is None else self._attained(lowest, now_s)
        debt_max = DEBT_S_MAX * self._tariff.capacity_per_s / account.weight
        owed = account.owed if now_s - account.left_s <= MOMENT_S else 0.0
        account.attained = min(max(account.attained, floor - owed), floor + debt_max)

    def _note_owed(self, account: Account[T], now_s: float) -> None:
        """Note how far a tenant lags behind as its line runs out: because it had to wait."""
        lowest = self._floor.smallest(now_s)
        account.left_s = now_s
        if lowest is not None:
            owed_max = OWED_S_MAX * self._tariff.capacity_per_s / account.weight
            account.owed = min(max(0.0, self._attained(lowest, now_s) - account.attained), owed_max)

    def _begin_epoch(self, now_s: float) -> None:
        if now_s < self._epoch_ends_s or not self._costs_sum:
            return
        self._epoch_ends_s = now_s + EPOCH_S
        # Weighted by the costs themselves, so that it errs to the steady side where they differ.
        mean_cost = self._costs_square_sum / self._costs_sum
        before = self._mean_cost
        if abs(mean_cost - before) <= COST_CHANGE_MIN * before:
            return
        self._mean_cost = mean_cost
        if mean_cost < before:
            # Keys that grew are found by themselves, and those of tenants that hold nothing are what they were.
            for account in self._holders:
                if account.waiting:
                    self._next.push(account, now_s)

    def _attained(self, account: Account[T], now_s: float) -> float:
        return account.attained_at(self._tariff.per_second, now_s)

    def _key(self, account: Account[T], now_s: float) -> float:
        expected = self._mean_cost * (account.held + account.elsewhere) / account.weight
        return account.attained_at(self._tariff.per_second, now_s) + expected
