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
from tests.waiting import a_moment_here, eventually_here

pytestmark = pytest.mark.server


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


class Answering:
    """Answers everything but what is asked of /silent."""

    def __init__(self) -> None:
        self.seen = 0

    async def __call__(self, reader: Any, writer: Any) -> None:
        while True:
            asked = await read_request(reader)
            self.seen += 1
            if b"/silent" not in asked:
                writer.write(reply(b"a"))


def test_an_idle_connection_is_closed_in_the_end() -> None:
    async def story(loop: LoopAhead, transport: HttpTransport) -> None:
        async with serving(Answering()) as server:
            await call(transport, server.url)
            await loop.pass_time(IDLE_S_MAX - 1)
            await a_moment_here()
            assert server.open == 1
            await loop.pass_time(2)
            await eventually_here(lambda: server.open == 0)

    run(story)


def test_use_makes_it_young_again() -> None:
    async def story(loop: LoopAhead, transport: HttpTransport) -> None:
        async with serving(Answering()) as server:
            for _ in range(5):
                await call(transport, server.url)
                await loop.pass_time(IDLE_S_MAX - 1)
            assert server.connections == 1

    run(story)


def test_the_one_used_last_is_used_first_so_that_the_others_grow_old() -> None:
    async def story(loop: LoopAhead, transport: HttpTransport) -> None:
        async with serving(Answering()) as server:
            await asyncio.gather(*[call(transport, server.url) for _ in range(3)])
            assert server.connections == server.open == 3
            for _ in range(4):
                await loop.pass_time(IDLE_S_MAX / 3)
                await call(transport, server.url)
            await eventually_here(lambda: server.open == 1)

    run(story)


@pytest.mark.parametrize("first_s", [1.0, 100.0])
def test_each_request_has_its_own_time(first_s: float) -> None:
    """The one timer is brought forward and put off as requests come and go."""

    async def story(loop: LoopAhead, transport: HttpTransport) -> None:
        answer = Answering()
        async with serving(answer) as server:
            await call(transport, server.url, read=first_s)
            calling = loop.create_task(call(transport, f"{server.url}/silent", read=10.0))
            await eventually_here(lambda: answer.seen == 2)
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


def test_a_slow_answer_is_none_that_is_silent() -> None:
    """The time to read is from one piece to the next, and not for all of them."""

    async def story(loop: LoopAhead, transport: HttpTransport) -> None:
        read = 0

        async def slowly(reader: Any, writer: Any) -> None:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n")
            for number in range(10):
                await eventually_here(lambda number=number: read == number)
                await loop.pass_time(9)
                writer.write(b"x")

        async with serving(slowly) as server:
            response = await transport.handle_async_request(request(server.url, read=10.0))
            stream: Any = response.stream
            async for piece in stream:
                read += len(piece)
            assert read == 10
            await stream.aclose()

    run(story)


def test_an_answer_that_trickles_ends_with_the_time_for_the_whole() -> None:
    """Each piece comes in its time, and all of them together do not."""

    async def story(loop: LoopAhead, transport: HttpTransport) -> None:
        read = 0

        async def trickle(reader: Any, writer: Any) -> None:
            await read_request(reader)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n")
            for number in range(100):
                await eventually_here(lambda number=number: read == number)
                await loop.pass_time(9)
                writer.write(b"x")

        async with serving(trickle) as server:
            response = await transport.handle_async_request(request(server.url, read=10.0, total=40.0))
            stream: Any = response.stream
            pieces = aiter(stream)

            async def read_all() -> None:
                nonlocal read
                while True:
                    read += len(await anext(pieces))

            with pytest.raises(httpx.ReadTimeout):
                await read_all()
            assert read in {4, 5}
            await stream.aclose()

    run(story)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK", b"HTTP/1.1 103 Early Hints\r\n\r\n"])
def test_a_head_that_trickles_does_not_renew_its_time(head: bytes) -> None:
    async def story(loop: LoopAhead, transport: HttpTransport) -> None:
        async def trickle(reader: Any, writer: Any) -> None:
            await read_request(reader)
            writer.write(head)
            while True:
                await loop.pass_time(3)
                writer.write(b"x" if head[-1:] != b"\n" else head)
                await writer.drain()

        async with serving(trickle) as server:
            with pytest.raises(httpx.ReadTimeout):
                await call(transport, server.url, read=10.0)

    run(story)


def test_the_next_request_has_a_time_of_its_own() -> None:
    async def story(loop: LoopAhead, transport: HttpTransport) -> None:
        async with serving(Answering()) as server:
            for _ in range(5):
                assert (await call(transport, server.url, total=25.0))[0] == 200
                await loop.pass_time(20)
            assert server.connections == 1

    run(story)


def test_without_a_limit_it_waits() -> None:
    async def story(loop: LoopAhead, transport: HttpTransport) -> None:
        answer = Answering()
        async with serving(answer) as server:
            asked = httpx.Request("POST", f"{server.url}/silent")
            calling = loop.create_task(transport.handle_async_request(asked))
            await eventually_here(lambda: answer.seen)
            await loop.pass_time(100_000)
            assert not calling.done()
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)

    run(story)
