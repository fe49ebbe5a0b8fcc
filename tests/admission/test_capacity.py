import pytest

from gateway.admission.capacity import StaticCapacities, StaticCapacity
from gateway.domain import Limit


def test_seats_alone_have_no_pace() -> None:
    subject = StaticCapacities().seats("any", 5)
    assert (subject.seats_max, subject.seats(0), subject.used(2, 0)) == (5, 5, 0.4)
    for _ in range(1000):
        assert subject.ready_at_s(1.0) <= 1.0
        subject.take(1.0)


def test_calls_are_paced() -> None:
    subject = StaticCapacities().calls("any", Limit(per_10s=10, concurrent=5))
    subject.take(0.0)
    assert subject.ready_at_s(0.0) > 0.5
    assert subject.used(0, 0.0) == 0.1
    assert subject.used(4, 0.0) == 0.8


def test_429s_take_a_part_away_and_calm_gives_it_back() -> None:
    subject = StaticCapacity(10, calls_per_10s=100)
    subject.refused(10, 0.0, retry_after_s=None)
    assert subject.seats(0.0) == 9
    assert subject.ready_at_s(0.5) == 1.0
    for now_s in range(20, 40):
        subject.accepted(9, float(now_s))
    assert subject.seats(40.0) == 10
    slow = StaticCapacity(10, calls_per_10s=100)
    even_s = StaticCapacity(10, calls_per_10s=100)._pacer.calls_per_s  # type: ignore[union-attr]
    slow.refused(1, 0.0, retry_after_s=None)
    assert slow._pacer.calls_per_s == pytest.approx(0.85 * even_s, rel=0.02)  # type: ignore[union-attr]


def test_one_seat_is_always_left() -> None:
    subject = StaticCapacity(2)
    for now_s in range(50):
        subject.refused(subject.seats(now_s), float(now_s), retry_after_s=None)
    assert subject.seats(50.0) == 1
