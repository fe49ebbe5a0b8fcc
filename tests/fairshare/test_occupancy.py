from gateway.fairshare.account import Account
from gateway.fairshare.occupancy import Occupancy


def test_everything_is_counted_and_gone_at_the_end() -> None:
    subject: Occupancy[str] = Occupancy()
    account: Account[str] = Account("a", 2.0)
    subject.wait(account, 10)
    subject.wait(account, 5)
    subject.hold(account)
    subject.leave(account, 10)
    assert (subject.waiting_by_tenant(), subject.held_by_tenant(), subject.weights()) == (
        {"a": 1},
        {"a": 1},
        {"a": 2.0},
    )
    assert (subject.waiting, subject.held, subject.waiting_bytes, subject.present_weight) == (1, 1, 5, 2.0)
    subject.leave(account, 5)
    assert (subject.waiting_by_tenant(), account.is_present) == ({}, True)
    subject.release(account)
    assert (subject.waiting_by_tenant(), subject.held_by_tenant(), subject.weights()) == ({}, {}, {})
    assert (subject.waiting, subject.held, subject.waiting_bytes, subject.present_weight) == (0, 0, 0, 0.0)
    assert (account.waiting, account.waiting_bytes, account.held, account.is_present) == (0, 0, 0, False)


def test_another_weight_counts_at_once_where_its_tenant_is_present() -> None:
    subject: Occupancy[str] = Occupancy()
    here, gone = Account[str]("a", 1.0), Account[str]("b", 1.0)
    subject.hold(here)
    subject.reweigh(here, 3.0)
    subject.reweigh(gone, 5.0)
    assert (subject.weights(), subject.present_weight, gone.weight) == ({"a": 3.0}, 3.0, 5.0)
    subject.release(here)
    assert subject.present_weight == 0.0
