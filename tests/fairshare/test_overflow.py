import pytest

from gateway.fairshare.account import Account
from gateway.fairshare.occupancy import Occupancy
from gateway.fairshare.overflow import (
    HOLD_S_FIRST_GUESS,
    SPREAD,
    UNPREDICTED_TICKETS,
    OverflowPolicy,
    QueueLimits,
    Verdict,
)


class Subject:
    """An occupancy and its policy, with accounts by the names of their tenants."""

    def __init__(self, **limits: int) -> None:
        self.occupancy: Occupancy[str] = Occupancy()
        self.policy = OverflowPolicy(QueueLimits(**limits), self.occupancy)
        self.accounts: dict[str, Account[str]] = {}

    def account(self, tenant: str, weight: float = 1.0) -> Account[str]:
        account = self.accounts.setdefault(tenant, Account(tenant, weight))
        if account.weight != weight:
            self.occupancy.reweigh(account, weight)
            self.policy.waiting_changed(account)
        return account

    def fill(self, tenant: str, tickets: int, *, weight: float = 1.0, size: int = 0) -> None:
        account = self.account(tenant, weight)
        for _ in range(tickets):
            self.occupancy.wait(account, size)
            self.policy.waiting_changed(account)

    def hold(self, tenant: str) -> None:
        """Let a ticket have its turn."""
        account = self.accounts[tenant]
        self.occupancy.hold(account)
        self.occupancy.leave(account, 0)
        self.policy.waiting_changed(account)

    def hold_and_release(self, tenant: str, held_s: float) -> None:
        account = self.account(tenant)
        self.occupancy.hold(account)
        self.occupancy.release(account)
        self.policy.released(account, held_s)

    def verdict(self, tenant: str, *, weight: float = 1.0, size: int = 0, seats: int = 100) -> Verdict:
        return self.policy.verdict(self.account(tenant, weight), size, seats=seats, wait_s_max=30.0)

    def heaviest(self) -> str:
        heaviest = self.policy.heaviest()
        assert heaviest is not None
        return heaviest.tenant

    def told_wait_s(self, tenant: str, seats: int) -> float:
        return self.policy.told_wait_s(self.accounts[tenant], seats)


def test_a_wait_is_predicted_from_the_tenants_own_holds_and_its_part_of_the_seats() -> None:
    subject = Subject()
    subject.fill("other", 1)
    subject.fill("a", 9)
    assert subject.told_wait_s("a", 10) == pytest.approx(10 * HOLD_S_FIRST_GUESS / 5, rel=SPREAD)
    subject.hold("a")
    subject.occupancy.release(subject.accounts["a"])
    subject.policy.released(subject.accounts["a"], 2.0)
    assert subject.told_wait_s("a", 10) == pytest.approx(9 * 2.0 / 5, rel=SPREAD)


def test_seats_that_are_lent_count_as_long_as_they_are() -> None:
    subject = Subject()
    subject.fill("idle", 1)
    subject.fill("a", 19)
    for _ in range(9):
        subject.hold("a")
    assert subject.told_wait_s("a", 10) == pytest.approx(11 * HOLD_S_FIRST_GUESS / 9, rel=SPREAD)


def test_those_refused_together_are_told_different_times() -> None:
    subject = Subject()
    subject.fill("a", 1)
    assert len({subject.told_wait_s("a", 1) for _ in range(50)}) == 50


def test_a_hopeless_wait_is_refused_at_once_and_a_few_may_always_hope() -> None:
    subject = Subject()
    subject.fill("a", UNPREDICTED_TICKETS - 1)
    assert subject.verdict("a", seats=1) is Verdict.WAIT
    subject.fill("a", 1)
    assert subject.verdict("a", seats=1) is Verdict.REFUSE
    assert subject.verdict("a", seats=100) is Verdict.WAIT
    # Its own tickets are nobody else's matter.
    assert subject.verdict("b", seats=1) is Verdict.WAIT


def test_each_tenants_line_is_bounded() -> None:
    subject = Subject(tenant_tickets_max=3)
    subject.fill("a", 3)
    assert subject.verdict("a") is Verdict.REFUSE
    assert subject.verdict("b") is Verdict.WAIT


@pytest.mark.parametrize("limits", [{"tickets_max": 6}, {"bytes_max": 60}])
def test_when_all_is_full_the_heaviest_makes_room(limits: dict[str, int]) -> None:
    subject = Subject(**limits)
    subject.fill("big", 4, size=10)
    subject.fill("small", 2, size=10)
    assert subject.heaviest() == "big"
    assert subject.verdict("small", size=10) is Verdict.EVICT
    assert subject.verdict("big", size=10) is Verdict.REFUSE
    # By weight: four of a tenant with weight four are less than two of one.
    subject = Subject(**limits)
    subject.fill("heavy", 4, weight=4, size=10)
    subject.fill("small", 2, size=10)
    assert subject.heaviest() == "small"
    assert subject.verdict("heavy", weight=4, size=10) is Verdict.EVICT


def test_long_holds_make_a_tenant_heavy() -> None:
    subject = Subject(tickets_max=6)
    for tenant, held_s in (("slow", 60.0), ("quick", 1.0)):
        subject.fill(tenant, 1)
        subject.hold_and_release(tenant, held_s)
    subject.fill("slow", 2)
    subject.fill("quick", 4)
    assert subject.heaviest() == "slow"


def test_a_weight_that_becomes_smaller_makes_its_tenant_the_heaviest() -> None:
    subject = Subject()
    subject.fill("a", 3)
    subject.fill("b", 2)
    assert subject.heaviest() == "a"
    subject.account("b", 0.5)
    assert (subject.heaviest(), subject.occupancy.weights()) == ("b", {"a": 1.0, "b": 0.5})
    subject.account("b", 2.0)
    assert (subject.heaviest(), subject.occupancy.weights()) == ("a", {"a": 1.0, "b": 2.0})


def test_the_weight_of_a_ticket_that_finds_no_room_counts_for_those_before_it() -> None:
    subject = Subject(tickets_max=5)
    subject.fill("a", 3)
    subject.fill("b", 2)
    assert subject.verdict("b", weight=0.1) is Verdict.REFUSE
    assert subject.heaviest() == "b"


def test_the_long_holds_of_one_tenant_predict_no_waits_of_a_newcomer() -> None:
    subject = Subject()
    for _ in range(100):
        subject.hold_and_release("slow", 600.0)
    subject.fill("slow", 4)
    subject.fill("new", UNPREDICTED_TICKETS)
    assert subject.verdict("new", seats=4) is Verdict.WAIT
    assert subject.told_wait_s("new", 4) == pytest.approx(9 * HOLD_S_FIRST_GUESS / 2, rel=SPREAD)
    assert subject.heaviest() == "slow"
    # By its own holds it may be.
    subject.hold("new")
    subject.occupancy.release(subject.accounts["new"])
    subject.policy.released(subject.accounts["new"], 60.0)
    subject.fill("new", 1)
    assert subject.verdict("new", seats=4) is Verdict.REFUSE


def test_short_holds_of_others_are_expected_of_a_newcomer_too() -> None:
    subject = Subject()
    for _ in range(100):
        subject.hold_and_release("quick", 1.0)
    subject.fill("new", 9)
    assert subject.told_wait_s("new", 1) == pytest.approx(10, rel=SPREAD)
