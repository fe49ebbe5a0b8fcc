"""Whenever a request is left, nothing of it stays behind: no permit, job, task or connection."""

import asyncio
from collections.abc import Generator
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from gateway.exchange.outcomes import Ending
from tests.fakes.asgi import AsgiCall
from tests.fakes.runpod import FakeRunpod
from tests.subject import EVENTS, PAGES, Subject, running

STEPS_MAX = 400


class Steps:
    """Runs a coroutine and does something at its n-th suspension."""

    def __init__(self, coroutine: Any, at_step: int, act: Any) -> None:
        self.count = 0
        self._coroutine = coroutine
        self._at_step = at_step
        self._act = act

    def __await__(self) -> Generator[Any, Any, Any]:
        inner = self._coroutine.__await__()
        to_send, to_throw = None, None
        while True:
            try:
                waited_for = inner.send(to_send) if to_throw is None else inner.throw(to_throw)
            except StopIteration as stop:
                return stop.value
            to_send = to_throw = None
            self.count += 1
            if self.count == self._at_step:
                asyncio.get_running_loop().call_soon(self._act)
            try:
                to_send = yield waited_for
            except BaseException as error:
                to_throw = error


async def left_at(subject: Subject, call: AsgiCall, at_step: int, *, by: str) -> bool:
    """Run a request that is left at a step; tell whether it came so far."""
    acted = []

    def act() -> None:
        acted.append(True)
        if by == "client":
            call.leave()
        for exchange in list(subject.gateway.exchanges._live) if by == "drain" else ():
            exchange.end(Ending.PROCESS)

    async def run() -> None:
        await Steps(call.run(subject.gateway.app), at_step, act)

    task = asyncio.get_running_loop().create_task(run())
    with anyio.fail_after(5):
        await asyncio.wait([task])
    task.result()
    return bool(acted)


async def assert_clean(subject: Subject, tasks_before: set[Any]) -> None:
    with anyio.fail_after(5):
        await subject.gateway.exchanges._services.jobs.flush()
        # Of a relayed request that was left, /health tells when it is over.
        while any(upstream.abandoned for upstream in subject.gateway._upstreams.values()):
            await anyio.sleep(0.1)
        await anyio.sleep(0.1)
    assert subject.held() == {}
    assert subject.runpod.running == {}
    assert asyncio.all_tasks() - tasks_before == set()


@pytest.mark.parametrize("by", ["client", "drain"])
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("route", ["job", "openai"])
async def test_a_request_can_be_left_at_every_await(route: str, stream: bool, by: str) -> None:
    runpod = FakeRunpod(pages=list(PAGES), events=[each.encode() for each in EVENTS])
    # Cancels come evenly, ten a second; here they are not the subject.
    endpoint = {"route": route, "limits": {"cancel": {"per_10s": 100_000, "concurrent": 20}}}
    async with running(runpod, endpoint=endpoint) as subject:
        tasks_before = asyncio.all_tasks()
        steps = 0
        for at_step in range(1, STEPS_MAX):
            if not await left_at(subject, subject.call(stream=stream), at_step, by=by):
                break
            steps = at_step
            await assert_clean(subject, tasks_before)
        assert 10 < steps < STEPS_MAX - 1
        if route == "job":
            assert runpod.count("cancel") > 5


class Timed(FakeRunpod):
    """Notes when it is told to cancel."""

    cancelled_at_s = 0.0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "/cancel/" in request.url.path:
            self.cancelled_at_s = anyio.current_time()
        return await super().handle_async_request(request)


@pytest.mark.parametrize("state", ["IN_QUEUE", "IN_PROGRESS"])
@pytest.mark.parametrize("stream", [True, False])
async def test_nothing_but_work_comes_between_a_departure_and_its_cancel(state: str, stream: bool) -> None:
    """No timer, no poll and no other request: in virtual time, work takes next to none."""
    runpod = Timed(pages=[(state, [])] * 10_000)
    async with running(runpod) as subject, anyio.create_task_group() as tasks:
        call = subject.call(stream=stream)
        tasks.start_soon(call.run, subject.gateway.app)
        await anyio.sleep(10.5)
        left_at_s = anyio.current_time()
        call.leave()
        await anyio.sleep(1)
    assert 0 <= runpod.cancelled_at_s - left_at_s < 0.01


async def test_a_request_that_waits_for_its_turn_can_be_left() -> None:
    async with running(FakeRunpod(pages=[("IN_PROGRESS", [])] * 1000), endpoint={"max_in_flight": 1}) as subject:
        tasks_before = asyncio.all_tasks()
        first, second = subject.call(stream=True), subject.call(stream=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(first.run, subject.gateway.app)
            await anyio.sleep(0.01)
            tasks.start_soon(second.run, subject.gateway.app)
            await anyio.sleep(0.01)
            assert subject.gateway._upstreams["chat"].gates.work.waiting == {"acme": 1}
            second.leave()
            await anyio.sleep(0.01)
            assert subject.gateway._upstreams["chat"].gates.work.waiting == {}
            assert subject.runpod.count("run") == 1
            first.leave()
        await assert_clean(subject, tasks_before)
        assert (first.messages, second.messages) == ([], [])
