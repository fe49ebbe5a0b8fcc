import asyncio
import contextlib
import socket
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from gateway.upstream.http.connection import Connection
from gateway.upstream.http.dial import ATTEMPT_DELAY_S, Address, dial, interleaved, race
from gateway.upstream.http.outgoing import Origin
from tests.upstream.http.calls import no_socket_but, open_sockets
from tests.waiting import BOUND_S

pytestmark = pytest.mark.server

V4, V6 = socket.AF_INET, socket.AF_INET6
REFUSING: Address = (V4, ("127.0.0.1", 1))


def test_families_take_turns() -> None:
    found = [(V6, "a"), (V6, "b"), (V6, "c"), (V4, "d"), (V4, "e")]
    assert interleaved(found) == [(V6, "a"), (V4, "d"), (V6, "b"), (V4, "e"), (V6, "c")]
    assert interleaved(found[3:]) == found[3:]


@contextlib.contextmanager
def listening() -> Iterator[Address]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield V4, listener.getsockname()


@contextlib.contextmanager
def silent() -> Iterator[Address]:
    """A full backlog: the kernel lets whoever comes wait."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.settimeout(0)
            sock.connect_ex(listener.getsockname())
        yield V4, listener.getsockname()


async def winner(*addresses: Address) -> Address:
    sockets = open_sockets()
    with anyio.fail_after(BOUND_S):
        sock = await race(list(addresses))
    won = sock.getpeername()
    sock.close()
    await asyncio.sleep(0)
    assert not open_sockets() - sockets
    return V4, won


async def test_the_first_address_wins_where_it_answers() -> None:
    with listening() as first, listening() as second:
        assert await winner(first, second) == first


@pytest.mark.virtual_time
async def test_one_that_refuses_costs_no_time() -> None:
    """None of the head starts has to pass, and so none does in a loop whose time waits for sockets."""
    began_s = anyio.current_time()
    with listening() as live:
        assert await winner(REFUSING, REFUSING, REFUSING, REFUSING, live) == live
    assert anyio.current_time() - began_s < ATTEMPT_DELAY_S / 2


async def test_one_that_is_silent_costs_its_head_start() -> None:
    with silent() as first, listening() as second:
        assert await winner(first, second) == second


async def test_none_answers() -> None:
    with pytest.raises(ConnectionRefusedError):
        await race([REFUSING, REFUSING])


async def test_leaving_a_race_leaves_no_socket() -> None:
    with silent() as first, silent() as second:
        sockets = open_sockets()
        with anyio.move_on_after(0.3):
            await race([first, second])
        await asyncio.sleep(0)
        assert not open_sockets() - sockets


async def test_one_that_is_lost_before_anybody_has_it() -> None:
    made: list[Any] = []

    class Lost(Connection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            made.append(transport)
            self.connection_lost(None)

    def nothing(_: Connection) -> None:
        pass

    def make(sock: socket.socket) -> Connection:
        return Lost(origin, sock, on_free=nothing, on_lost=nothing, on_first_head=nothing)

    with listening() as (_, (host, port)):
        sockets = open_sockets()
        origin = Origin(is_tls=False, host=host, port=port)
        with pytest.raises(ConnectionResetError):
            await dial(
                origin, None, lambda sock: Lost(origin, sock, on_free=nothing, on_lost=nothing, on_first_head=nothing)
            )
        made[0].abort()
        await no_socket_but(sockets)
