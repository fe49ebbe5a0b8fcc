import anyio
import pytest

from tests.fakes.runpod import FakeRunpod
from tests.subject import Subject, running


async def look(subject: Subject) -> None:
    subject.gateway.exchanges._means.health.ask(subject.gateway._upstreams["chat"])
    await anyio.sleep(0.02)


@pytest.mark.parametrize(
    ("workers", "is_awake"),
    [({}, False), ({"idle": 1}, True), ({"running": 2}, True), ({"initializing": 1, "ready": 1}, False)],
)
async def test_awake_is_an_idle_or_running_worker(workers: dict[str, int], is_awake: bool) -> None:
    runpod = FakeRunpod(health=workers)
    async with running(runpod) as subject:
        upstream = subject.gateway._upstreams["chat"]
        assert not upstream.warmth.is_awake(subject.gateway._clock.monotonic_s())
        await look(subject)
        assert upstream.warmth.is_awake(subject.gateway._clock.monotonic_s()) is is_awake
        assert runpod.count("health") == 1


async def test_nobody_is_read_about_whom_nobody_waits_for() -> None:
    runpod = FakeRunpod()
    async with running(runpod):
        await anyio.sleep(1.2)
    assert not runpod.calls


async def test_an_endpoint_that_cannot_be_read_holds_nobody_back() -> None:
    runpod = FakeRunpod()
    runpod.answers = {"health": [(500, b"")]}
    async with running(runpod) as subject:
        gate = subject.gateway._upstreams["chat"].gates.work
        gate.narrow(1)
        await look(subject)
        assert not gate.is_narrowed
