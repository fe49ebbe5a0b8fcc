import anyio
import anyio.lowlevel

from tests.fakes.runpod import FakeRunpod
from tests.subject import EVENTS, answering, running


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
