import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.fairshare.pacer import WINDOW_S, Pacer


def flood(pacer: Pacer, seconds: float) -> list[float]:
    """The times of calls that are made as soon as they may be."""
    now_s, sent = 0.0, []
    while (now_s := max(now_s, pacer.ready_at_s(now_s))) < seconds:
        pacer.take(now_s)
        sent.append(now_s)
    return sent


def test_no_window_holds_more_than_its_calls() -> None:
    sent = flood(Pacer(100), 60)
    assert max(sum(at < other <= at + 10 for other in sent) for at in sent) <= 100


def test_a_flood_uses_nearly_all_of_it() -> None:
    assert len(flood(Pacer(2000), 100)) >= 0.95 * 2000 * 10


def test_calls_are_spread_and_not_spent_at_once() -> None:
    sent = flood(Pacer(2000), 10)
    assert sum(at < 0.1 for at in sent) < 100


def test_a_quiet_operation_is_not_delayed() -> None:
    pacer = Pacer(2000)
    for second in range(100):
        assert pacer.ready_at_s(second) <= second
        pacer.take(second)


def test_tiny_limits_work() -> None:
    sent = flood(Pacer(1), 60)
    assert len(sent) == 6
    assert all(later - earlier >= WINDOW_S - 1e-6 for earlier, later in itertools.pairwise(sent))


@given(st.integers(1, 50), st.lists(st.floats(0, 3), max_size=200))
def test_any_arrivals_keep_every_window(per_10s: int, gaps: list[float]) -> None:
    pacer, now_s, sent = Pacer(per_10s), 0.0, []
    for gap in gaps:
        now_s += gap
        if pacer.ready_at_s(now_s) <= now_s:
            pacer.take(now_s)
            sent.append(now_s)
    assert all(sum(at < other <= at + 10 for other in sent) <= per_10s for at in sent)
    assert 0 <= pacer.used(now_s) <= 1
