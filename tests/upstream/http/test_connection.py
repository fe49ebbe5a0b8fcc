"""Its clock and its states; what it does on the wire is told by test_transport*.py."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from gateway.upstream.http.connection import IDLE_S_MAX
from gateway.upstream.http.transport import HttpTransport
from tests.fakes.raw_server import read_request, reply
from tests.upstream.http.calls import call, request
from tests.upstream.http.server import serving


class LoopAhead(asyncio.SelectorEventLoop):
    """A loop that can be told that time has passed."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s

    async def pass_time(self, seconds: float) -> None:
        self.ahead_s += seconds
        for _ in range(5):
            await asyncio.sleep(0)


def run(story: Callable[[LoopAhead, HttpTransport], Awaitable[None]]) -> None:
    async def tell(loop: LoopAhead) -> None:
        transport = HttpTransport()
        try:
            await story(loop, transport)
        finally:
            await transport.aclose()

    loop = LoopAhead()
    try:
        loop.run_until_complete(tell(loop))
    finally:
        loop.close()


async def answer(reader: Any, writer: Any) -> None:
    while True:
        asked = await read_request(reader)
        if b"/silent" not in asked:
            writer.write(reply(b"a"))


def test_an_idle_connection_is_closed_in_the_end() -> None:
    async def story(loop: LoopAhead, transport: HttpTransport) -> None:
        async with serving(answer) as server:
            await call(transport, server.url)
            await loop.pass_time(IDLE_S_MAX - 1)
            await asyncio.sleep(0.02)
            assert server.open == 1
            await loop.pass_time(2)
            await asyncio.sleep(0.02)
            assert server.open == 0

    run(story)


def test_use_makes_it_young_again() -> None:
    async def story(loop: LoopAhead, transport: HttpTransport) -> None:
        async with serving(answer) as server:
            for _ in range(5):
                await call(transport, server.url)
                await loop.pass_time(IDLE_S_MAX - 1)
            assert server.connections == 1

    run(story)


def test_the_one_used_last_is_used_first_so_that_the_others_grow_old() -> None:
    async def story(loop: LoopAhead, transport: HttpTransport) -> None:
        async with serving(answer) as server:
            await asyncio.gather(*[call(transport, server.url) for _ in range(3)])
            assert server.connections == server.open == 3
            for _ in range(4):
                await loop.pass_time(IDLE_S_MAX / 3)
                await call(transport, server.url)
            await asyncio.sleep(0.02)
            assert server.open == 1

    run(story)


@pytest.mark.parametrize("first_s", [1.0, 100.0])
def test_each_request_has_its_own_time(first_s: float) -> None:
    """The one timer is brought forward and put off as requests come and go."""

    async def story(loop: LoopAhead, transport: HttpTransport) -> None:
        async with serving(answer) as server:
            await call(transport, server.url, read=first_s)
            calling = loop.create_task(call(transport, f"{server.url}/silent", read=10.0))
            await asyncio.sleep(0.02)
            await loop.pass_time(9)
            assert not calling.done()
            await loop.pass_time(2)
            with pytest.raises(httpx.ReadTimeout):
                await calling

    run(story)


def test_no_time_runs_while_nobody_reads() -> None:
    async def story(loop: LoopAhead, transport: HttpTransport) -> None:
        async def halves(reader: Any, writer: Any) -> None:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na")
            await reader.read()

        async with serving(halves) as server:
            response = await transport.handle_async_request(request(server.url, read=1.0))
            stream: Any = response.stream
            await loop.pass_time(50)
            assert await anext(aiter(stream)) == b"a"
            await loop.pass_time(50)
            reading = loop.create_task(anext(aiter(stream)))
            await loop.pass_time(0.5)
            assert not reading.done()
            await loop.pass_time(1)
            with pytest.raises(httpx.ReadTimeout):
                await reading
            await stream.aclose()

    run(story)


def test_without_a_limit_it_waits() -> None:
    async def story(loop: LoopAhead, transport: HttpTransport) -> None:
        async with serving(answer) as server:
            asked = httpx.Request("POST", f"{server.url}/silent")
            calling = loop.create_task(transport.handle_async_request(asked))
            await asyncio.sleep(0.02)
            await loop.pass_time(100_000)
            assert not calling.done()
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)

    run(story)
