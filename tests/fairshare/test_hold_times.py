import pytest

from gateway.fairshare.hold_times import HoldTimes


def after(*holds_s: float) -> HoldTimes:
    """Holds of so many seconds, one after the other, are over at 0."""
    holds, now_s = HoldTimes(), -sum(holds_s)
    for hold_s in holds_s:
        holds.begin(now_s)
        holds.end(now_s, now_s + hold_s)
        now_s += hold_s
    return holds


def test_the_next_end_is_that_of_the_oldest_hold_after_the_mean_time() -> None:
    holds = after(8.0, 12.0)
    holds.begin(0.0)
    holds.begin(3.0)
    assert len(holds) == 2
    assert holds.next_end_s(4.0) == pytest.approx(6.0)
    holds.end(0.0, 10.0)
    assert holds.next_end_s(10.0) == pytest.approx(3.0)


def test_a_hold_that_is_overdue_is_expected_to_stay_so_for_as_long_again() -> None:
    holds = after(2.0)
    holds.begin(0.0)
    told = []
    now_s = 0.5
    while now_s < 60:
        told.append(holds.next_end_s(now_s))
        now_s += told[-1]
    assert told == pytest.approx([1.5, 1.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0])


def test_it_begins_with_the_shortest_time_where_nothing_is_known() -> None:
    holds = HoldTimes()
    assert holds.next_end_s(0.0) == 1.0
    holds.begin(0.0)
    assert [holds.next_end_s(now_s) for now_s in (0.0, 1.0, 3.0)] == [1.0, 1.0, 3.0]


def test_one_long_overdue_does_not_hide_one_that_is_due() -> None:
    holds = after(10.0)
    holds.begin(0.0)
    holds.begin(95.0)
    assert holds.next_end_s(100.0) == pytest.approx(5.0)


def test_of_holds_elsewhere_the_own_mean_is_expected() -> None:
    holds = after(10.0)
    assert holds.next_end_s(0.0, remote=3) == pytest.approx(10.0)
    holds.begin(0.0)
    assert holds.next_end_s(100.0, remote=1) == pytest.approx(10.0)


def test_the_mean_follows_what_holds_become() -> None:
    holds = after(*[100.0] * 50, *[2.0] * 50)
    holds.begin(0.0)
    assert 2.0 < holds.next_end_s(0.0) < 3.0
