import pytest

from gateway.domain import Operation
from gateway.endpoints.circuit_breaker import FAILURES_MAX, PAUSE_S_MAX
from gateway.endpoints.evidence import evidence_of
from gateway.errors import (
    ConnectFault,
    GatewayError,
    JobExpiredError,
    UnreachableError,
    UpstreamBusyError,
    UpstreamTimeoutError,
)
from gateway.events import CallOutcome, Event, UpstreamCalled
from tests.factories import tenant
from tests.fakes.runpod import FakeRunpod
from tests.subject import running

OUTCOMES = [
    (None, CallOutcome.OK),
    (UpstreamBusyError(retry_after_s=None), CallOutcome.BUSY),
    (JobExpiredError(), CallOutcome.GONE),
    (UnreachableError("x", was_sent=True), CallOutcome.LOST),
    (UnreachableError("x", was_sent=True, status=502), CallOutcome.FAILED),
    (UnreachableError("x", was_sent=False), CallOutcome.FAILED),
    (UpstreamTimeoutError(), CallOutcome.FAILED),
]


@pytest.mark.parametrize(("error", "outcome"), OUTCOMES)
async def test_every_call_is_observed_once_and_gives_its_budget_back(
    error: GatewayError | None, outcome: CallOutcome
) -> None:
    async def make() -> int:
        assert upstream.gates.call(Operation.STATUS).held == {"acme": 1}
        if error is not None:
            raise error
        return 7

    async with running(FakeRunpod()) as subject:
        upstream = subject.gateway._upstreams["chat"]
        seen: list[Event] = []
        upstream._observe = seen.append
        try:
            assert await upstream.call(Operation.STATUS, make, tenant=tenant(), wait_s_max=1) == 7
        except GatewayError as raised:
            assert raised is error
        assert upstream.gates.call(Operation.STATUS).held == {}
        assert seen == [UpstreamCalled(endpoint="chat", operation=Operation.STATUS, outcome=outcome)]


async def test_two_entries_for_one_endpoint_share_its_budgets_and_not_its_seats() -> None:
    entry = {"id": "ep1", "base_url": "http://127.0.0.1:1/v2", "api_key": "k"}
    endpoints = [{"name": "a", **entry}, {"name": "b", **entry}, {"name": "c", **entry, "id": "ep2"}]
    async with running(FakeRunpod(), endpoints=endpoints, models=[{"id": "m", "endpoint": "a"}]) as subject:
        a, b, c = (subject.gateway._upstreams[name].gates for name in "abc")
        assert a.call(Operation.STREAM) is b.call(Operation.STREAM)
        assert a.work is not b.work
        assert c.call(Operation.STREAM) is not a.call(Operation.STREAM)


async def test_the_idle_time_of_workers_that_two_entries_share_is_told_once() -> None:
    entry = {"id": "ep1", "base_url": "http://127.0.0.1:1/v2", "api_key": "k"}
    endpoints = [{"name": "a", **entry}, {"name": "b", **entry}, {"name": "c", **entry, "id": "ep2"}]
    async with running(FakeRunpod(), endpoints=endpoints, models=[{"id": "m", "endpoint": "a"}]) as subject:
        told = {reading.endpoint: reading.idle_gpu_s for reading in subject.gateway._read()}
        assert told == {"a": 0, "b": None, "c": 0}


LOCAL = UnreachableError("x", was_sent=False, fault=ConnectFault.NO_DESCRIPTORS)
REFUSED = UnreachableError("x", was_sent=False, fault=ConnectFault.REFUSED)


async def test_what_this_machine_lacks_is_not_held_against_an_endpoint() -> None:
    async with running(FakeRunpod()) as subject:
        upstream = subject.gateway._upstreams["chat"]

        def tell(error: UnreachableError) -> None:
            upstream._tell(error, evidence_of(error, is_relay=False), "acme")

        for _ in range(10 * FAILURES_MAX):
            tell(LOCAL)
        assert not upstream.is_down
        # Neither does it stand for work that was taken.
        for _ in range(FAILURES_MAX - 1):
            tell(REFUSED)
            tell(LOCAL)
        assert not upstream.is_down
        tell(REFUSED)
        assert upstream.is_down
        upstream._breaker.on_health(is_well=True, now_s=upstream.now_s + PAUSE_S_MAX)
        upstream.enter(tenant())
        tell(LOCAL)
        assert upstream.is_down


async def test_why_there_was_no_connection_is_told_with_the_call() -> None:
    async def make() -> None:
        raise REFUSED

    async with running(FakeRunpod()) as subject:
        upstream = subject.gateway._upstreams["chat"]
        seen: list[Event] = []
        upstream._observe = seen.append
        with pytest.raises(UnreachableError):
            await upstream.call(Operation.STATUS, make, tenant=tenant(), wait_s_max=1)
        (called,) = seen
        assert isinstance(called, UpstreamCalled)
        assert called.fault is ConnectFault.REFUSED
