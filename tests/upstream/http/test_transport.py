"""What a transport does, held by one suite for ours and for httpx's own."""

import asyncio
from typing import Any

import httpx
import pytest

from gateway.upstream.http.transport import HttpTransport
from tests.fakes.raw_server import read_request, reply
from tests.upstream.http.calls import call, request
from tests.upstream.http.server import answering, serving

pytestmark = pytest.mark.server

Transport = httpx.AsyncBaseTransport

WHOLE = {
    "length": (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", 200, b"hello"),
    "no body": (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, b""),
    "no reason": (b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", 200, b""),
    "chunks": (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nx-trailer: 1\r\n\r\n",
        200,
        b"hello",
    ),
    "until close": (b"HTTP/1.1 200 OK\r\n\r\nhello", 200, b"hello"),
    "until close, 1.0": (b"HTTP/1.0 200 OK\r\n\r\nhello", 200, b"hello"),
    "204": (b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", 204, b""),
    "204 without length": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "304": (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", 304, b""),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 A\r\nx: y\r\n\r\nHTTP/1.1 200 B\r\ncontent-length: 5\r\n\r\nhello",
        200,
        b"hello",
    ),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("slice_bytes", [1, 7, 4096])
async def test_a_whole_response_is_read(transport: Transport, name: str, slice_bytes: int) -> None:
    answer, status, body = WHOLE[name]

    async def handle(reader: Any, writer: Any) -> None:
        await read_request(reader)
        for start in range(0, len(answer), slice_bytes):
            writer.write(answer[start : start + slice_bytes])
            await asyncio.sleep(0)

    async with serving(handle) as server:
        assert await call(transport, server.url) == (status, body)


async def test_head_has_no_body(transport: Transport) -> None:
    answers = [b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"] * 2
    async with serving(answering(*answers)) as server:
        for _ in answers:
            assert await call(transport, server.url, "HEAD") == (200, b"")
        assert server.connections == 1


async def test_the_request_is_as_it_was_made(transport: Transport) -> None:
    log: list[bytes] = []
    async with serving(answering(reply(b""), log=log)) as server:
        await call(transport, f"{server.url}/a%2Fb?c=d", body=b'{"x":1}')
        head, body = log[0].split(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        assert lines[0] == b"POST /a%2Fb?c=d HTTP/1.1"
        assert sorted(line.lower() for line in lines[1:]) == [
            b"content-length: 7",
            b"host: 127.0.0.1:%d" % server.port,
        ]
        assert body == b'{"x":1}'


async def test_headers_are_given_as_they_came(transport: Transport) -> None:
    async with serving(
        answering(reply(b"", 429, "Retry-After: 7", "x-empty:", "set-cookie: a", "set-cookie: b"))
    ) as server:
        response = await transport.handle_async_request(request(server.url))
        assert response.status_code == 429
        assert response.headers["retry-after"] == "7"
        assert response.headers["x-empty"] == ""
        assert response.headers.get_list("set-cookie") == ["a", "b"]
        stream: Any = response.stream
        await stream.aclose()


@pytest.mark.parametrize(
    "answer", [reply(b"a"), WHOLE["chunks"][0], WHOLE["204"][0], WHOLE["304"][0], WHOLE["interim"][0]]
)
async def test_connections_are_used_again(transport: Transport, answer: bytes) -> None:
    async with serving(answering(*[answer] * 3)) as server:
        for _ in range(3):
            await call(transport, server.url)
        assert server.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        reply(b"a", 200, "connection: close"),
        b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na",
        WHOLE["until close"][0],
    ],
)
async def test_what_says_so_is_not_used_again(transport: Transport, answer: bytes) -> None:
    async with serving(answering(*[answer] * 2)) as server:
        for _ in range(2):
            await call(transport, server.url)
        assert server.connections == 2


async def test_redirects_and_cookies_are_the_caller_s(transport: Transport) -> None:
    log: list[bytes] = []
    moved = reply(b"", 302, "location: http://127.0.0.1:1/", "set-cookie: a=b; Path=/")
    async with serving(answering(moved, moved, log=log)) as server:
        for _ in range(2):
            assert (await call(transport, server.url))[0] == 302
        assert b"cookie" not in log[1].lower()


async def test_proxies_of_the_environment_are_not_used(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    transport = make()
    async with serving(answering(reply(b"a"))) as server:
        assert await call(transport, server.url) == (200, b"a")
    await transport.aclose()


async def test_ipv6(transport: Transport) -> None:
    async with serving(answering(reply(b"a")), host="::1") as server:
        assert await call(transport, server.url) == (200, b"a")


async def test_a_name_with_several_addresses(transport: Transport) -> None:
    """`localhost` may be ::1 first, where nobody listens."""
    async with serving(answering(reply(b"a"))) as server:
        assert await call(transport, f"http://localhost:{server.port}") == (200, b"a")


async def test_a_large_body_is_sent_whole(transport: Transport) -> None:
    body = bytes(range(256)) * 40_000
    received = []

    async def handle(reader: Any, writer: Any) -> None:
        head_and_body = await read_request(reader)
        received.append(head_and_body.partition(b"\r\n\r\n")[2])
        writer.write(reply(b"ok"))
        await writer.drain()

    async with serving(handle) as server:
        assert await call(transport, server.url, body=body) == (200, b"ok")
    assert received == [body]


async def test_an_early_response_is_read_while_the_body_is_sent(transport: Transport) -> None:
    """The server answers after the head, and reads no more: nobody waits for the body to be taken."""
    was_read = asyncio.Event()

    async def handle(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(b"too large", 413, "connection: close"))
        await writer.drain()
        await was_read.wait()

    async with serving(handle) as server:
        if isinstance(transport, HttpTransport):
            assert await call(transport, server.url, body=b"x" * 10_000_000) == (413, b"too large")
            was_read.set()
            return
        # The stock one reads only once it has written: it notices the answer when its own time to write is over.
        with pytest.raises(httpx.WriteTimeout):
            await call(transport, server.url, body=b"x" * 20_000_000, write=0.2)
        was_read.set()


async def test_a_body_still_on_its_way_goes_on_beside_a_response(own: HttpTransport) -> None:
    """An early head that is no refusal: the rest of the body is sent while the response is read."""
    body = b"x" * 3_000_000

    async def handle(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n")
        assert await reader.readexactly(len(body)) == body
        writer.write(b"took it")
        await writer.drain()
        await reader.read()

    async with serving(handle) as server:
        assert await call(own, server.url, body=body) == (200, b"took it")


async def test_a_connection_with_half_a_request_is_not_used_again(own: HttpTransport) -> None:
    """The answer was early and whole, and says nothing of closing: the next request would be read as the body."""

    async def handle(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply(b"early"))
        await reader.read(1)
        await second_came.wait()
        await reader.read()

    second_came = asyncio.Event()
    async with serving(handle) as server:
        for _ in range(2):
            assert await call(own, server.url, body=b"x" * 10_000_000) == (200, b"early")
        assert server.connections == 2
        second_came.set()


async def test_unknown_schemes_are_refused(transport: Transport) -> None:
    with pytest.raises(httpx.UnsupportedProtocol):
        await call(transport, "ftp://127.0.0.1/")


async def test_after_its_end_it_sends_nothing(own: HttpTransport) -> None:
    async with serving(answering(reply(b"a"), reply(b"b"))) as server:
        await call(own, server.url)
        await own.aclose()
        with pytest.raises(httpx.ConnectError):
            await call(own, server.url)
        await own.aclose()
