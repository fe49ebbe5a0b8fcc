"""When the time of a relayed request begins, and whether it is charged at all."""

import json
from typing import Any

import anyio
import httpx
import pytest

from gateway.endpoints.cold_start_stats import IDLE_PAUSE_S_MIN
from gateway.endpoints.gpu_time import AttemptCost, GpuTime
from gateway.endpoints.relay_times import RelayTimes, never_sent
from gateway.endpoints.worker_state import Activity, EndpointStateMachine
from gateway.errors import GatewayError, UnreachableError, UpstreamBusyError, UpstreamConfigError, UpstreamTimeoutError
from gateway.events import Event, GpuTimeSettled
from tests.exchange.test_exchange import COMPLETION
from tests.factories import attempt
from tests.fakes.clock import FakeClock
from tests.fakes.runpod import FakeRunpod
from tests.subject import Subject, answering, running


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (None, False),
        (UnreachableError("ConnectTimeout", was_sent=False), True),
        (UnreachableError("ReadTimeout", was_sent=True), False),
        (UnreachableError("unexpected status", was_sent=True, status=524), False),
        (UpstreamBusyError(retry_after_s=None), True),
        (UpstreamConfigError(status=404), True),
        (UpstreamTimeoutError(), False),
    ],
)
def test_which_failures_are_sure_to_have_reached_no_worker(error: GatewayError | None, *, is_so: bool) -> None:
    assert never_sent(error) is is_so


class World:
    """One relayed request, and a clock that tests move."""

    def __init__(self, *, pause_s: float | None = None) -> None:
        self.clock, self.relays = FakeClock(), RelayTimes()
        self.told: list[Event] = []
        self.settled: list[float] = []
        self.cost = AttemptCost(attempt(job_id=None), self.settled.append)
        self.time = self.cost.open(GpuTime(self.clock, self.told.append))
        machine = EndpointStateMachine()
        is_sure = pause_s is not None and pause_s <= IDLE_PAUSE_S_MIN
        activity = Activity(
            machine, now_s=self.clock.now_s, pause_s=pause_s, was_warm=pause_s is not None, is_surely_warm=is_sure
        )
        self.relays.open(self.time, activity)

    def pass_s(self, seconds: float) -> None:
        self.clock.now_s += seconds

    def close(self, *, was_sent: bool = True) -> list[float]:
        """End it, and return what it was charged."""
        self.relays.close(self.time)
        self.cost.close(was_sent=was_sent)
        return [round(each, 3) for each in self.settled]


def test_it_begins_when_it_is_sent_where_a_worker_was_seen_at_work() -> None:
    world = World(pause_s=1.0)
    assert not world.relays.are_waiting
    world.pass_s(3)
    assert world.close() == [3]


@pytest.mark.parametrize("pause_s", [None, 600.0])
def test_it_waits_for_a_sign_of_a_worker_where_one_is_at_most_expected(pause_s: float | None) -> None:
    world = World(pause_s=pause_s)
    assert world.relays.are_waiting
    world.pass_s(2)
    world.relays.on_health(has_workers=False)
    world.pass_s(1)
    world.relays.on_health(has_workers=True)
    assert not world.relays.are_waiting
    world.pass_s(4)
    assert world.close() == [5]


def test_its_first_byte_is_a_sign_too() -> None:
    world = World()
    world.pass_s(2)
    world.relays.on_health(has_workers=None)
    world.pass_s(1)
    world.relays.heard(world.time)
    world.pass_s(1)
    assert world.close() == [2]


def test_one_that_nobody_saw_wait_is_charged_from_when_it_was_sent() -> None:
    world = World()
    world.pass_s(0.8)
    assert world.close() == [0.8]


def test_one_that_was_seen_to_wait_to_the_end_is_charged_nothing() -> None:
    world = World()
    world.pass_s(5)
    world.relays.on_health(has_workers=False)
    world.pass_s(1)
    assert world.close() == [0]


@pytest.mark.parametrize("pause_s", [None, 1.0])
def test_one_that_was_never_sent_has_no_account(pause_s: float | None) -> None:
    world = World(pause_s=pause_s)
    world.pass_s(10)
    assert world.close(was_sent=False) == []
    assert world.told == []
    assert world.cost.gpu_s is None


def charges(seen: list[Event]) -> list[float]:
    return [event.gpu_s for event in seen if isinstance(event, GpuTimeSettled)]


def watched(subject: Subject) -> list[Event]:
    """What its clock of GPU time tells."""
    seen: list[Event] = []
    subject.gateway._upstreams["chat"].gpu._observe = seen.append
    return seen


@pytest.mark.parametrize("is_warm", [True, False])
@pytest.mark.parametrize("failure", [(429, b""), httpx.ConnectTimeout("no"), (404, b"")])
async def test_a_call_that_reached_no_worker_costs_nothing(failure: Any, *, is_warm: bool) -> None:
    runpod = answering()
    runpod.answers = {"openai": [failure]}
    async with running(runpod, endpoint={"route": "openai"}) as subject:
        seen, upstream = watched(subject), subject.gateway._upstreams["chat"]
        if is_warm:
            upstream.workers.evidence_at_s = upstream.now_s
        status = (await subject.post(stream=True)).status
        await anyio.sleep(3)
        # Sent again where it may be.
        assert len(charges(seen)) == (status == 200)


async def test_a_relayed_answer_counts_for_what_a_tenant_s_requests_take() -> None:
    runpod = FakeRunpod(events=[json.dumps(COMPLETION).encode()])
    async with running(runpod, endpoint={"route": "openai"}) as subject:
        upstream = subject.gateway._upstreams["chat"]
        assert (await subject.post()).status == 200
        assert upstream.gpu_means.mean_s("acme", "chat") is not None
