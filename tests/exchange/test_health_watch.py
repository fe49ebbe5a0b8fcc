import anyio
import pytest

from gateway.exchange.health_watch import AGE_S_MAX, USEFUL_S_MAX, HealthWatch
from tests.fakes.clock import FakeClock
from tests.fakes.runpod import FakeRunpod
from tests.subject import running


@pytest.mark.parametrize(
    ("workers", "is_warm"),
    [({}, False), ({"idle": 1}, True), ({"running": 2}, True), ({"initializing": 1, "throttled": 3}, False)],
)
async def test_warm_is_an_idle_or_running_worker(workers: dict[str, int], is_warm: bool) -> None:
    clock = FakeClock()
    runpod = FakeRunpod(health=workers)
    async with running(runpod) as subject:
        upstream = subject.gateway._upstreams["chat"]
        watch = HealthWatch(clock, lambda _: None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.run)
            # Unknown counts as cold, and asking never waits.
            assert watch.is_warm(upstream) is False
            await anyio.wait_all_tasks_blocked()
            await anyio.sleep(0.01)
            assert [watch.is_warm(upstream) for _ in range(10)] == [is_warm] * 10
            assert runpod.count("health") == 1
            clock.now_s += AGE_S_MAX + 0.1
            assert watch.is_warm(upstream) is is_warm
            await anyio.sleep(0.01)
            assert runpod.count("health") == 2
            tasks.cancel_scope.cancel()
        clock.now_s += USEFUL_S_MAX + 1
        assert watch.is_warm(upstream) is False
