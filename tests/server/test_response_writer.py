"""What is written without ASGI's messages is what uvicorn writes for them, byte for byte."""

import asyncio
from typing import Any

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.server.response_writer import ResponseWriter


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True


class Cycle(RequestResponseCycle):
    def __init__(self, *, keep_alive: bool = True) -> None:
        self.wire = Wire()
        self.completed = 0
        transport: Any = self.wire
        super().__init__(
            scope={"type": "http", "method": "POST"},  # type: ignore[typeddict-item]
            transport=transport,
            flow=FlowControl(transport),
            logger=None,  # type: ignore[arg-type]
            access_logger=None,  # type: ignore[arg-type]
            access_log=False,
            default_headers=[(b"date", b"today")],
            message_event=asyncio.Event(),
            expect_100_continue=True,
            keep_alive=keep_alive,
            on_response=self.complete,
        )

    def complete(self) -> None:
        self.completed += 1

    @property
    def state(self) -> tuple[object, ...]:
        return (
            self.wire.written,
            self.wire.is_closed,
            self.completed,
            self.response_started,
            self.response_complete,
            self.waiting_for_100_continue,
            self.message_event.is_set(),
        )


HEADS: list[list[tuple[bytes, bytes]]] = [
    [(b"content-type", b"text/event-stream")],
    [(b"content-type", b"application/json"), (b"content-length", b"6")],
]


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize("headers", HEADS)
@pytest.mark.parametrize("parts", [[b"abc", b"def"], [b"abcdef"], [b"abcdef", b""]])
async def test_it_writes_what_uvicorn_writes(
    keep_alive: bool, headers: list[tuple[bytes, bytes]], parts: list[bytes]
) -> None:
    theirs, ours = Cycle(keep_alive=keep_alive), Cycle(keep_alive=keep_alive)
    await theirs.send({"type": "http.response.start", "status": 200, "headers": headers})
    writer = ResponseWriter(ours)
    writer.begin(headers)
    for part in parts[:-1]:
        await theirs.send({"type": "http.response.body", "body": part, "more_body": True})
        assert writer.write(part)
        assert ours.state == theirs.state
    await theirs.send({"type": "http.response.body", "body": parts[-1], "more_body": False})
    writer.finish(parts[-1])
    assert ours.state == theirs.state


async def test_after_a_disconnect_nothing_is_written_and_nothing_is_slow() -> None:
    cycle = Cycle()
    writer = ResponseWriter(cycle)
    cycle.flow.pause_writing()
    assert writer.is_slow
    assert not writer.write(b"slow")
    cycle.disconnected = True
    assert not writer.is_slow
    writer.begin([])
    writer.write(b"a")
    writer.finish(b"b")
    assert (cycle.wire.written, cycle.completed) == (b"4\r\nslow\r\n", 0)


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb", b"a\0b"])
async def test_a_header_that_would_end_its_line_is_refused(value: bytes) -> None:
    cycle = Cycle()
    with pytest.raises(ValueError, match="line break"):
        ResponseWriter(cycle).begin([(b"x-fairpod-job-id", value)])
    assert cycle.wire.written == b""
