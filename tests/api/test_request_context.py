import pytest

from gateway.api.request_context import RequestContext, _go_duration
from gateway.exchange.record import Record
from gateway.fairshare.quota import TenantQuota
from tests.factories import tenant
from tests.fakes.clock import FakeClock


def shown(notes: RequestContext) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in notes.headers(1000.0)}


def test_every_request_has_an_id_of_its_own() -> None:
    ids = {shown(RequestContext())["x-request-id"] for _ in range(100)}
    assert len(ids) == 100


def test_no_answer_may_be_cached() -> None:
    assert shown(RequestContext())["cache-control"] == "no-store"


def test_rate_limit_headers_are_true_at_that_moment() -> None:
    notes = RequestContext()
    notes.quota = TenantQuota(tenant(requests_per_minute=60, tokens_per_minute=1000))
    notes.quota.enter(1000.0)
    notes.quota.reserve(400, 1000.0)
    headers = shown(notes)
    assert headers["x-ratelimit-limit-requests"] == "60"
    assert headers["x-ratelimit-remaining-requests"] == "59"
    assert headers["x-ratelimit-reset-requests"] == "1s"
    assert headers["x-ratelimit-remaining-tokens"] == "600"
    assert headers["x-ratelimit-reset-tokens"] == "24s"


def test_a_tenant_without_limits_has_no_such_headers() -> None:
    notes = RequestContext()
    notes.quota = TenantQuota(tenant())
    assert set(shown(notes)) == {"x-request-id", "request-id", "cache-control"}


def test_the_exchange_is_named_once_it_has_an_endpoint() -> None:
    notes = RequestContext()
    notes.record = record = Record(request_id="r", clock=FakeClock())
    assert set(shown(notes)) == {"x-request-id", "request-id", "cache-control"}
    record.endpoint, record.job_id, record.queue_s = "chat", "j-u1", 0.0125
    headers = shown(notes)
    assert headers["x-fairpod-endpoint"] == "chat"
    assert headers["x-fairpod-queue-ms"] == "12"
    assert headers["x-fairpod-job-id"] == "j-u1"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0ms"), (0.012, "12ms"), (1, "1s"), (1.5, "1.5s"), (360, "6m0s"), (59.96, "1m0s")]
)
def test_durations_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    assert _go_duration(seconds) == text
