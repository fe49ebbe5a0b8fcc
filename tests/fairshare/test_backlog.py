import pytest

from gateway.fairshare.backlog import HOLD_S_FIRST_GUESS, SPREAD, UNPREDICTED_TICKETS, Backlog, Bounds, Entry


def backlog(**bounds: int) -> Backlog:
    return Backlog(Bounds(**bounds))


def fill(subject: Backlog, tenant: str, tickets: int, *, weight: float = 1.0, size: int = 0) -> None:
    for _ in range(tickets):
        subject.arrive(tenant, weight, size)


def entry(subject: Backlog, tenant: str, *, weight: float = 1.0, size: int = 0, seats: int = 100) -> Entry:
    return subject.entry(tenant, weight, size, seats=seats, wait_s_max=30.0)


def test_everything_is_counted_and_gone_at_the_end() -> None:
    subject = backlog()
    fill(subject, "a", 2, size=10)
    subject.hold("a", 10)
    assert (subject.tickets(), subject.permits(), subject.weights()) == ({"a": 1}, {"a": 1}, {"a": 1.0})
    subject.leave("a", 10)
    subject.release("a", 1.0)
    assert (subject.tickets(), subject.permits(), subject.weights()) == ({}, {}, {})
    assert (subject.waiting, subject.held, subject._bytes, subject._weights) == (0, 0, 0, 0.0)


def test_a_permit_without_a_wait_counts_as_one_with() -> None:
    subject = backlog()
    subject.hold_at_once("a", 2.0)
    assert (subject.tickets(), subject.permits(), subject.weights()) == ({}, {"a": 1}, {"a": 2.0})
    assert (subject.held_by("a"), subject.held_by("b")) == (1, 0)
    subject.release("a", 1.0)
    assert (subject.permits(), subject.held, subject._weights) == ({}, 0, 0.0)


def test_a_wait_is_predicted_from_the_tenants_own_holds_and_its_part_of_the_seats() -> None:
    subject = backlog()
    fill(subject, "other", 1)
    fill(subject, "a", 9)
    assert subject.told_wait_s("a", 10) == pytest.approx(10 * HOLD_S_FIRST_GUESS / 5, rel=SPREAD)
    subject.hold("a", 0)
    subject.release("a", 2.0)
    assert subject.told_wait_s("a", 10) == pytest.approx(9 * 2.0 / 5, rel=SPREAD)


def test_seats_that_are_lent_count_as_long_as_they_are() -> None:
    subject = backlog()
    fill(subject, "idle", 1)
    fill(subject, "a", 19)
    for _ in range(9):
        subject.hold("a", 0)
    assert subject.told_wait_s("a", 10) == pytest.approx(11 * HOLD_S_FIRST_GUESS / 9, rel=SPREAD)


def test_those_refused_together_are_told_different_times() -> None:
    subject = backlog()
    fill(subject, "a", 1)
    assert len({subject.told_wait_s("a", 1) for _ in range(50)}) == 50


def test_a_hopeless_wait_is_refused_at_once_and_a_few_may_always_hope() -> None:
    subject = backlog()
    fill(subject, "a", UNPREDICTED_TICKETS - 1)
    assert entry(subject, "a", seats=1) is Entry.WAIT
    fill(subject, "a", 1)
    assert entry(subject, "a", seats=1) is Entry.REFUSE
    assert entry(subject, "a", seats=100) is Entry.WAIT
    # Its own backlog is nobody else's matter.
    assert entry(subject, "b", seats=1) is Entry.WAIT


def test_each_tenants_line_is_bounded() -> None:
    subject = backlog(tenant_tickets_max=3)
    fill(subject, "a", 3)
    assert entry(subject, "a") is Entry.REFUSE
    assert entry(subject, "b") is Entry.WAIT


@pytest.mark.parametrize("bounds", [{"tickets_max": 6}, {"bytes_max": 60}])
def test_when_all_is_full_the_fattest_makes_room(bounds: dict[str, int]) -> None:
    subject = backlog(**bounds)
    fill(subject, "fat", 4, size=10)
    fill(subject, "thin", 2, size=10)
    assert subject.fattest() == "fat"
    assert entry(subject, "thin", size=10) is Entry.EVICT
    assert entry(subject, "fat", size=10) is Entry.REFUSE
    # By weight: four of a tenant with weight four are less than two of one.
    subject = backlog(**bounds)
    fill(subject, "heavy", 4, weight=4, size=10)
    fill(subject, "thin", 2, size=10)
    assert subject.fattest() == "thin"
    assert entry(subject, "heavy", weight=4, size=10) is Entry.EVICT


def test_long_holds_make_a_line_fat() -> None:
    subject = backlog(tickets_max=6)
    for tenant, held_s in (("slow", 60.0), ("quick", 1.0)):
        fill(subject, tenant, 1)
        subject.hold(tenant, 0)
        subject.release(tenant, held_s)
    fill(subject, "slow", 2)
    fill(subject, "quick", 4)
    assert subject.fattest() == "slow"


def test_a_weight_that_becomes_smaller_makes_its_tenant_the_fattest() -> None:
    subject = backlog()
    fill(subject, "a", 3)
    fill(subject, "b", 2)
    assert subject.fattest() == "a"
    subject.reweigh("b", 0.5)
    assert (subject.fattest(), subject.weights()) == ("b", {"a": 1.0, "b": 0.5})
    subject.reweigh("b", 2.0)
    subject.reweigh("stranger", 2.0)
    assert (subject.fattest(), subject.weights()) == ("a", {"a": 1.0, "b": 2.0})


def test_the_weight_of_a_ticket_that_finds_no_room_counts_for_those_before_it() -> None:
    subject = backlog(tickets_max=5)
    fill(subject, "a", 3)
    fill(subject, "b", 2)
    assert entry(subject, "b", weight=0.1) is Entry.REFUSE
    assert subject.fattest() == "b"


def test_the_long_holds_of_one_tenant_predict_no_waits_of_a_newcomer() -> None:
    subject = backlog()
    for _ in range(100):
        subject.hold_at_once("slow", 1.0)
        subject.release("slow", 600.0)
    fill(subject, "slow", 4)
    fill(subject, "new", UNPREDICTED_TICKETS)
    assert entry(subject, "new", seats=4) is Entry.WAIT
    assert subject.told_wait_s("new", 4) == pytest.approx(9 * HOLD_S_FIRST_GUESS / 2, rel=SPREAD)
    assert subject.fattest() == "slow"
    # By its own holds it may be.
    subject.hold("new", 0)
    subject.release("new", 60.0)
    fill(subject, "new", 1)
    assert entry(subject, "new", seats=4) is Entry.REFUSE


def test_short_holds_of_others_are_expected_of_a_newcomer_too() -> None:
    subject = backlog()
    for _ in range(100):
        subject.hold_at_once("quick", 1.0)
        subject.release("quick", 1.0)
    fill(subject, "new", 9)
    assert subject.told_wait_s("new", 1) == pytest.approx(10, rel=SPREAD)
