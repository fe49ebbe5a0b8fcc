"""Responses that own their exchange: opened, run and closed in the request's own task.

Litestar cancels nobody while a request waits, and leaves a stream's generator open when its client goes; so these
responses watch for the client themselves. Before the first byte a failure is an HTTP error, after it an event.
"""

from typing import Protocol

import anyio
import msgspec
from litestar.types import Message, Receive, Scope, Send

from gateway.errors import GatewayError
from gateway.exchange.exchanges import AnyExchange, Exchanges
from gateway.translate.error_body import INTERNAL_ERROR, error_answer
from gateway.wire.sse import KEEP_ALIVE, encode_event


class Rhythm(msgspec.Struct, frozen=True, kw_only=True):
    """How long an answer may be silent before it shows life, in seconds."""

    comment_s: float = 10.0
    """A stream's comment. Also how long its status line is held back, so that an early failure can still be an HTTP
    error; proxies on the way cut silence of 60 s."""
    chunk_s: float = 60.0
    """A stream's empty chunk: LangChain gives up 120 s after the last chunk, and counts no comments."""
    blank_s: float = 50.0
    """A blank line before the JSON of an answer that is no stream, as DeepSeek sends it. The price is a 200 that may
    have to be broken off, so not before proxies would give up."""
    stall_s: float = 60.0
    """How long a client may take to read what was sent, before it counts as gone: it holds a seat and a job."""


Headers = tuple[tuple[bytes, bytes], ...]


class _Manner(Protocol):
    """How one kind of answer looks on the wire."""

    headers: Headers
    patience_s: float

    def length_headers(self, body: bytes) -> Headers: ...

    def sign_of_life(self, silent_s: float) -> bytes: ...

    def output_was_sent(self) -> None: ...

    def failure(self, error: Exception) -> bytes | None: ...


class _EventStream:
    """Server-sent events."""

    headers: Headers = (
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-cache"),
        (b"x-accel-buffering", b"no"),
    )

    def __init__(self, exchange: AnyExchange, rhythm: Rhythm) -> None:
        self.patience_s = rhythm.comment_s
        self._chunk_s = rhythm.chunk_s
        self._exchange = exchange
        self._idle_chunks = 0

    def length_headers(self, _body: bytes) -> Headers:
        """None: a stream has no length."""
        return ()

    def sign_of_life(self, silent_s: float) -> bytes:
        """A comment, and now and then a chunk."""
        if silent_s < self._chunk_s * (self._idle_chunks + 1):
            return KEEP_ALIVE
        self._idle_chunks += 1
        return self._exchange.idle_chunk() or KEEP_ALIVE

    def output_was_sent(self) -> None:
        """The next silence is counted from its beginning."""
        self._idle_chunks = 0

    def failure(self, error: Exception) -> bytes:
        """The error as the last event. No `[DONE]`: that belongs to the good end."""
        answer = error_answer(error) if isinstance(error, GatewayError) else INTERNAL_ERROR
        return encode_event(answer.body)


class _WholeBody:
    """One JSON body."""

    headers: Headers = ((b"content-type", b"application/json"),)

    def __init__(self, rhythm: Rhythm) -> None:
        self.patience_s = rhythm.blank_s

    def length_headers(self, body: bytes) -> Headers:
        """The length, where the answer begins with its body."""
        return ((b"content-length", str(len(body)).encode()),)

    def sign_of_life(self, _silent_s: float) -> bytes:
        """White space before the JSON."""
        return b"\n"

    def output_was_sent(self) -> None:
        """Never before the end."""

    def failure(self, _error: Exception) -> None:
        """Nothing can be said after the 200: the connection is broken off, which clients take for what it is."""
        return


class AnswerResponse:
    """The response of one exchange, and the sink that the exchange writes to."""

    def __init__(self, exchanges: Exchanges, exchange: AnyExchange, rhythm: Rhythm) -> None:
        self._exchanges = exchanges
        self._exchange = exchange
        self._manner: _Manner = _EventStream(exchange, rhythm) if exchange.is_stream else _WholeBody(rhythm)
        self._stall_s = rhythm.stall_s
        self._send: Send | None = None
        self._has_begun = False
        self._is_finished = False
        self._output_at_s = exchange.record.elapsed_s()
        self._sent_at_s = self._output_at_s
        self._writing_since_s: float | None = None
        self._aside: anyio.Event | None = None
        """Set while the watcher writes a sign of life: two writes must not overtake each other."""

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Run the exchange until it ends or the client leaves."""
        self._send = send
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch, receive, tasks.cancel_scope)
            try:
                await self._exchanges.run(self._exchange, self)
            except Exception as error:  # noqa: BLE001 - nothing may leave a task group but in a group; raised below
                failure = error
            tasks.cancel_scope.cancel()
        if failure is not None:
            await self._fail(failure)

    async def send(self, frames: bytes) -> None:
        """Send a part of the stream."""
        if self._aside is not None:
            await self._aside.wait()
        self._output_at_s = self._exchange.record.elapsed_s()
        self._manner.output_was_sent()
        await self._begin()
        await self._body(frames, more_body=True)

    async def finish(self, body: bytes) -> None:
        """Send the last part, or all of it."""
        if self._aside is not None:
            await self._aside.wait()
        self._is_finished = True
        await self._begin(self._manner.length_headers(body))
        await self._body(body, more_body=False)

    async def _begin(self, more_headers: Headers = ()) -> None:
        if not self._has_begun:
            self._has_begun = True
            headers = [*self._manner.headers, *more_headers]
            await self._write({"type": "http.response.start", "status": 200, "headers": headers})

    async def _body(self, body: bytes, *, more_body: bool) -> None:
        await self._write({"type": "http.response.body", "body": body, "more_body": more_body})

    async def _write(self, message: Message) -> None:
        if self._send is None:
            raise RuntimeError("the response was not called")
        self._sent_at_s = self._writing_since_s = self._exchange.record.elapsed_s()
        try:
            await self._send(message)
        finally:
            self._writing_since_s = None

    async def _watch(self, receive: Receive, scope: anyio.CancelScope) -> None:
        """Notice the client leaving or no longer reading, and show it signs of life while it waits."""
        while True:
            with anyio.move_on_after(self._manner.patience_s):
                while (await receive())["type"] != "http.disconnect":
                    pass
                if not self._is_finished:
                    scope.cancel()
                return
            now_s = self._exchange.record.elapsed_s()
            if self._writing_since_s is not None:
                # A sign of life would only stand in the same line.
                is_stalled = now_s - self._writing_since_s >= self._stall_s
            else:
                is_due = now_s - self._sent_at_s >= self._manner.patience_s and not self._is_finished
                is_stalled = is_due and not await self._show_life(now_s - self._output_at_s)
            if is_stalled:
                scope.cancel()
                return

    async def _show_life(self, silent_s: float) -> bool:
        """Write a sign of life, which the exchange's own writes wait for; False if the client does not read it."""
        aside = self._aside = anyio.Event()
        try:
            with anyio.move_on_after(self._stall_s):
                await self._begin()
                await self._body(self._manner.sign_of_life(silent_s), more_body=True)
                return True
            return False
        finally:
            self._aside = None
            aside.set()

    async def _fail(self, error: Exception) -> None:
        if not self._has_begun:
            raise error
        if not isinstance(error, GatewayError):
            self._exchanges.report(self._exchange.record.request_id, error)
        last = self._manner.failure(error)
        if last is not None and not self._is_finished:
            with anyio.move_on_after(self._stall_s):
                await self._body(last, more_body=False)
