"""One kept connection to a server, and what it saw of each answer."""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import httptools

from bench.speed.sizes import STAMP

_WRITTEN_AT = re.compile(rb"@(\d+\.\d+);")


@dataclass(slots=True)
class Answer:
    """One answer; times are monotonic seconds. The loop's own clock counts in milliseconds."""

    asked_s: float
    first_byte_s: float = 0.0
    end_s: float = 0.0
    status: int = 0
    chunks: int = 0
    is_whole: bool = False
    """It came to its end, and that of a stream is `[DONE]`."""
    last_bytes: bytes = b""
    arrivals: list[tuple[float, float]] = field(default_factory=list)
    """For each chunk, when it came, and how many seconds before the upstream had written it."""

    @property
    def is_good(self) -> bool:
        """Whether it is what was asked for."""
        return self.is_whole and self.status == 200

    @property
    def is_done_stream(self) -> bool:
        """Whether its last event was the end mark."""
        return b"[DONE]" in self.last_bytes


class Client(asyncio.Protocol):
    """Asks one thing at a time; opens its connection, again if it has to."""

    def __init__(self, port: int, on_end: Callable[["Client", Answer], None]) -> None:
        self._port = port
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: Answer | None = None

    async def connect(self) -> None:
        """Open the connection."""
        await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._transport is not None

    @property
    def is_busy(self) -> bool:
        """Whether an answer is due."""
        return self._answer is not None

    @property
    def chunks(self) -> int:
        """Of the answer that is coming."""
        return 0 if self._answer is None else self._answer.chunks

    def ask(self, request: bytes, asked_s: float | None = None) -> None:
        """Send a request; `asked_s` is when it was due, where that was before now."""
        self._answer = Answer(asked_s=asked_s or time.monotonic())
        if self._transport is None:
            self._end(is_whole=False)
        else:
            self._transport.write(request)

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is open."""
        self._parser = httptools.HttpResponseParser(self)
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _error: Exception | None) -> None:
        """It is closed, perhaps within an answer."""
        self._transport = None
        self._end(is_whole=False)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        """A part of the body."""
        answer = self._answer
        if answer is None:
            return
        now_s = time.monotonic()
        if not answer.first_byte_s:
            answer.first_byte_s = now_s
        answer.chunks += part.count(STAMP)
        answer.last_bytes = part[-32:]
        answer.arrivals.extend((now_s, now_s - float(each)) for each in _WRITTEN_AT.findall(part))

    def on_message_complete(self) -> None:
        """The answer is here."""
        if self._answer is not None:
            self._answer.status = self._parser.get_status_code()
        must_close = not self._parser.should_keep_alive()
        self._end(is_whole=True)
        if must_close:
            self.close()

    def _end(self, *, is_whole: bool) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.end_s, answer.is_whole = time.monotonic(), is_whole
            self._on_end(self, answer)


def http_request(path: str, body: str, key: str, *, method: str = "POST") -> bytes:
    """A request as bytes."""
    sent = body.encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(sent)}\r\n\r\n".encode() + sent
