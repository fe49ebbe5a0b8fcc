"""Who is next: the tenant that has had least of the endpoint, by weight, counting what it holds right now.

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


class ShareOrder(Generic[T]):
    """Tickets of many tenants in the order of their turn; within a tenant, by its own line.

    `grant` and `release` have to come in pairs; times are monotonic seconds that never go back.
    """

    def __init__(self, tariff: Tariff) -> None:
        self._tariff = tariff
        self._accounts: dict[str, Account[T]] = {}
        self._holders: set[str] = set()
        """Whose keys the mean cost is part of."""
        self._waiting = 0
        self._next: LazyHeap[str] = LazyHeap(self._key)
        self._floor: LazyHeap[str] = LazyHeap(self._attained)
        self._last_tenant = ""
        self._last_attained = self._attained_before = 0.0
        """Where newcomers begin while nobody waits: where the tenant of the last grant stood, and of the one before."""
        self._mean_cost = tariff.first_guess
        self._costs_sum = 0.0
        self._costs_square_sum = 0.0
        self._epoch_ends_s = float("-inf")

    def __len__(self) -> int:
        return self._waiting

    def enqueue(
        self, ticket: T, *, tenant: str, weight: float, now_s: float, member: str = "", is_urgent: bool = False
    ) -> None:
        """A ticket begins to wait."""
        account = self._account(tenant, weight, now_s)
        is_back = not account.waiting
        account.line.enqueue(ticket, member=member, is_urgent=is_urgent)
        account.waiting += 1
        self._waiting += 1
        if is_back:
            self._lift(account, now_s)
            self._next.push(tenant, now_s)
            self._floor.push(tenant, now_s)

    def reweigh(self, tenant: str, weight: float, now_s: float) -> None:
        """Another weight from now on, for tickets that wait as well; nothing happens if it never came."""
        if tenant in self._accounts:
            self._account(tenant, weight, now_s)

    def retune(self, tariff: Tariff) -> None:
        """The capacity has changed, and with it the bounds of debts; prices stay what they were."""
        self._tariff = tariff

    def withdraw(self, ticket: T, *, tenant: str) -> None:
        """A ticket waits no longer; nothing happens if it did not."""
        account = self._accounts[tenant]
        if account.line.withdraw(ticket):
            self._leave_line(tenant, account)

    def newest(self, tenant: str) -> T:
        """The ticket of a waiting tenant that came last."""
        return self._accounts[tenant].line.newest()

    def grant(self, now_s: float, may: Callable[[str], bool] | None = None) -> T | None:
        """Take out the ticket whose turn it is, of a tenant that `may` go; that tenant holds one more seat."""
        self._begin_epoch(now_s)
        tenant = self._next.smallest(now_s) if may is None else self._next.smallest_of(may, now_s)
        if tenant is None:
            return None
        account = self._accounts[tenant]
        ticket = account.line.grant()
        account.bring_up(self._tariff.per_second, now_s)
        self._hold(tenant, account)
        self._leave_line(tenant, account)
        if account.waiting:
            # Pushed again although its key grew: among equal keys the turn goes round.
            self._next.push(tenant, now_s)
        else:
            self._note_owed(account, now_s)
        return ticket

    def grant_at_once(self, *, tenant: str, weight: float, now_s: float) -> None:
        """What `enqueue` and `grant` come to while nobody waits: the tenant holds one seat more."""
        account = self._account(tenant, weight, now_s)
        self._lift(account, now_s)
        self._begin_epoch(now_s)
        self._hold(tenant, account)
        account.left_s = now_s

    def charge(self, tenant: str, cost: float, now_s: float) -> None:
        """Service beyond what accrues by itself; less than nothing gives back."""
        account = self._accounts[tenant]
        account.serve(cost)
        if cost < 0:
            self._reread(tenant, account, now_s)

    def forgive(self, tenant: str, cost: float, now_s: float) -> None:
        """A grant came to nothing: its price and the cost so far are given back, as if it had not been."""
        if tenant == self._last_tenant:
            self._last_attained = self._attained_before
        self.charge(tenant, -cost - self._tariff.per_grant, now_s)

    def release(self, *, tenant: str, cost: float, now_s: float) -> None:
        """A seat was given back. `cost` is what it came to, charged already: what the next ones are expected to."""
        account = self._accounts[tenant]
        account.bring_up(self._tariff.per_second, now_s)
        account.held -= 1
        self._note_holder(tenant, account)
        self._costs_sum = _COST_MEMORY * self._costs_sum + cost
        self._costs_square_sum = _COST_MEMORY * self._costs_square_sum + cost * cost
        if account.waiting:
            self._next.push(tenant, now_s)

    def held(self, tenant: str) -> int:
        """The seats of a tenant, here and elsewhere."""
        account = self._accounts[tenant]
        return account.held + account.elsewhere

    def served(self, tenants: Iterable[str], now_s: float) -> dict[str, float]:
        """All service that these tenants ever had here."""
        for account in (known := {name: self._accounts[name] for name in tenants if name in self._accounts}).values():
            account.bring_up(self._tariff.per_second, now_s)
        return {name: account.served for name, account in known.items()}

    def present(self, now_s: float) -> dict[str, tuple[float, float]]:
        """Weight and all service, wherever it was given, of the tenants that wait or hold here or hold elsewhere."""
        found: dict[str, tuple[float, float]] = {}
        for tenant in self._holders | self._next.members:
            account = self._accounts[tenant]
            account.bring_up(self._tariff.per_second, now_s)
            found[tenant] = account.weight, account.served + account.served_elsewhere
        return found

    def note_elsewhere(self, news: Iterable[tuple[str, float, int, float]], now_s: float) -> None:
        """What other replicas did since this was last told: (tenant, weight, seats held there, service given there)."""
        for tenant, weight, held, served in news:
            account = self._account(tenant, weight, now_s)
            account.bring_up(self._tariff.per_second, now_s)
            is_less = served < account.credited or held < account.elsewhere
            account.attained += (served - account.credited) / weight
            account.served_elsewhere += served
            account.credited = 0.0
            account.elsewhere = held
            self._note_holder(tenant, account)
            if is_less:
                self._reread(tenant, account, now_s)

    def _hold(self, tenant: str, account: Account[T]) -> None:
        """One seat more for an account that was brought up."""
        account.serve(self._tariff.per_grant)
        account.held += 1
        self._holders.add(tenant)
        self._attained_before, self._last_attained = self._last_attained, account.attained
        self._last_tenant = tenant

    def _note_holder(self, tenant: str, account: Account[T]) -> None:
        if account.held or account.elsewhere:
            self._holders.add(tenant)
        else:
            self._holders.discard(tenant)

    def _account(self, tenant: str, weight: float, now_s: float) -> Account[T]:
        account = self._accounts.get(tenant)
        if account is None:
            account = self._accounts[tenant] = Account(weight)
            account.at_s = now_s
        if account.weight != weight:
            account.bring_up(self._tariff.per_second, now_s)
            account.weight = weight
            self._reread(tenant, account, now_s)
        return account

    def _leave_line(self, tenant: str, account: Account[T]) -> None:
        self._waiting -= 1
        account.waiting -= 1
        if not account.waiting:
            self._next.remove(tenant)
            self._floor.remove(tenant)

    def _reread(self, tenant: str, account: Account[T], now_s: float) -> None:
        """What it had may have become less, which the heaps do not notice by themselves."""
        if account.waiting:
            self._next.push(tenant, now_s)
            self._floor.push(tenant, now_s)

    def _lift(self, account: Account[T], now_s: float) -> None:
        """Place a tenant that comes back: not behind the others by more than a bound, and not before them."""
        account.bring_up(self._tariff.per_second, now_s)
        lowest = self._floor.smallest(now_s)
        floor = self._last_attained if lowest is None else self._attained(lowest, now_s)
        debt_max = DEBT_S_MAX * self._tariff.capacity_per_s / account.weight
        owed = account.owed if now_s - account.left_s <= MOMENT_S else 0.0
        account.attained = min(max(account.attained, floor - owed), floor + debt_max)

    def _note_owed(self, account: Account[T], now_s: float) -> None:
        """Its line ran out: whatever it lags behind now it lags behind because it had to wait."""
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
            for tenant in self._holders:
                if self._accounts[tenant].waiting:
                    self._next.push(tenant, now_s)

    def _attained(self, tenant: str, now_s: float) -> float:
        return self._accounts[tenant].attained_at(self._tariff.per_second, now_s)

    def _key(self, tenant: str, now_s: float) -> float:
        account = self._accounts[tenant]
        expected = self._mean_cost * (account.held + account.elsewhere) / account.weight
        return account.attained_at(self._tariff.per_second, now_s) + expected
