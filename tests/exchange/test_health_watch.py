import anyio

from gateway.exchange.upstream import HEALTH_AGE_S_MAX
from tests.fakes.runpod import FakeRunpod
from tests.subject import Subject, answering, running


async def look(subject: Subject) -> None:
    subject.gateway.exchanges._means.health.ask(subject.gateway._upstreams["chat"])
    await anyio.sleep(0.02)


async def test_a_reading_is_kept_and_is_no_evidence() -> None:
    runpod = FakeRunpod(health={"idle": 1, "running": 2})
    async with running(runpod) as subject:
        upstream = subject.gateway._upstreams["chat"]
        await look(subject)
        assert upstream.workers.health is not None
        assert upstream.workers.health.workers == {"idle": 1, "running": 2}
        assert not upstream.workers.is_ready_for_burst(subject.gateway._clock.monotonic_s())
        assert runpod.count("health") == 1


async def test_nobody_is_read_about_whom_nobody_waits_for() -> None:
    runpod = FakeRunpod()
    async with running(runpod):
        await anyio.sleep(1.2)
    assert not runpod.calls


async def test_an_endpoint_that_cannot_be_read_still_takes_one_request_to_wake() -> None:
    runpod = answering()
    runpod.answers = {"health": [(500, b"")] * 3}
    async with running(runpod) as subject:
        gate = subject.gateway._upstreams["chat"].gates.work
        gate.narrow(1)
        await look(subject)
        assert gate.is_narrowed
        assert (await subject.post(stream=True)).status == 200
        assert not gate.is_narrowed


async def test_it_is_read_while_a_request_is_under_way_and_until_workers_have_stopped() -> None:
    runpod = FakeRunpod(pages=[("IN_PROGRESS", [])] * 10_000, health={"running": 1})
    async with running(runpod) as subject:
        upstream = subject.gateway._upstreams["chat"]
        call = subject.call(stream=True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.run, subject.gateway.app)
            with anyio.fail_after(20):
                while not runpod.count("health"):
                    await anyio.sleep(0.01)
            call.leave()
        assert not upstream.workers.has_activity
        upstream.workers._read_at_s -= 2 * HEALTH_AGE_S_MAX
        assert upstream.wants_look()
        runpod.health = {"idle": 1}
        await look(subject)
        upstream.workers._read_at_s -= 2 * HEALTH_AGE_S_MAX
        assert not upstream.wants_look()
