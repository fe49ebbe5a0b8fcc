"""A caller that leaves at any await leaves no socket, task or timer behind, and no connection in a doubtful state."""

import asyncio
from typing import Any

import anyio
import httpx
import pytest

from gateway.upstream.http.transport import HttpTransport
from tests.fakes.raw_server import read_request, reply
from tests.upstream.http.calls import call, no_socket_but, open_sockets, request
from tests.upstream.http.certificates import Certificates
from tests.upstream.http.server import serving
from tests.waiting import eventually_here

pytestmark = pytest.mark.server

SLICES = (b"HTTP/1.1 200 OK\r\n", b"transfer-encoding: chunked\r\n\r\n", b"3\r\nhel\r\n", b"2\r\nlo\r\n", b"0\r\n\r\n")


async def answer_in_slices(reader: Any, writer: Any) -> None:
    while True:
        await read_request(reader)
        for piece in SLICES:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.001)


async def turn() -> None:
    """Let the loop close what was given up."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("body", [b"", b"x" * 3_000_000], ids=["small", "large"])
async def test_a_call_left_at_any_moment_leaves_nothing(tls: bool, body: bytes, certificates: Certificates) -> None:
    """At ever later turns of the loop, until a call is over before it is left."""
    async with serving(answer_in_slices, tls=certificates.server if tls else None) as server:
        url = server.url.replace("127.0.0.1", "localhost") if tls else server.url
        own = HttpTransport(certificates.client())
        sockets, turns, is_over = open_sockets(), 0, False
        while not is_over:
            calling = asyncio.get_running_loop().create_task(call(own, url, body=body))
            for _ in range(turns):
                await asyncio.sleep(0)
            is_over = calling.done()
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)
            await turn()
            assert own._pool._open == set().union(*own._pool._free.values())
            turns += 1 + turns // 16
        assert turns > 10
        assert await call(own, url) == (200, b"hello")
        await own.aclose()
        await eventually_here(lambda: not server.open)
        await no_socket_but(sockets)
        await eventually_here(lambda: len(asyncio.all_tasks()) == 1)


@pytest.mark.parametrize("seed", range(3))
async def test_many_that_leave_and_many_that_stay(own: HttpTransport, seed: int) -> None:
    """Those who stay each get their own answer, whoever left the connection before them."""

    async def handle(reader: Any, writer: Any) -> None:
        while True:
            asked = await read_request(reader)
            name = asked.split(b" ")[1]
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(name))
            await asyncio.sleep(0)
            writer.write(name)

    async def leave(url: str, turns: int) -> None:
        calling = asyncio.get_running_loop().create_task(call(own, url))
        for _ in range(turns):
            await asyncio.sleep(0)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)

    async def stay(url: str, name: str) -> None:
        for _ in range(20):
            assert await call(own, f"{url}/{name}") == (200, f"/{name}".encode())

    async with serving(handle) as server, anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(stay, server.url, f"stays-{number}")
            for turns in range(10):
                tasks.start_soon(leave, f"{server.url}/leaves", turns + seed)


async def test_closing_ends_what_is_under_way(own: HttpTransport) -> None:
    async def handle(reader: Any, _: Any) -> None:
        await read_request(reader)
        await reader.read()

    async with serving(handle) as server:
        sockets = open_sockets()
        calling = asyncio.get_running_loop().create_task(call(own, server.url))
        while not server.open:
            await asyncio.sleep(0)
        await own.aclose()
        with pytest.raises(httpx.TransportError):
            await calling
        await no_socket_but(sockets)


async def test_leaving_a_body_closes_its_connection_at_once(own: HttpTransport) -> None:
    async def handle(reader: Any, writer: Any) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhe")
        await reader.read()

    async with serving(handle) as server:
        response = await own.handle_async_request(request(server.url))
        stream: Any = response.stream
        await stream.aclose()
        with pytest.raises(httpx.TransportError):
            [piece async for piece in stream if piece != b"he"]
        await eventually_here(lambda: server.open == 0)


async def test_leaving_a_whole_body_keeps_its_connection(own: HttpTransport) -> None:
    """It is complete before it is read: then nobody else's answer is on it."""

    async def handle(reader: Any, writer: Any) -> None:
        while True:
            await read_request(reader)
            writer.write(reply(b"a"))

    async with serving(handle) as server:
        for _ in range(3):
            response = await own.handle_async_request(request(server.url))
            stream: Any = response.stream
            await stream.aclose()
        assert server.connections == 1
