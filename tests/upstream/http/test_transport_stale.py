"""Kept connections that the other side has closed: what may have been taken is never sent a second time."""

import asyncio
import socket
import struct
from typing import Any

import httpx
import pytest

from gateway.upstream.http.transport import HttpTransport
from tests.fakes.raw_server import read_request, reply
from tests.upstream.http.calls import call
from tests.upstream.http.server import serving
from tests.upstream.http.test_transport_faults import reset
from tests.waiting import a_moment_here, eventually_here

pytestmark = pytest.mark.server

Transport = httpx.AsyncBaseTransport


async def test_one_that_was_closed_in_time_is_not_used(transport: Transport) -> None:
    async def handle(reader: Any, writer: Any) -> None:
        await read_request(reader)
        writer.write(reply(b"a"))

    async with serving(handle) as server:
        for _ in range(3):
            assert (await call(transport, server.url))[1] == b"a"
            await eventually_here(lambda: not server.open)
            # Its goodbye is on the way; whoever sends before it comes cannot know.
            await a_moment_here()
        assert server.connections == 3


@pytest.mark.parametrize("linger", [b"", struct.pack("ii", 1, 0)], ids=["closed", "reset"])
async def test_a_goodbye_that_the_loop_has_not_seen_is_seen(own: HttpTransport, linger: bytes) -> None:
    """The socket knows before the loop does: between the two, the thread never turned to the loop."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        for _ in range(2):
            calling = loop.create_task(call(own, url))
            peer, _ = await loop.sock_accept(listener)
            peer.settimeout(0)
            await loop.sock_recv(peer, 4096)
            await loop.sock_sendall(peer, reply(b"a"))
            assert (await calling)[1] == b"a"
            if linger:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            peer.close()


def closing_on_second(log: list[bytes], how: str) -> Any:
    """The first connection answers once, and hangs up on its second request; later ones answer."""
    connections = []

    async def handle(reader: Any, writer: Any) -> None:
        connections.append(writer)
        is_first = len(connections) == 1
        log.append(await read_request(reader))
        writer.write(reply(b"a"))
        log.append(await read_request(reader))
        if not is_first:
            writer.write(reply(b"a"))
            await writer.drain()
        elif how == "reset":
            reset(writer)
        elif how == "half":
            writer.write(b"HTT")
            await writer.drain()

    return handle


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_post_that_may_have_been_taken_is_not_repeated(transport: Transport, how: str) -> None:
    log: list[bytes] = []
    async with serving(closing_on_second(log, how)) as server:
        await call(transport, server.url)
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            await call(transport, server.url, body=b"x")
        assert len(log) == 2
        assert server.connections == 1


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_get_is_repeated_once(own: HttpTransport, how: str) -> None:
    """The stock one leaves this to its caller."""
    log: list[bytes] = []
    async with serving(closing_on_second(log, how)) as server:
        await call(own, server.url, "GET")
        assert (await call(own, server.url, "GET"))[1] == b"a"
        assert len(log) == 3


async def test_a_get_that_was_being_answered_is_not_repeated(own: HttpTransport) -> None:
    log: list[bytes] = []
    async with serving(closing_on_second(log, "half")) as server:
        await call(own, server.url, "GET")
        with pytest.raises(httpx.RemoteProtocolError):
            await call(own, server.url, "GET")
        assert len(log) == 2


async def test_a_get_on_a_new_connection_is_not_repeated(transport: Transport) -> None:
    async def handle(reader: Any, _: Any) -> None:
        await read_request(reader)

    async with serving(handle) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await call(transport, server.url, "GET")
        assert server.connections == 1


async def test_a_lost_request_does_not_become_one_that_was_never_sent(own: HttpTransport) -> None:
    """The second try finds nobody: the first may have been taken all the same."""
    listening: list[asyncio.Server] = []

    async def handle(reader: Any, writer: Any) -> None:
        await read_request(reader)
        writer.write(reply(b"a"))
        await read_request(reader)
        listening[0].close()
        writer.close()

    listening.append(await asyncio.start_server(handle, "127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening[0].sockets[0].getsockname()[1]}"
    await call(own, url, "GET")
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        await call(own, url, "GET")
