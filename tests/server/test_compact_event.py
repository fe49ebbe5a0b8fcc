import asyncio

import pytest

from gateway.server.compact_event import CompactEvent


@pytest.mark.parametrize("is_set", [True, False])
async def test_it_is_an_event(is_set: bool) -> None:
    event = CompactEvent(is_set=is_set)
    assert event.is_set() is is_set
    event.clear()
    waiting = [asyncio.ensure_future(event.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.sleep(0)
    event.set()
    await asyncio.wait(waiting)
    assert [each.cancelled() for each in waiting] == [False, True, False]
    assert event._waiters == []
