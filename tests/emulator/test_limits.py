import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.emulator.limits import PUBLISHED, WINDOW_S, Limit, Meter, Operation


@pytest.mark.parametrize(
    ("operation", "per_10s", "concurrent"),
    [
        (Operation.RUN, 1000, 200),
        (Operation.RUNSYNC, 2000, 400),
        (Operation.STATUS, 2000, 400),
        (Operation.STREAM, 2000, 400),
        (Operation.CANCEL, 100, 20),
        (Operation.PURGE_QUEUE, 2, None),
        (Operation.REQUESTS, 10, 2),
        (Operation.OPENAI, 2000, 400),
    ],
)
def test_the_published_table(operation, per_10s, concurrent):
    assert PUBLISHED[operation] == Limit(per_10s=per_10s, concurrent=concurrent)


def test_health_and_the_worker_api_have_no_limit():
    assert Operation.HEALTH not in PUBLISHED
    assert Operation.JOB_TAKE not in PUBLISHED


def test_a_call_counts_for_less_than_ten_seconds():
    meter = Meter(Limit(per_10s=2))
    assert [meter.enter(0.0), meter.enter(4.0), meter.enter(9.99)] == [True, True, False]
    assert meter.enter(10.0)
    assert not meter.enter(13.9)
    assert meter.enter(14.0)


def test_concurrent_calls_are_limited_until_they_leave():
    meter = Meter(Limit(concurrent=1))
    assert meter.enter(0.0)
    assert not meter.enter(1.0)
    meter.leave()
    assert meter.enter(2.0)


def test_running_workers_raise_the_limit_but_never_lower_it():
    meter = Meter(Limit(per_10s=2))
    assert [meter.enter(0.0, extra_per_10s=3) for _ in range(4)] == [True, True, True, False]
    meter = Meter(Limit(per_10s=2))
    assert [meter.enter(0.0, extra_per_10s=1) for _ in range(3)] == [True, True, False]


def test_an_unenforced_limit_still_counts():
    meter = Meter(Limit(per_10s=1, concurrent=1))
    assert all(meter.enter(0.0, enforced=False) for _ in range(5))
    report = meter.report()
    assert (report.calls_10s_max, report.concurrent_max, report.refused) == (5, 5, 0)


def test_the_report_counts_refused_calls_among_those_seen():
    meter = Meter(Limit(per_10s=1))
    meter.enter(0.0)
    meter.enter(1.0)
    meter.leave()
    meter.enter(20.0)
    report = meter.report()
    assert (report.calls_10s_max, report.concurrent_max, report.refused) == (2, 1, 1)


@given(
    st.integers(1, 5),
    st.lists(st.floats(0, 6, allow_nan=False), max_size=60).map(
        lambda gaps: [sum(gaps[: index + 1]) for index in range(len(gaps))]
    ),
)
def test_no_window_of_ten_seconds_holds_more_than_the_limit(per_10s, times):
    meter = Meter(Limit(per_10s=per_10s))
    allowed = [now_s for now_s in times if meter.enter(now_s)]
    for start_s in allowed:
        assert sum(start_s <= now_s < start_s + WINDOW_S for now_s in allowed) <= per_10s
    # And nobody is refused without need: a refused call met a full window.
    for now_s in set(times) - set(allowed):
        assert sum(now_s - WINDOW_S < earlier_s <= now_s for earlier_s in allowed) == per_10s
