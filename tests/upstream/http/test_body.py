"""A response for a task that reads it slower than it arrives; all else is told by test_transport*.py."""

from typing import Any

import httpx
import pytest

from gateway.upstream.http.body import BUFFER_BYTES_MAX, Body


class Paused:
    """Stands for a connection, and knows whether it reads."""

    is_paused = False
    left = 0

    def pause(self, _listener: Body) -> None:
        self.is_paused = True

    def resume(self, _listener: Body) -> None:
        self.is_paused = False

    def hold_timeout(self, _listener: Body) -> None: ...

    def leave(self, _listener: Body) -> None:
        self.left += 1


async def test_reading_stops_at_the_bound_and_goes_on_when_all_is_read() -> None:
    connection: Any = Paused()
    body = Body(connection)
    half = bytes(BUFFER_BYTES_MAX // 2)
    body.piece_received(half)
    body.piece_received(half)
    assert not connection.is_paused
    body.piece_received(b"x")
    assert connection.is_paused
    assert await anext(body) == half + half + b"x"
    body.response_ended()
    assert [piece async for piece in body] == []


async def test_what_came_before_a_failure_is_read_first() -> None:
    connection: Any = Paused()
    body = Body(connection)
    body.piece_received(b"a")
    body.response_failed(httpx.ReadError("lost"))
    assert await anext(body) == b"a"
    with pytest.raises(httpx.ReadError, match="lost"):
        await anext(body)


async def test_one_that_is_closed_says_so_and_leaves_once() -> None:
    connection: Any = Paused()
    body = Body(connection)
    body.close()
    body.close()
    with pytest.raises(httpx.ReadError):
        await anext(body)
    assert connection.left == 1
