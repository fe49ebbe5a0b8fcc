import weakref
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

from gateway.errors import BodiesFullError, DrainingError, GatewayError, InvalidKeyError
from gateway.events import Event, Outcome, Settled
from gateway.exchange.outcomes import Ending
from gateway.jobs.abandonment import abandon_submission
from tests.effort import THOROUGH
from tests.factories import attempt
from tests.fakes.runpod import FakeRunpod
from tests.subject import EVENTS, Subject, answering, running


async def test_an_idle_process_drains_at_once() -> None:
    async with running(FakeRunpod()) as subject:
        with anyio.fail_after(0.5):
            await subject.gateway.exchanges.drain(30)
        assert subject.gateway.exchanges.is_draining


async def test_a_drain_waits_for_what_runs() -> None:
    pages = [*[("IN_PROGRESS", [each]) for each in EVENTS[:-1]], ("IN_PROGRESS", []), ("COMPLETED", [EVENTS[-1]])]
    async with running(FakeRunpod(pages=pages)) as subject:
        call = subject.call(stream=True)
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call.run, subject.gateway.app)
                while not subject.gateway.exchanges.count:
                    await anyio.lowlevel.checkpoint()
                await subject.gateway.exchanges.drain(5)
                assert subject.gateway.exchanges.count == 0
        assert call.events[-1] == "[DONE]"


async def test_exchanges_are_counted_while_they_run() -> None:
    async with running(answering()) as subject:
        call = subject.call(stream=True)
        counts: list[int] = []
        call.on_send = lambda: counts.append(subject.gateway.exchanges.count)
        await call.run(subject.gateway.app)
        assert set(counts) == {1}
        assert subject.gateway.exchanges.count == 0


async def test_a_cut_in_the_moment_of_the_last_byte_ends_nothing() -> None:
    runpod = FakeRunpod(pages=[("IN_PROGRESS", EVENTS)])
    runpod.status = {"status": "IN_PROGRESS"}
    async with running(runpod) as subject:
        seen: list[Event] = []
        exchanges = subject.gateway.exchanges
        exchanges._services = msgspec.structs.replace(exchanges._services, observe=seen.append)
        call = subject.call(stream=True)

        async def send(message: dict[str, Any]) -> None:
            call.messages.append(message)
            if message.get("more_body") is False:
                for exchange in exchanges._live:
                    exchange.end(Ending.PROCESS)

        call.send = send  # type: ignore[method-assign]
        with anyio.fail_after(20):
            await call.run(subject.gateway.app)
            await exchanges._services.jobs.flush()
    assert call.events[-1] == "[DONE]"
    assert [event.outcome for event in seen if isinstance(event, Settled)] == [Outcome.COMPLETED]
    assert runpod.running == {}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (InvalidKeyError(), Outcome.REJECTED),
        (BodiesFullError(retry_after_s=1), Outcome.REFUSED),
        (DrainingError(retry_after_s=1), Outcome.CUT),
    ],
)
async def test_a_request_that_became_no_exchange_is_counted_as_it_is(error: GatewayError, outcome: Outcome) -> None:
    async with running(FakeRunpod()) as subject:
        seen: list[Event] = []
        exchanges = subject.gateway.exchanges
        exchanges._services = msgspec.structs.replace(exchanges._services, observe=seen.append)
        exchanges.settle_early(exchanges.record("r"), error)
    assert [event.outcome for event in seen if isinstance(event, Settled)] == [outcome]


async def many_streams(subject: Subject, tasks: Any, count: int) -> list[Any]:
    """Streams under way, whose jobs go on until they are cancelled."""
    calls = [subject.call(stream=True) for _ in range(count)]
    for call in calls:
        tasks.start_soon(call.run, subject.gateway.app)
    with anyio.fail_after(100):
        while len(subject.runpod.running) < count:
            await anyio.sleep(0.1)
    return calls


ENDLESS = [("IN_PROGRESS", [each]) for each in EVENTS[:2]] + [("IN_PROGRESS", [])] * 100_000
MANY = {"max_in_flight": 400, "min_workers": 1}


@pytest.mark.parametrize("drain_s", [5, pytest.param(30, marks=THOROUGH)])
async def test_all_jobs_of_many_streams_are_cancelled_within_the_budget(drain_s: float) -> None:
    """Runpod takes 100 cancels in 10 s: 400 of them need 40 s, which begin before the end of the drain."""
    runpod = FakeRunpod(pages=list(ENDLESS))
    async with running(runpod, endpoint=MANY) as subject, anyio.create_task_group() as tasks:
        calls = await many_streams(subject, tasks, 400)
        began_s = anyio.current_time()
        left = await subject.gateway.exchanges.drain(drain_s)
        took_s = anyio.current_time() - began_s
        assert runpod.running == {}
    assert (left.jobs, left.abandoned) == ({}, {})
    assert took_s <= max(drain_s, 41) + 12
    assert all(b"server_is_overloaded" in call.body for call in calls)


async def test_few_streams_have_the_whole_drain() -> None:
    runpod = FakeRunpod(pages=list(ENDLESS))
    async with running(runpod, endpoint=MANY) as subject, anyio.create_task_group() as tasks:
        await many_streams(subject, tasks, 90)
        async with anyio.create_task_group() as draining:
            draining.start_soon(subject.gateway.exchanges.drain, 30)
            await anyio.sleep(29)
            assert (subject.gateway.exchanges.count, runpod.count("cancel")) == (90, 0)


async def test_jobs_that_could_not_be_cancelled_are_told() -> None:
    runpod = FakeRunpod(pages=list(ENDLESS))
    runpod.answers = {"cancel": [(500, b"")] * 10_000}
    runpod.status = {"status": "IN_PROGRESS"}
    async with running(runpod, endpoint=MANY) as subject, anyio.create_task_group() as tasks:
        await many_streams(subject, tasks, 3)
        began_s = anyio.current_time()
        await subject.gateway.drain()
        assert anyio.current_time() - began_s < 60
        assert subject.gateway.has_left_jobs
        left = await subject.gateway.exchanges.drain(0, is_hurried=True)
        assert left.jobs == {"chat": 3}
        tasks.cancel_scope.cancel()


async def test_a_relayed_request_that_was_cut_is_told_as_one_that_cannot_be_cancelled() -> None:
    runpod = FakeRunpod(events=[each.encode() for each in EVENTS[:2]])
    runpod.relayed_running = 1
    async with running(runpod, endpoint={"route": "openai"}) as subject:
        upstream = subject.gateway._upstreams["chat"]
        abandon_submission(upstream, attempt(), lambda: None, ttl_s=1000)
        left = await subject.gateway.exchanges.drain(0)
        assert (left.jobs, left.abandoned) == ({}, {"chat": 1})
        await subject.gateway.drain()
        assert not subject.gateway.has_left_jobs


async def test_entries_for_one_endpoint_share_its_budget_at_a_drain() -> None:
    """Three times 100 jobs need 30 s of one budget, and not 10 s of three."""
    runpod = FakeRunpod(pages=list(ENDLESS))
    runpod.status = {"status": "IN_PROGRESS"}
    entry = {"id": "ep1", "base_url": "http://127.0.0.1:1/v2", "api_key": "k", "route": "job", **MANY}
    endpoints = [{"name": name, **entry} for name in "abc"]
    models = [{"id": name, "endpoint": name} for name in "abc"]
    async with running(runpod, endpoints=endpoints, models=models) as subject, anyio.create_task_group() as tasks:
        for name in "abc":
            for _ in range(100):
                tasks.start_soon(subject.call(stream=True, model=name).run, subject.gateway.app)
        with anyio.fail_after(100):
            while len(runpod.running) < 300:
                await anyio.sleep(0.1)
        left = await subject.gateway.exchanges.drain(5)
        assert (left.jobs, runpod.running) == ({}, {})


async def test_all_that_wait_for_a_drain_are_told_of_its_end() -> None:
    runpod = FakeRunpod(pages=[*ENDLESS[:2], *[("IN_PROGRESS", [])] * 20, ("COMPLETED", [EVENTS[-1]])])
    async with running(runpod) as subject, anyio.create_task_group() as tasks:
        tasks.start_soon(subject.call(stream=True).run, subject.gateway.app)
        await anyio.sleep(1)
        began_s = anyio.current_time()
        async with anyio.create_task_group() as draining:
            for _ in range(2):
                draining.start_soon(subject.gateway.exchanges.drain, 100)
        assert anyio.current_time() - began_s < 20


async def test_a_second_signal_tells_of_what_is_left_as_well() -> None:
    runpod = FakeRunpod(pages=list(ENDLESS))
    runpod.answers = {"cancel": [(500, b"")] * 10_000}
    runpod.status = {"status": "IN_PROGRESS"}
    async with running(runpod, endpoint=MANY) as subject, anyio.create_task_group() as tasks:
        await many_streams(subject, tasks, 3)
        async with anyio.create_task_group() as draining:
            draining.start_soon(subject.gateway.drain)
            await anyio.sleep(1)
            began_s = anyio.current_time()
            await subject.gateway.drain(is_hurried=True)
            assert anyio.current_time() - began_s < 12
            assert subject.gateway.has_left_jobs
            draining.cancel_scope.cancel()
        tasks.cancel_scope.cancel()


async def test_the_check_of_timeouts_keeps_no_exchange_alive() -> None:
    """On an idle gateway it would keep the last one, with the body of its request."""
    runpod = FakeRunpod(pages=[("IN_PROGRESS", EVENTS[:1]), *[("IN_PROGRESS", [])] * 10, ("COMPLETED", EVENTS[1:])])
    async with running(runpod) as subject, anyio.create_task_group() as tasks:
        tasks.start_soon(subject.call(stream=True).run, subject.gateway.app)
        await anyio.sleep(0.5)
        (exchange,) = [weakref.ref(each) for each in subject.gateway.exchanges._live]
        while subject.gateway.exchanges.count:
            await anyio.sleep(0.1)
        await anyio.sleep(1)
        assert exchange() is None
