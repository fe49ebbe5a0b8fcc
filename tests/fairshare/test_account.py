from gateway.fairshare.account import Account


def test_what_is_held_anywhere_accrues_by_weight() -> None:
    account: Account[int] = Account("a", 2.0)
    account.held, account.remote = 3, 1
    assert account.attained_at(0.5, 10.0) == 10.0
    account.bring_up(0.5, 10.0)
    assert (account.attained, account.served, account.credited) == (10.0, 15.0, 5.0)
    assert account.attained_at(0.5, 10.0) == 10.0


def test_a_service_at_once_counts_by_weight() -> None:
    account: Account[int] = Account("a", 2.0)
    account.serve(6.0)
    assert (account.attained, account.served) == (3.0, 6.0)
