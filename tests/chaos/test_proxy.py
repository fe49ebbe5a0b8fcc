"""The proxy does to connections what it says, and the same for the same seed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import anyio
import pytest

from tests.chaos.proxy import Kind, Proxy, Trouble, choose
from tests.waiting import BOUND_S, MOMENT_S, eventually_here

pytestmark = pytest.mark.server

SENT = bytes(range(256)) * 100


@contextlib.asynccontextmanager
async def echoing() -> AsyncIterator[str]:
    """A server that sends everything back."""
    tasks: set[asyncio.Task[None] | None] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with contextlib.suppress(OSError):
            while piece := await reader.read(65536):
                writer.write(piece)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)


async def through(proxy: Proxy, *, ends_in_silence: bool = False) -> tuple[bytes, str]:
    """What comes back of SENT, and how it ended; silence is an end once the proxy has struck."""
    address = proxy.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(address[0], int(address[1]))
    received, ending = bytearray(), "closed"
    try:
        writer.write(SENT)
        writer.write_eof()
        while not reader.at_eof():
            struck = bool(proxy.met)
            try:
                async with asyncio.timeout(MOMENT_S if ends_in_silence else BOUND_S):
                    received += await reader.read(65536)
            except TimeoutError:
                if struck:
                    ending = "silent"
                    break
    except OSError:
        ending = "reset"
    finally:
        writer.transport.abort()
    return bytes(received), ending


@pytest.mark.parametrize(
    ("kind", "ending"),
    [
        (Kind.PASS, "closed"),
        (Kind.DELAY, "closed"),
        (Kind.DRIP, "closed"),
        (Kind.STALL, "closed"),
        (Kind.CLOSE, "closed"),
        (Kind.RESET, "reset"),
        (Kind.HALF_OPEN, "silent"),
    ],
)
async def test_each_trouble(kind: Kind, ending: str) -> None:
    async with echoing() as url, Proxy() as proxy:
        proxy.target = url
        proxy.brew({kind: 1.0}, "seed")
        began_s = anyio.current_time()
        received, ended = await through(proxy, ends_in_silence=kind is Kind.HALF_OPEN)
        trouble = choose({kind: 1.0}, "seed", 0)
        assert proxy.met == {kind: 1}
    assert ended == ending
    assert SENT.startswith(received)
    assert (received == SENT) is (kind in {Kind.PASS, Kind.DELAY, Kind.DRIP, Kind.STALL})
    if kind is Kind.STALL:
        assert anyio.current_time() - began_s >= trouble.seconds
    if kind in {Kind.CLOSE, Kind.HALF_OPEN} and not trouble.is_up:
        assert len(received) == trouble.after_bytes


async def test_all_connections_can_be_cut() -> None:
    async with echoing() as url, Proxy() as proxy:
        proxy.target = url
        proxy.brew({Kind.HALF_OPEN: 1.0}, "seed")
        caught = asyncio.get_running_loop().create_task(through(proxy))
        await eventually_here(lambda: proxy.met)
        proxy.cut_all()
        assert (await caught)[1] == "reset"


def test_a_seed_chooses() -> None:
    mix = dict.fromkeys(Kind, 1.0)
    chosen = [choose(mix, "a", number) for number in range(100)]
    assert chosen == [choose(mix, "a", number) for number in range(100)]
    assert chosen != [choose(mix, "b", number) for number in range(100)]
    assert {trouble.kind for trouble in chosen} == set(Kind)
    assert {trouble.is_up for trouble in chosen} == {True, False}
    assert isinstance(chosen[0], Trouble)
