"""The rules of the order once more, as plainly as they can be said: every account is looked at in every step.

Nothing is lazy here: whenever time passes, everybody's service is written down, and the next one is found by reading
every key. What the production order does with heaps has to come to the same.
"""

from dataclasses import dataclass, field

from gateway.fairshare.cost_model import CostModel
from gateway.fairshare.fair_queue import COST_CHANGE_MIN, DEBT_S_MAX, EPOCH_S, MOMENT_S, OWED_S_MAX

MEMORY = 0.98


@dataclass
class Account:
    weight: float
    attained: float = 0.0
    owed: float = 0.0
    left_s: float = 0.0
    held: int = 0
    remote: int = 0
    credited: float = 0.0
    served: float = 0.0
    tickets: list[int] = field(default_factory=list)


class ReferenceOrder:
    """First come, first served within a tenant; between tenants, the smallest key."""

    def __init__(self, cost_model: CostModel) -> None:
        self.cost_model = cost_model
        self.now_s = 0.0
        self.accounts: dict[str, Account] = {}
        self.costs: list[float] = []
        self.mean_cost = cost_model.first_guess
        self.epoch_ends_s = float("-inf")
        self.last_attained = 0.0

    def pass_time(self, now_s: float) -> None:
        gone_s, self.now_s = now_s - self.now_s, now_s
        for account in self.accounts.values():
            accrued = self.cost_model.per_second * gone_s
            account.attained += accrued * (account.held + account.remote) / account.weight
            account.served += accrued * account.held
            account.credited += accrued * account.remote

    def waiting(self) -> dict[str, Account]:
        return {name: account for name, account in self.accounts.items() if account.tickets}

    def keys(self) -> dict[str, float]:
        """Of everybody who waits."""
        return {
            name: account.attained + self.mean_cost * (account.held + account.remote) / account.weight
            for name, account in self.waiting().items()
        }

    def floor(self) -> float:
        return min((account.attained for account in self.waiting().values()), default=self.last_attained)

    def seconds_of_all(self, seconds: float, account: Account) -> float:
        return seconds * self.cost_model.capacity_per_s / account.weight

    def enqueue(self, ticket: int, tenant: str, weight: float) -> None:
        account = self.accounts.setdefault(tenant, Account(weight))
        account.weight = weight
        if not account.tickets:
            floor = self.floor()
            is_back_soon = self.now_s - account.left_s <= MOMENT_S
            not_before = max(account.attained, floor - account.owed if is_back_soon else floor)
            account.attained = min(not_before, floor + self.seconds_of_all(DEBT_S_MAX, account))
        account.tickets.append(ticket)

    def withdraw(self, ticket: int, tenant: str) -> None:
        self.accounts[tenant].tickets.remove(ticket)

    def begin_grant(self) -> dict[str, float]:
        """The keys by which the next grant is decided."""
        if self.now_s >= self.epoch_ends_s and sum(self.costs):
            self.epoch_ends_s = self.now_s + EPOCH_S
            aged = [(MEMORY**age, cost) for age, cost in enumerate(reversed(self.costs))]
            mean = sum(part * cost * cost for part, cost in aged) / sum(part * cost for part, cost in aged)
            if abs(mean - self.mean_cost) > COST_CHANGE_MIN * self.mean_cost:
                self.mean_cost = mean
        return self.keys()

    def grant(self, tenant: str) -> int:
        """This tenant's turn, as the production order decided among equals."""
        account = self.accounts[tenant]
        ticket = account.tickets.pop(0)
        account.attained += self.cost_model.per_grant / account.weight
        account.served += self.cost_model.per_grant
        account.held += 1
        self.last_attained = account.attained
        others = self.waiting()
        account.left_s = self.now_s
        if not account.tickets and others:
            behind = max(0.0, self.floor() - account.attained)
            account.owed = min(behind, self.seconds_of_all(OWED_S_MAX, account))
        return ticket

    def charge(self, tenant: str, cost: float) -> None:
        account = self.accounts[tenant]
        account.attained += cost / account.weight
        account.served += cost

    def release(self, tenant: str, cost: float) -> None:
        self.accounts[tenant].held -= 1
        self.costs.append(cost)

    def note_remote_usage(self, tenant: str, weight: float, held: int, served: float) -> None:
        account = self.accounts.setdefault(tenant, Account(weight))
        account.weight = weight
        account.attained += (served - account.credited) / weight
        account.credited = 0.0
        account.remote = held
