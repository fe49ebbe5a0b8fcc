import anyio
import pytest

from gateway.emulator.notifier import Signals


async def test_everybody_who_waits_for_a_name_is_woken():
    signals = Signals()
    woken = []

    async def wait(name: str) -> None:
        await signals.wait(name)
        woken.append(name)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for name in ("a", "a", "b"):
                group.start_soon(wait, name)
            await anyio.wait_all_tasks_blocked()
            signals.wake("a")
            await anyio.wait_all_tasks_blocked()
            assert woken == ["a", "a"]
            signals.wake_all()
    assert woken == ["a", "a", "b"]


async def test_a_wake_is_not_kept_for_those_who_come_later():
    signals = Signals()
    signals.wake("a")
    with anyio.move_on_after(0.02) as scope:
        await signals.wait("a")
    assert scope.cancelled_caught


async def test_a_wait_that_was_given_up_leaves_nothing_behind():
    signals = Signals()
    for number in range(3):
        with anyio.move_on_after(0):
            await signals.wait(str(number))
    assert signals._events == {}


@pytest.mark.parametrize("stays", [1, 2])
async def test_one_who_gives_up_does_not_take_the_others_along(stays):
    signals = Signals()
    woken = []

    async def wait() -> None:
        await signals.wait("a")
        woken.append(True)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for _ in range(stays):
                group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            with anyio.move_on_after(0):
                await signals.wait("a")
            signals.wake("a")
    assert len(woken) == stays
