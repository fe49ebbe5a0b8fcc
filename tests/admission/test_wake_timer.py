import asyncio

import anyio

from gateway.admission.wake_timer import WakeTimer


async def test_it_wakes_once_at_the_time_that_was_set_first() -> None:
    woken, loop = list[float](), asyncio.get_running_loop()
    timer = WakeTimer(lambda: woken.append(loop.time()))
    began_s = loop.time()
    timer.set(0.5)
    timer.set(0.1)
    await anyio.sleep(2)
    assert [round(at_s - began_s, 3) for at_s in woken] == [0.5]
    assert not timer.is_set
    timer.set(0.1)
    assert timer.is_set
    await anyio.sleep(1)
    assert len(woken) == 2


async def test_a_time_that_was_cancelled_wakes_nothing() -> None:
    woken: list[None] = []
    timer = WakeTimer(lambda: woken.append(None))
    timer.set(0.1)
    timer.cancel()
    timer.cancel()
    await anyio.sleep(1)
    assert (woken, timer.is_set) == ([], False)
