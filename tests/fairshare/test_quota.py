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


def test_a_tenant_without_caps_is_never_refused() -> None:
    quota = TenantQuota(tenant())
    for _ in range(1000):
        assert quota.reserve(10**9, 0.0) == 0
    assert quota.requests_reading(0.0) is None
    assert quota.tokens_reading(0.0) is None


def test_requests_a_minute() -> None:
    quota = TenantQuota(tenant(requests_per_minute=2))
    quota.reserve(0, 0.0)
    quota.reserve(0, 0.0)
    error = refused(quota, 0, 0.0)
    assert (error.limit, error.maximum) == ("requests_per_minute", 2)
    assert error.retry_after_s == pytest.approx(30)
    refused(quota, 0, 29.9)
    quota.reserve(0, 30.0)


def test_in_flight() -> None:
    quota = TenantQuota(tenant(max_in_flight=1))
    quota.reserve(0, 0.0)
    assert refused(quota, 0, 0.0).limit == "max_in_flight"
    quota.settle(0, 0, 0.0)
    quota.reserve(0, 0.0)


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


def test_a_request_larger_than_a_minute_waits_for_a_full_bucket_only() -> None:
    quota = TenantQuota(tenant(tokens_per_minute=100))
    reserved = quota.reserve(5000, 0.0)
    quota.settle(reserved, 5000, 0.0)
    assert refused(quota, 1, 0.0).retry_after_s > 60
    quota.reserve(1, 49 * 60 + 1)


def test_a_refusal_takes_nothing() -> None:
    quota = TenantQuota(tenant(requests_per_minute=10, tokens_per_minute=10))
    quota.settle(quota.reserve(10, 0.0), 10, 0.0)
    for _ in range(50):
        refused(quota, 10, 0.0)
    reading = quota.requests_reading(0.0)
    assert reading is not None
    assert reading.remaining == 9


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
    subject.note_elsewhere({"r1": QuotaUse(2, 4, 50)}, set(), 0.0)
    # What an unknown replica did before is not known to be new; what it has in flight is.
    assert subject.requests_reading(0.0) == BucketReading(limit=10, remaining=10, reset_s=0.0)
    subject.note_elsewhere({"r1": QuotaUse(2, 9, 90)}, {"r1"}, 0.0)
    assert subject.requests_reading(0.0) == BucketReading(limit=10, remaining=5, reset_s=30.0)
    assert subject.tokens_reading(0.0) == BucketReading(limit=100, remaining=60, reset_s=24.0)
    subject.reserve(1, 0.0)
    with pytest.raises(TenantLimitError):
        subject.reserve(1, 0.0)
    subject.note_elsewhere({}, {"r1"}, 0.0)
    subject.reserve(1, 0.0)


def test_what_a_known_replica_begins_counts_from_its_beginning() -> None:
    subject = TenantQuota(tenant(requests_per_minute=10))
    subject.note_elsewhere({"r1": QuotaUse(0, 3, 0)}, {"r1"}, 0.0)
    subject.note_elsewhere({"r1": QuotaUse(0, 1, 0)}, {"r1"}, 0.0)
    assert subject.requests_reading(0.0) == BucketReading(limit=10, remaining=6, reset_s=24.0)


def test_what_is_told_is_counted_from_the_last_idle_time() -> None:
    subject = TenantQuota(tenant(requests_per_minute=60, tokens_per_minute=60))
    subject.settle(subject.reserve(10, 0.0), 30, 0.0)
    assert (subject.use(), subject.is_in_use(0.0)) == (QuotaUse(0, 1, 30), True)
    assert not subject.is_in_use(60.0)
    subject.reserve(5, 60.0)
    assert subject.use() == QuotaUse(1, 1, 5)
