"""What an endpoint's tenants share, by the configuration: seat-seconds, tokens, or GPU seconds."""

from typing import Any

import pytest

from gateway.config.keys import key_line
from tests.fakes.runpod import FakeRunpod
from tests.stacks import KEY
from tests.subject import Subject, answering, running

TENANTS = [{"name": "acme", "keys": [key_line(KEY)]}]


def attained(subject: Subject) -> float:
    gate = subject.gateway._upstreams["chat"].gates.work
    return gate._order.served(["acme"], gate._clock.monotonic_s())["acme"]


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
