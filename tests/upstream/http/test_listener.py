"""A response that is told by callbacks, in order, and not after it was left."""

import math
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway.upstream.http.connection import Connection
from gateway.upstream.http.outgoing import Outgoing, origin_of, outgoing_of
from gateway.upstream.http.response import ResponseReader
from gateway.upstream.http.transport import HttpTransport
from tests.fakes.raw_server import read_request
from tests.upstream.http.calls import request
from tests.upstream.http.server import answering, serving
from tests.waiting import a_moment_here, eventually_here

pytestmark = pytest.mark.server
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"


class Listening:
    """Writes down what it is told."""

    def __init__(self, connection: Connection, **react: Callable[[], None]) -> None:
        self.connection = connection
        self.told: list[Any] = []
        self._react = react

    def _tell(self, kind: str, what: Any) -> None:
        self.told.append(what)
        self._react.get(kind, lambda: None)()

    def head_received(self, reader: ResponseReader) -> None:
        self._tell("head", reader.status)

    def piece_received(self, piece: bytes) -> None:
        self._tell("piece", piece)

    def response_ended(self) -> None:
        self._tell("end", "end")

    def response_failed(self, error: httpx.TransportError) -> None:
        self._tell("failure", type(error))

    @property
    def text(self) -> bytes:
        return b"".join(each for each in self.told if isinstance(each, bytes))


async def connected(own: HttpTransport, url: str, **timeout: float) -> tuple[Connection, Outgoing]:
    asked = request(url, **timeout)
    return await own.connect(origin_of(asked.url), 5.0), outgoing_of(asked)


async def test_a_response_is_told_in_order_on_a_connection_that_is_free_at_its_end(own: HttpTransport) -> None:
    async with serving(answering(WHOLE, WHOLE)) as server:
        connection, asked = await connected(own, server.url)
        second = Listening(connection)

        def send_again() -> None:
            free = own.free_connection(connection.origin)
            assert free is connection
            free.send(asked, second)

        first = Listening(connection, end=send_again)
        connection.send(asked, first)
        await eventually_here(lambda: "end" in second.told)
        assert first.told == second.told == [200, b"hi", "end"]
        assert server.connections == 1


@pytest.mark.parametrize("moment", ["head", "piece"])
async def test_one_that_leaves_is_told_no_more_than_the_read_it_left_in(own: HttpTransport, moment: str) -> None:
    async def handle(reader: Any, writer: Any) -> None:
        await read_request(reader)
        writer.write(CHUNKED + b"1\r\na\r\n")
        await reader.read()

    async with serving(handle) as server:
        connection, asked = await connected(own, server.url)
        listening = Listening(connection)
        listening._react[moment] = lambda: connection.leave(listening)
        connection.send(asked, listening)
        await eventually_here(lambda: server.open == 0 and len(listening.told) > 0)
        await a_moment_here()
        assert listening.told == ([200] if moment == "head" else [200, b"a"])
        assert not own._pool._open


async def test_what_is_damaged_fails_after_what_came_before_it(own: HttpTransport) -> None:
    async with serving(answering(CHUNKED + b"1\r\na\r\nnoise\r\n")) as server:
        connection, asked = await connected(own, server.url)
        listening = Listening(connection)
        connection.send(asked, listening)
        await eventually_here(lambda: len(listening.told) == 3)
        assert listening.told == [200, b"a", httpx.RemoteProtocolError]
        await eventually_here(lambda: not own._pool._open)
        assert len(listening.told) == 3


async def test_one_that_pauses_is_told_the_rest_when_it_resumes(own: HttpTransport) -> None:
    size = 8 * 1024 * 1024
    sent = 0

    async def handle(reader: Any, writer: Any) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        for _ in range(size // 65536):
            writer.write(bytes(65536))
            await writer.drain()
            sent += 65536

    async with serving(handle) as server:
        connection, asked = await connected(own, server.url)
        listening = Listening(connection)
        listening._react["piece"] = lambda: connection.pause(listening)
        connection.send(asked, listening)
        await eventually_here(lambda: len(listening.text) > 0)
        await a_moment_here()
        assert len(listening.text) < size
        assert sent < size
        # No timeout runs meanwhile.
        assert connection._deadline_s == math.inf
        listening._react.clear()
        connection.resume(listening)
        await eventually_here(lambda: listening.told[-1] == "end")
        assert len(listening.text) == size


async def test_the_rest_can_be_told_to_another(own: HttpTransport) -> None:
    async with serving(answering(WHOLE)) as server:
        connection, asked = await connected(own, server.url)
        second = Listening(connection)
        first = Listening(connection)
        first._react["head"] = lambda: connection.replace(first, second)
        connection.send(asked, first)
        await eventually_here(lambda: "end" in second.told)
        assert (first.told, second.told) == ([200], [b"hi", "end"])
