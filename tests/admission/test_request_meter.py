"""What an endpoint's tenants share, by the configuration: seat-seconds, tokens, or GPU seconds."""

from typing import Any

import pytest

from gateway.admission.capacity import StaticCapacities
from gateway.admission.gate import Gate
from gateway.admission.request_meter import RequestMeter
from gateway.config.keys import key_line
from gateway.domain import Resource, Usage
from gateway.fairshare.cost_model import of_seats, of_tokens
from tests.factories import tenant
from tests.fakes.clock import FakeClock
from tests.fakes.runpod import FakeRunpod
from tests.stacks import KEY
from tests.subject import Subject, answering, running

TENANTS = [{"name": "acme", "keys": [key_line(KEY)]}]


def attained(subject: Subject) -> float:
    gate = subject.gateway._upstreams["chat"].gates.work
    return gate._queue.served(["acme"], gate._clock.monotonic_s())["acme"]


async def attained_by(runpod: FakeRunpod, *, share_by: str, **asked: Any) -> float:
    async with running(runpod, endpoint={"share_by": share_by}) as subject:
        await subject.post(**asked)
        return attained(subject)


@pytest.mark.parametrize("stream", [True, False])
async def test_tokens_are_charged_by_the_workers_count(stream: bool) -> None:
    assert await attained_by(answering(), share_by="tokens", stream=stream) == 5


async def test_tokens_flow_before_they_are_counted() -> None:
    runpod = answering()
    runpod.pages = [*runpod.pages[:3], ("FAILED", [])]
    # Two chunks with text, by estimate, and the prompt.
    assert 1 < await attained_by(runpod, share_by="tokens", stream=True) < 30


async def test_a_request_without_output_costs_no_tokens() -> None:
    runpod = FakeRunpod(pages=[("FAILED", [])])
    assert await attained_by(runpod, share_by="tokens", stream=True) == 0


async def test_gpu_seconds_are_the_clock_s_and_not_execution_times() -> None:
    """Execution times of jobs that share a worker add up to a multiple of its time."""
    runpod = answering()
    runpod.status["executionTime"] = 7_000_000
    assert 0 <= await attained_by(runpod, share_by="gpu_seconds", stream=True) < 1000


async def test_seat_seconds_need_no_account() -> None:
    runpod = answering()
    runpod.status["executionTime"] = 7000
    assert 0 < await attained_by(runpod, share_by="seat_seconds", stream=True) < 1


class OneRequest:
    """The meter of one request that has a seat."""

    def __init__(self, resource: Resource) -> None:
        seats = StaticCapacities().seats("work", 1)
        price = of_tokens(1) if resource is Resource.TOKENS else of_seats(1)
        self._resource = resource
        self._clock = FakeClock()
        self.gate = Gate(seats, price, clock=self._clock)

    async def charged(self, costs: list[float]) -> float:
        """What it is charged, in the end, for attempts that take a second and come to these."""
        async with self.gate.permit(tenant(), wait_s_max=1) as permit:
            meter = RequestMeter(self.gate, permit, self._resource)
            for cost in costs:
                meter.read(7)
                meter.wrote(2)
                self._clock.now_s += 1
                meter.settle_gpu(cost)
                meter.settle_usage(Usage(completion_tokens=int(cost)))
        return self.gate._queue.served(["acme"], self._clock.now_s)["acme"]


@pytest.mark.parametrize("resource", [Resource.GPU_SECONDS, Resource.TOKENS])
async def test_a_later_attempt_gives_nothing_of_an_earlier_one_back(resource: Resource) -> None:
    assert await OneRequest(resource).charged([30, 5]) == pytest.approx(35)
    assert await OneRequest(resource).charged([30]) == pytest.approx(30)
