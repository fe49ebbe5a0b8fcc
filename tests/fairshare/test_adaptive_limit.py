import pytest

from gateway.fairshare.adaptive_limit import DOUBTFUL_PART_MIN, PART_MIN, AdaptiveLimit
from gateway.fairshare.pacer import Pacer


def refuse(subject: AdaptiveLimit, at_s: float, *, seats_used: float = 0.5, retry_after_s: float | None = None) -> None:
    subject.refused(seats_used=seats_used, retry_after_s=retry_after_s, now_s=at_s)


def test_full_seats_mean_fewer_seats_and_anything_else_a_lower_rate() -> None:
    subject = AdaptiveLimit()
    refuse(subject, 0, seats_used=0.95)
    assert (subject.rate, subject.concurrency) == (1.0, 0.9)
    refuse(subject, 2, seats_used=0.3)
    assert (subject.rate, subject.concurrency) == (0.85, 0.9)
    assert not subject.is_open


def test_calls_that_were_under_way_together_are_one_reason() -> None:
    subject = AdaptiveLimit()
    for at_s in (0, 0.1, 0.9):
        refuse(subject, at_s)
    assert subject.rate == 0.85


def test_a_429_pauses_for_as_long_as_it_says_within_reason() -> None:
    subject = AdaptiveLimit()
    refuse(subject, 100)
    assert subject.paused_until_s == 101
    refuse(subject, 100, retry_after_s=5)
    assert subject.paused_until_s == 105
    refuse(subject, 100, retry_after_s=3600)
    assert subject.paused_until_s == 160


def test_it_never_closes_for_good() -> None:
    subject = AdaptiveLimit()
    for at_s in range(100):
        refuse(subject, at_s, seats_used=at_s % 2)
    assert (subject.rate, subject.concurrency) == (PART_MIN, PART_MIN)


def test_what_may_be_a_worker_s_word_on_one_request_holds_up_no_other_for_long() -> None:
    subject = AdaptiveLimit()
    for at_s in range(100):
        subject.refused(seats_used=at_s % 2, retry_after_s=60, now_s=at_s, is_certain=False)
        assert subject.paused_until_s == at_s + 1
    assert (subject.rate, subject.concurrency) == (DOUBTFUL_PART_MIN, DOUBTFUL_PART_MIN)
    # It takes back nothing of what is certain.
    for at_s in range(100, 200):
        refuse(subject, at_s, seats_used=at_s % 2)
    subject.refused(seats_used=0, retry_after_s=None, now_s=300, is_certain=False)
    assert (subject.rate, subject.concurrency) == (PART_MIN, PART_MIN)


def test_only_what_is_used_grows_and_only_in_calm() -> None:
    subject = AdaptiveLimit()
    refuse(subject, 0)
    for at_s, calls_used, grows in (
        (5, 1.0, False),
        (11, 0.5, False),
        (11, 0.9, True),
        (11.5, 0.9, False),
        (13, 1, True),
    ):
        assert subject.accepted(seats_used=0.1, calls_used=calls_used, now_s=at_s) is grows
    assert subject.rate == pytest.approx(0.87)


def test_after_the_limit_was_halved_unannounced_it_is_kept_within_three_windows_and_used() -> None:
    """An upstream that takes half of what is published, in any 10 s; the gate always has more to send."""
    subject, pacer, now_s = AdaptiveLimit(), Pacer(200), 0.0
    taken: list[float] = []
    refused: list[float] = []
    while now_s < 300:
        now_s = max(now_s, subject.paused_until_s, pacer.ready_at_s(now_s))
        pacer.take(now_s)
        calls_used = pacer.used(now_s)
        if sum(at_s > now_s - 10 for at_s in taken[-200:]) < 100:
            taken.append(now_s)
            if subject.accepted(seats_used=0.1, calls_used=calls_used, now_s=now_s):
                pacer.limit(200 * subject.rate)
        else:
            refused.append(now_s)
            refuse(subject, now_s, seats_used=0.1)
            pacer.limit(200 * subject.rate)
    late = [at_s for at_s in refused if at_s > 30]
    assert len(late) <= 0.01 * sum(at_s > 30 for at_s in taken)
    assert sum(at_s > 30 for at_s in taken) >= 0.9 * 10 * 270
