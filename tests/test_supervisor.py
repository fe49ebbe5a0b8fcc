import asyncio

import anyio
import pytest

from gateway.events import Event, TaskFailed
from gateway.restart_policy import FAILURES_MAX
from gateway.supervisor import Supervisor
from tests.virtual_time import LoopClock


class Kept:
    """A supervisor, and what it told."""

    def __init__(self) -> None:
        self.events: list[TaskFailed] = []
        self.supervisor = Supervisor(LoopClock(), self._observe)

    def _observe(self, event: Event) -> None:
        assert isinstance(event, TaskFailed)
        self.events.append(event)

    @property
    def told(self) -> list[tuple[str, str, float | None]]:
        return [(each.task, type(each.error).__name__, each.restart_s) for each in self.events]


async def fails() -> None:
    await anyio.sleep(1)
    raise ZeroDivisionError


async def returns() -> None:
    await anyio.sleep(1)


async def awaits_what_another_cancelled() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def fails_in_a_task_of_its_own() -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(fails)
        await anyio.sleep_forever()


async def ends_in_a_task_of_its_own() -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(awaits_what_another_cancelled)
        await anyio.sleep_forever()


@pytest.mark.parametrize(
    ("run", "error"),
    [
        (fails, "ZeroDivisionError"),
        (returns, "TaskEndedError"),
        (awaits_what_another_cancelled, "TaskEndedError"),
        (fails_in_a_task_of_its_own, "ZeroDivisionError"),
        (ends_in_a_task_of_its_own, "TaskEndedError"),
    ],
)
async def test_a_task_that_ends_is_told_of_and_runs_again(run, error: str) -> None:  # type: ignore[no-untyped-def]
    kept, runs = Kept(), 0

    async def once_bad() -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            await run()
            return
        await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kept.supervisor.keep, "a", once_bad)
        await anyio.sleep(5)
        assert (runs, kept.told) == (2, [("a", error, 0.1)])
        tasks.cancel_scope.cancel()
    assert len(kept.events) == 1
    assert kept.supervisor.given_up is None


async def test_one_that_cannot_be_kept_running_is_given_up_and_the_others_go_on() -> None:
    kept, beats = Kept(), 0

    async def beats_on() -> None:
        nonlocal beats
        while True:
            await anyio.sleep(1)
            beats += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(kept.supervisor.keep, "good", beats_on)
        tasks.start_soon(kept.supervisor.keep, "bad", fails)
        with anyio.fail_after(120):
            await kept.supervisor.wait_given_up()
        assert kept.supervisor.given_up == "bad"
        assert [each.restart_s is None for each in kept.events] == [False] * (FAILURES_MAX - 1) + [True]
        before = beats
        await anyio.sleep(5)
        assert beats > before
        assert len(kept.events) == FAILURES_MAX
        tasks.cancel_scope.cancel()
    assert kept.supervisor.names == ["good", "bad"]


async def test_a_cancelled_task_ends_whoever_cancels_it() -> None:
    kept = Kept()
    with anyio.move_on_after(1):
        await kept.supervisor.keep("a", anyio.sleep_forever)
    task = asyncio.get_running_loop().create_task(kept.supervisor.keep("a", anyio.sleep_forever))
    await anyio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not kept.events
