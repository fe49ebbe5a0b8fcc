import asyncio

import httpx
import pytest

from gateway.upstream.http.transport import HttpTransport
from tests.fakes.raw_server import reply
from tests.upstream.http.calls import call, no_socket_but, open_sockets
from tests.upstream.http.server import answering, serving
from tests.waiting import eventually_here

pytestmark = pytest.mark.server


async def test_origins_share_nothing(own: HttpTransport) -> None:
    answers = [reply(b"a"), reply(b"b")]
    async with serving(answering(*answers)) as one, serving(answering(*answers)) as other:
        for _ in range(2):
            await call(own, one.url)
            await call(own, other.url)
        assert one.connections == other.connections == 1


async def test_closing_leaves_no_socket(own: HttpTransport) -> None:
    async with serving(answering(*[reply(b"a")] * 10)) as server:
        sockets = open_sockets()
        await asyncio.gather(*[call(own, server.url) for _ in range(5)])
        assert len(open_sockets() - sockets) == 10
        await own.aclose()
        await no_socket_but(sockets)


async def test_a_lost_connection_is_forgotten(own: HttpTransport) -> None:
    async with serving(answering(reply(b"a"))) as server:
        await call(own, server.url)
        await eventually_here(lambda: not own._pool._open)
        assert not any(own._pool._free.values())


async def test_a_connection_that_comes_too_late_is_closed(own: HttpTransport) -> None:
    async with serving(answering(reply(b"a"))) as server:
        sockets = open_sockets()
        calling = asyncio.get_running_loop().create_task(call(own, server.url))
        await asyncio.sleep(0)
        await own.aclose()
        with pytest.raises(httpx.ConnectError):
            await calling
        await no_socket_but(sockets)
