"""Many at once, and much at once."""

import asyncio
import resource
import tracemalloc
from typing import Any

import anyio
import pytest

from gateway.upstream.http.body import BUFFER_BYTES_MAX
from gateway.upstream.http.transport import HttpTransport
from tests.fakes.raw_server import read_request
from tests.upstream.http.calls import call, request
from tests.upstream.http.server import serving
from tests.waiting import a_moment_here

pytestmark = pytest.mark.server

PIECE = b"x" * 65536
PIECES = 1600


async def test_a_thousand_requests_at_once(own: HttpTransport) -> None:
    """Each on a connection of its own, and each gets its own answer; then the connections are used again."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4096), most))
    arrived = 0
    all_there = asyncio.Event()

    async def handle(reader: Any, writer: Any) -> None:
        nonlocal arrived
        while True:
            name = (await read_request(reader)).split(b" ")[1]
            arrived += 1
            if arrived == 1000:
                all_there.set()
            await all_there.wait()
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(name), name))

    async def ask(url: str, number: int) -> None:
        assert await call(own, f"{url}/{number}", read=30, connect=30) == (200, f"/{number}".encode())

    async with serving(handle) as server:
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                for number in range(1000):
                    tasks.start_soon(ask, server.url, number)
        assert server.connections == 1000


async def flood(reader: Any, writer: Any) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(PIECE) * PIECES))
    for _ in range(PIECES):
        writer.write(PIECE)
        await writer.drain()


async def test_a_slow_reader_of_100_mb_holds_little(own: HttpTransport) -> None:
    """The server is made to wait, not the memory to grow: what is here is the buffer and what one read brings."""
    async with serving(flood) as server:
        response = await own.handle_async_request(request(server.url))
        stream: Any = response.stream
        tracemalloc.start()
        received = largest = 0
        async for piece in stream:
            received += len(piece)
            largest = max(largest, len(piece))
            if received < 30_000_000:
                for _ in range(3):
                    await asyncio.sleep(0)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        await stream.aclose()
    assert received == len(PIECE) * PIECES
    assert largest <= BUFFER_BYTES_MAX + 256 * 1024
    assert peak < 4_000_000


async def test_a_reader_that_stops_stops_the_server(own: HttpTransport) -> None:
    sent = 0

    async def handle(reader: Any, writer: Any) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (len(PIECE) * PIECES))
        for _ in range(PIECES):
            writer.write(PIECE)
            await writer.drain()
            sent += len(PIECE)

    async with serving(handle) as server:
        response = await own.handle_async_request(request(server.url))
        # For as long as it takes to fill what is between them.
        stopped_at = -1
        while stopped_at != sent:
            stopped_at = sent
            await a_moment_here()
        assert 0 < sent < len(PIECE) * PIECES / 2
        stream: Any = response.stream
        assert sum([len(piece) async for piece in stream]) == len(PIECE) * PIECES
        await stream.aclose()


async def test_sending_10_mb_copies_no_more_than_a_part(own: HttpTransport) -> None:
    body = b"x" * 10_000_000

    async def handle(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        # The rest has to wait for room in what the kernel holds.
        await a_moment_here()
        left = len(body)
        while left:
            await asyncio.sleep(0)
            left -= len(await reader.read(65536))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        await reader.read()

    async with serving(handle) as server:
        tracemalloc.start()
        await call(own, server.url, body=body)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2_000_000
