import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import TenantLimitError
from gateway.fairshare.quota import BucketReading, QuotaUse, TenantQuota
from tests.factories import tenant


def refused(quota: TenantQuota, tokens: int, now_s: float) -> TenantLimitError:
    with pytest.raises(TenantLimitError) as caught:
        quota.reserve(tokens, now_s)
    return caught.value


def shut(quota: TenantQuota, now_s: float) -> TenantLimitError:
    with pytest.raises(TenantLimitError) as caught:
        quota.enter(now_s)
    return caught.value


def test_a_tenant_without_caps_is_never_refused() -> None:
    quota = TenantQuota(tenant())
    for _ in range(1000):
        quota.enter(0.0)
        assert quota.reserve(10**9, 0.0) == 0
    assert quota.requests_reading(0.0) is None
    assert quota.tokens_reading(0.0) is None


def test_requests_a_minute() -> None:
    quota = TenantQuota(tenant(requests_per_minute=2))
    quota.enter(0.0)
    quota.enter(0.0)
    error = shut(quota, 0.0)
    assert (error.limit, error.maximum) == ("requests_per_minute", 2)
    assert error.retry_after_s == pytest.approx(30)
    shut(quota, 29.9)
    quota.enter(30.0)


def test_in_flight() -> None:
    quota = TenantQuota(tenant(max_in_flight=1))
    quota.enter(0.0)
    assert shut(quota, 0.0).limit == "max_in_flight"
    quota.leave(1.0, entered_at_s=0.0)
    quota.enter(1.0)


def test_a_refusal_for_requests_in_flight_says_when_a_place_is_expected() -> None:
    quota = TenantQuota(tenant(max_in_flight=1))
    quota.enter(0.0)
    quota.leave(20.0, entered_at_s=0.0)
    quota.enter(30.0)
    assert shut(quota, 35.0).retry_after_s == pytest.approx(15.0)
    quota.leave(50.0, entered_at_s=30.0)
    quota.note_remote_usage({"r1": QuotaUse(1, 1, 0)}, {"r1"}, 60.0)
    assert shut(quota, 60.0).retry_after_s == pytest.approx(20.0)


def test_tokens_are_reserved_and_then_settled() -> None:
    quota = TenantQuota(tenant(tokens_per_minute=100))
    reserved = quota.reserve(60, 0.0)
    assert refused(quota, 60, 0.0).limit == "tokens_per_minute"
    quota.settle(reserved, 10, 0.0)
    reading = quota.tokens_reading(0.0)
    assert reading is not None
    assert (reading.limit, reading.remaining) == (100, 90)
    assert reading.reset_s == pytest.approx(6)
    quota.reserve(60, 0.0)


def test_a_debt_is_told_before_the_tokens_of_a_request_are_known() -> None:
    quota = TenantQuota(tenant(tokens_per_minute=60))
    quota.check_debt(0.0)
    quota.settle(quota.reserve(20, 0.0), 100, 0.0)
    with pytest.raises(TenantLimitError) as caught:
        quota.check_debt(0.0)
    assert caught.value.limit == "tokens_per_minute"
    # Until there are as many as the last one asked for: 40 of debt, and 20.
    assert caught.value.retry_after_s == pytest.approx(60)
    with pytest.raises(TenantLimitError):
        quota.check_debt(40.9)
    quota.check_debt(41.0)
    TenantQuota(tenant()).check_debt(0.0)


def test_a_request_larger_than_a_minute_waits_for_a_full_bucket_only() -> None:
    quota = TenantQuota(tenant(tokens_per_minute=100))
    reserved = quota.reserve(5000, 0.0)
    quota.settle(reserved, 5000, 0.0)
    assert refused(quota, 1, 0.0).retry_after_s > 60
    quota.reserve(1, 49 * 60 + 1)


def test_a_refusal_takes_nothing() -> None:
    quota = TenantQuota(tenant(max_in_flight=1, requests_per_minute=10, tokens_per_minute=10))
    quota.enter(0.0)
    quota.settle(quota.reserve(10, 0.0), 10, 0.0)
    for _ in range(50):
        shut(quota, 0.0)
        refused(quota, 10, 0.0)
    assert quota.requests_reading(0.0) == BucketReading(limit=10, remaining=9, reset_s=6.0)
    assert quota.tokens_reading(0.0) == BucketReading(limit=10, remaining=0, reset_s=60.0)
    assert quota.use() == QuotaUse(1, 1, 10)


@given(st.lists(st.tuples(st.floats(0, 20), st.integers(0, 300), st.integers(0, 300)), max_size=60))
def test_settled_tokens_never_pass_the_cap_by_more_than_estimates_were_wrong(
    steps: list[tuple[float, int, int]],
) -> None:
    quota, now_s, used, excess = TenantQuota(tenant(tokens_per_minute=100)), 0.0, 0, 0
    for gap, guess, real in steps:
        now_s += gap
        try:
            reserved = quota.reserve(guess, now_s)
        except TenantLimitError:
            continue
        quota.settle(reserved, real, now_s)
        used += real
        excess = max(excess, real - reserved)
    assert used <= 100 + now_s * 100 / 60 + excess + 1e-6


def test_caps_hold_over_all_replicas() -> None:
    subject = TenantQuota(tenant(max_in_flight=3, requests_per_minute=10, tokens_per_minute=100))
    subject.note_remote_usage({"r1": QuotaUse(2, 4, 50)}, set(), 0.0)
    # What an unknown replica did before is not known to be new; what it has in flight is.
    assert subject.requests_reading(0.0) == BucketReading(limit=10, remaining=10, reset_s=0.0)
    subject.note_remote_usage({"r1": QuotaUse(2, 9, 90)}, {"r1"}, 0.0)
    assert subject.requests_reading(0.0) == BucketReading(limit=10, remaining=5, reset_s=30.0)
    assert subject.tokens_reading(0.0) == BucketReading(limit=100, remaining=60, reset_s=24.0)
    subject.enter(0.0)
    assert shut(subject, 0.0).limit == "max_in_flight"
    subject.note_remote_usage({}, {"r1"}, 0.0)
    subject.enter(0.0)


def test_replicas_that_are_out_of_reach_have_nothing_in_flight() -> None:
    subject = TenantQuota(tenant(max_in_flight=1, tokens_per_minute=100))
    subject.note_remote_usage({"r1": QuotaUse(1, 1, 40)}, {"r1"}, 0.0)
    assert shut(subject, 0.0).limit == "max_in_flight"
    subject.forget_in_flight_elsewhere()
    subject.enter(0.0)
    subject.reserve(1, 0.0)
    assert subject.requests_reading(0.0) is None
    assert subject.tokens_reading(0.0) == BucketReading(limit=100, remaining=59, reset_s=24.6)


def test_what_a_known_replica_begins_counts_from_its_beginning() -> None:
    subject = TenantQuota(tenant(requests_per_minute=10))
    subject.note_remote_usage({"r1": QuotaUse(0, 3, 0)}, {"r1"}, 0.0)
    subject.note_remote_usage({"r1": QuotaUse(0, 1, 0)}, {"r1"}, 0.0)
    assert subject.requests_reading(0.0) == BucketReading(limit=10, remaining=6, reset_s=24.0)


def test_what_is_told_is_counted_from_the_last_idle_time() -> None:
    subject = TenantQuota(tenant(requests_per_minute=60, tokens_per_minute=60))
    subject.enter(0.0)
    subject.settle(subject.reserve(10, 0.0), 30, 0.0)
    subject.leave(0.0, entered_at_s=0.0)
    assert (subject.use(), subject.is_in_use(0.0)) == (QuotaUse(0, 1, 30), True)
    assert not subject.is_in_use(60.0)
    subject.enter(60.0)
    subject.reserve(5, 60.0)
    assert subject.use() == QuotaUse(1, 1, 5)


def test_other_caps_leave_buckets_as_full_as_they_are() -> None:
    subject = TenantQuota(tenant(max_in_flight=5, requests_per_minute=10, tokens_per_minute=100))
    subject.enter(0.0)
    reserved = subject.reserve(60, 0.0)
    subject.refit(tenant(max_in_flight=1, requests_per_minute=20, tokens_per_minute=1000), 0.0)
    assert shut(subject, 0.0).limit == "max_in_flight"
    assert subject.requests_reading(0.0) == BucketReading(limit=20, remaining=18, reset_s=6.0)
    assert subject.tokens_reading(0.0) == BucketReading(limit=1000, remaining=400, reset_s=36.0)
    subject.settle(reserved, 10, 0.0)
    assert subject.tokens_reading(0.0) == BucketReading(limit=1000, remaining=450, reset_s=33.0)


@pytest.mark.parametrize("caps", [[60], [60, 1000], [10, 5, 7]])
def test_an_empty_bucket_stays_empty_and_a_debt_as_long(caps: list[int]) -> None:
    subject = TenantQuota(tenant(tokens_per_minute=1000))
    subject.settle(subject.reserve(1, 0.0), 1500, 0.0)
    for cap in caps:
        subject.refit(tenant(tokens_per_minute=cap), 0.0)
    assert refused(subject, 0, 0.0).retry_after_s == pytest.approx(30)


def test_caps_come_and_go() -> None:
    subject = TenantQuota(tenant())
    reserved = subject.reserve(50, 0.0)
    subject.refit(tenant(tokens_per_minute=100, requests_per_minute=5), 0.0)
    subject.settle(reserved, 50, 0.0)
    assert subject.tokens_reading(0.0) == BucketReading(limit=100, remaining=50, reset_s=30.0)
    subject.refit(tenant(), 0.0)
    assert subject.tokens_reading(0.0) is None


@given(
    st.lists(st.tuples(st.floats(0, 20), st.integers(0, 300), st.sampled_from([None, 10, 100, 500])), max_size=60),
)
def test_whatever_the_caps_become_no_minute_sees_more_than_the_largest_of_them_twice(
    steps: list[tuple[float, int, int | None]],
) -> None:
    """A full bucket, and a minute of filling it: as without any change."""
    quota, now_s, taken = TenantQuota(tenant(tokens_per_minute=500)), 0.0, [(0.0, 0)]
    for gap, tokens, cap in steps:
        now_s += gap
        if cap is not None:
            quota.refit(tenant(tokens_per_minute=cap), now_s)
        try:
            reserved = quota.reserve(tokens, now_s)
        except TenantLimitError:
            continue
        quota.settle(reserved, reserved, now_s)
        taken.append((now_s, reserved))
    assert sum(tokens for at_s, tokens in taken if at_s > now_s - 60) <= 2 * 500 + 1e-6
