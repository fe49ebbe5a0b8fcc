"""Whatever the other side does: the right error, in time, and never a short body that looks whole."""

import asyncio
import socket
import struct
from typing import Any

import httpx
import pytest

from gateway.upstream.http.response import HEAD_BYTES_MAX, HEAD_LINES_MAX
from gateway.upstream.http.transport import HttpTransport
from tests.fakes.raw_server import read_request, reply
from tests.upstream.http.calls import call, request
from tests.upstream.http.server import answering, serving
from tests.waiting import eventually_here

pytestmark = pytest.mark.server

Transport = httpx.AsyncBaseTransport

CHUNKS = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
BROKEN = (httpx.ReadError, httpx.RemoteProtocolError)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize("whole", [reply(b"hello"), CHUNKS], ids=["length", "chunks"])
async def test_a_response_that_is_cut_anywhere_is_an_error(transport: Transport, whole: bytes) -> None:
    async def handle(reader: Any, writer: Any) -> None:
        asked = await read_request(reader)
        writer.write(whole[: int(asked.split(b" ")[1][1:])])
        await writer.drain()

    async with serving(handle) as server:
        for cut in range(len(whole)):
            with pytest.raises(BROKEN):
                await call(transport, f"{server.url}/{cut}")
        assert (await call(transport, f"{server.url}/{len(whole)}"))[1] == b"hello"


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", b"HTTP/1.1 200 OK\r\n\r\nhel"]
)
async def test_a_reset_is_an_error(transport: Transport, sent: bytes) -> None:
    async def handle(reader: Any, writer: Any) -> None:
        await read_request(reader)
        writer.write(sent)
        await writer.drain()
        reset(writer)

    async with serving(handle) as server:
        with pytest.raises(BROKEN):
            await call(transport, server.url)


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * HEAD_BYTES_MAX * 4 + b"\r\ncontent-length: 0\r\n\r\n",
    ],
)
async def test_what_is_no_response_is_an_error(transport: Transport, answer: bytes) -> None:
    async with serving(answering(answer)) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await call(transport, server.url)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/9.9 200 OK\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * HEAD_LINES_MAX + b"content-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + (b"x: " + b"y" * 20_000 + b"\r\n") * 4 + b"content-length: 0\r\n\r\n",
        b"HTTP/1.1 103 Early\r\nx: " + b"y" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;" + b"x" * 2 * HEAD_BYTES_MAX + b"\r\na\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: " + b"y" * 200_000 + b"\r\n\r\n",
    ],
    ids=[
        "version",
        "upgrade",
        "bare line feeds",
        "two framings",
        "lines",
        "bytes",
        "interim",
        "chunk extension",
        "trailer",
    ],
)
async def test_what_is_bent_or_without_bound_is_an_error(own: HttpTransport, answer: bytes) -> None:
    """Stricter than the stock one, which takes these, for other clients' sake: WebSockets, old servers, great heads.

    Two readers may see two messages in some of them, and the others have no bound.
    """

    async def handle(reader: Any, writer: Any) -> None:
        await read_request(reader)
        for _ in range(8 if b" 103 " in answer else 1):
            writer.write(answer)
            await writer.drain()
        await reader.read()

    async with serving(handle) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await call(own, server.url)


async def test_nobody_listens(transport: Transport) -> None:
    with pytest.raises(httpx.ConnectError):
        await call(transport, "http://127.0.0.1:1/")


async def test_a_name_that_nobody_has(transport: Transport) -> None:
    with pytest.raises(httpx.ConnectError):
        await call(transport, f"http://{'a' * 64}.invalid/")


async def test_a_connection_takes_too_long(transport: Transport) -> None:
    """A full backlog: the kernel does not answer."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = []
        for _ in range(4):
            sock = socket.socket()
            sock.settimeout(0)
            sock.connect_ex(listener.getsockname())
            waiting.append(sock)
        with pytest.raises(httpx.ConnectTimeout):
            await call(transport, f"http://127.0.0.1:{listener.getsockname()[1]}/", connect=0.1)
        for sock in waiting:
            sock.close()


@pytest.mark.parametrize(
    "sent", [b"", b"HTTP/1.1 200 OK\r\ncontent", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe"]
)
async def test_silence_is_a_read_timeout(transport: Transport, sent: bytes) -> None:
    async def handle(reader: Any, writer: Any) -> None:
        await read_request(reader)
        writer.write(sent)
        await reader.read()

    async with serving(handle) as server:
        with pytest.raises(httpx.ReadTimeout):
            await call(transport, server.url, read=0.05)
        await eventually_here(lambda: server.open == 0)


async def test_a_body_that_is_not_taken_is_a_write_timeout(transport: Transport) -> None:
    async def handle(reader: Any, _: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.Event().wait()

    async with serving(handle) as server:
        with pytest.raises(httpx.WriteTimeout):
            await call(transport, server.url, body=b"x" * 20_000_000, write=0.1)


async def test_a_body_that_is_cut_off_is_an_error(transport: Transport) -> None:
    async def handle(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        reset(writer)

    async with serving(handle) as server:
        with pytest.raises((httpx.WriteError, *BROKEN)):
            await call(transport, server.url, body=b"x" * 20_000_000)


async def test_a_body_left_in_the_middle_is_not_waited_for(transport: Transport) -> None:
    """Its connection is closed, and another request gets a new one."""
    async with serving(
        answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhe", reply(b"a"), reply(b"b"))
    ) as server:
        response = await transport.handle_async_request(request(server.url))
        stream: Any = response.stream
        pieces = aiter(stream)
        assert await anext(pieces) == b"he"
        if hasattr(pieces, "aclose"):
            await pieces.aclose()
        await stream.aclose()
        assert (await call(transport, server.url))[1] == b"a"
        assert server.connections == 2


async def test_what_comes_after_a_response_is_nobody_s(own: HttpTransport) -> None:
    """Bytes that nobody asked for, at once or later: the next request must not take them for its answer."""
    for late in (False, True):
        may_go_on = asyncio.Event()
        if not late:
            may_go_on.set()

        async def handle(reader: Any, writer: Any, *, may_go_on: asyncio.Event = may_go_on) -> None:
            await read_request(reader)
            writer.write(reply(b"a"))
            await may_go_on.wait()
            writer.write(reply(b"evil"))
            await reader.read()

        async with serving(handle) as server:
            assert (await call(own, server.url))[1] == b"a"
            may_go_on.set()
            await eventually_here(lambda: not own._pool._open)
            assert (await call(own, server.url))[1] == b"a"
            assert server.connections == 2
