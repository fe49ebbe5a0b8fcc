import anyio

from gateway.endpoints.health_checker import LOOK_S
from gateway.endpoints.health_reading import COLD_READ_S
from gateway.endpoints.upstream import HEALTH_AGE_S_MAX
from gateway.endpoints.worker_state import HEALTH_S_MAX
from gateway.wire.runpod import EndpointHealth
from tests.factories import attempt, tenant
from tests.fakes.runpod import FakeRunpod
from tests.subject import Subject, answering, running


async def look(subject: Subject) -> None:
    subject.gateway.exchanges._services.health.ask(subject.gateway._upstreams["chat"])
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
        gate.cap(1)
        await look(subject)
        assert gate.is_capped
        assert (await subject.post(stream=True)).status == 200
        assert not gate.is_capped


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
        assert upstream.needs_probe()
        runpod.health = {"idle": 1}
        await look(subject)
        upstream.workers._read_at_s -= 2 * HEALTH_AGE_S_MAX
        assert not upstream.needs_probe()


async def test_workers_that_cannot_be_read_any_more_are_forgotten_and_then_left_alone() -> None:
    runpod = FakeRunpod(health={"running": 2})
    async with running(runpod) as subject:
        upstream = subject.gateway._upstreams["chat"]
        await look(subject)
        runpod.answers = {"health": [(500, b"")] * 1000}
        await anyio.sleep(HEALTH_S_MAX + 5)
        assert upstream.workers.health is None
        idle_s, count = upstream.gpu.idle_s, runpod.count("health")
        assert 2 * HEALTH_S_MAX <= idle_s < 2 * (HEALTH_S_MAX + 3)
        await anyio.sleep(60)
        assert (upstream.gpu.idle_s, runpod.count("health")) == (idle_s, count)


async def test_an_old_reading_does_not_begin_the_account_of_a_relayed_request() -> None:
    async with running(FakeRunpod(health={"running": 1})) as subject:
        upstream = subject.gateway._upstreams["chat"]
        await look(subject)
        await anyio.sleep(0.01)
        upstream.workers._read_at_s -= 3600
        activity, time = upstream.begin(tenant()), upstream.gpu.open(attempt(), lambda _gpu_s: None)
        upstream.relays.open(time, activity)
        upstream.on_health(None)
        assert upstream.relays.are_waiting


async def test_a_reading_without_workers_sends_the_next_request_by_the_way_that_can_wait() -> None:
    runpod = answering()
    async with running(runpod, endpoint={"route": "auto"}) as subject:
        upstream = subject.gateway._upstreams["chat"]
        await subject.post(stream=True)
        await subject.post()
        assert (runpod.count("run"), runpod.count("openai")) == (1, 1)
        whole = upstream.begin(tenant())
        await anyio.sleep(COLD_READ_S)
        upstream.on_health(EndpointHealth(workers={"idle": 2, "running": 0}))
        await subject.post()
        assert (runpod.count("run"), runpod.count("openai")) == (2, 1)
        whole.end(upstream.now_s)


async def test_workers_are_counted_anew_as_soon_as_there_are_more_attempts() -> None:
    runpod = FakeRunpod(health={"running": 1})
    async with running(runpod) as subject:
        upstream = subject.gateway._upstreams["chat"]
        await look(subject)
        times = [upstream.gpu.open(attempt(number=number), lambda _gpu_s: None) for number in range(3)]
        activity = upstream.begin(tenant())
        times[0].started()
        await anyio.sleep(3)
        assert runpod.count("health") == 1
        for each in times:
            each.started()
        await anyio.sleep(1.1 * LOOK_S)
        assert runpod.count("health") == 2
        # No worker came: they share one, until another is seen.
        await anyio.sleep(10)
        assert 8 <= runpod.count("health") <= 13
        runpod.health = {"running": 3}
        await anyio.sleep(3)
        count = runpod.count("health")
        await anyio.sleep(4 * HEALTH_AGE_S_MAX)
        assert runpod.count("health") - count <= 5
        activity.end(upstream.now_s)


async def test_a_reading_counts_from_when_it_was_asked_for() -> None:
    async with running(FakeRunpod()) as subject:
        upstream = subject.gateway._upstreams["chat"]
        asked_at_s = upstream.now_s
        # Shorter than the pause after which the account goes on by itself.
        await anyio.sleep(0.25)
        upstream.on_health(EndpointHealth(workers={"running": 2}), asked_at_s=asked_at_s)
        upstream.gpu.advance()
        assert round(upstream.gpu.idle_s, 3) == 0.5
