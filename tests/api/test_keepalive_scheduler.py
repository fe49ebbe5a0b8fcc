import asyncio

import anyio

from gateway.api.keepalive_scheduler import KeepAliveScheduler


async def test_a_slow_keepalive_delays_no_other_and_a_failing_one_ends_none() -> None:
    written: list[str] = []
    broken: list[str] = []
    keepalives = KeepAliveScheduler(lambda request_id, error: broken.append(f"{request_id}: {type(error).__name__}"))

    async def slow() -> None:
        await anyio.sleep_forever()

    async def fails() -> None:
        raise ZeroDivisionError

    async def quick() -> None:
        written.append("quick")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keepalives.run)
        await anyio.wait_all_tasks_blocked()
        for name, write in (("a", slow), ("b", fails), ("c", quick)):
            asyncio.get_running_loop().call_soon(keepalives.schedule, name, write)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    assert (written, broken) == (["quick"], ["b: ZeroDivisionError"])
