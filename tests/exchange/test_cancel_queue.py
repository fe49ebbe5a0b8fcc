from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from gateway.exchange import cancel_queue
from gateway.exchange.events import CallOutcome, Event, JobCancelled
from tests.factories import tenant
from tests.fakes.runpod import FakeRunpod
from tests.subject import Subject, running


async def outcomes(subject: Subject, *job_ids: str, seconds: float = 5) -> list[CallOutcome]:
    """Cancel these jobs and wait until that is over."""
    queue = subject.gateway.exchanges._means.cancels
    seen: list[Event] = []
    queue._observe = seen.append
    for job_id in job_ids:
        queue.add(subject.gateway._upstreams["chat"], job_id, tenant=tenant())
    with anyio.fail_after(seconds):
        await queue.flush()
    return [event.outcome for event in seen if isinstance(event, JobCancelled)]


async def test_a_job_is_cancelled_once_however_often_it_is_added() -> None:
    runpod = FakeRunpod()
    async with running(runpod) as subject:
        assert await outcomes(subject, "a", "a", "b") == [CallOutcome.OK, CallOutcome.OK]
    assert sorted(job_id for _, job_id in runpod.calls) == ["a", "b"]


async def test_a_job_that_is_gone_needs_no_cancel() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [(404, b"")]}
    async with running(runpod) as subject:
        assert await outcomes(subject, "a") == [CallOutcome.GONE]


@pytest.mark.parametrize("failure", [(429, b""), (500, b"<html>"), httpx.ReadError("broken"), httpx.ConnectError("no")])
async def test_a_cancel_that_failed_is_made_again(failure: Any) -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [failure]}
    async with running(runpod) as subject:
        assert await outcomes(subject, "a") == [CallOutcome.OK]
    assert runpod.count("cancel") == 2


async def test_patience_with_a_failing_cancel_ends() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"cancel": [(500, b"")] * cancel_queue.TRIES_MAX}
    async with running(runpod) as subject:
        assert await outcomes(subject, "a", seconds=40) == [CallOutcome.FAILED]


async def test_a_burst_keeps_to_the_budget() -> None:
    runpod = FakeRunpod()
    async with running(runpod, endpoint={"limits": {"cancel": {"per_10s": 200, "concurrent": 2}}}) as subject:
        gate = subject.gateway._upstreams["chat"].gates.calls["cancel"]
        queue = subject.gateway.exchanges._means.cancels
        for number in range(20):
            queue.add(subject.gateway._upstreams["chat"], f"job-{number}", tenant=tenant())
        held = []
        with anyio.fail_after(10):
            while runpod.count("cancel") < 20:
                held.append(sum(gate.held.values()))
                await anyio.lowlevel.checkpoint()
            await queue.flush()
    assert max(held) <= 2
