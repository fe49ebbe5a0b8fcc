"""Run an exchange and send its answer, as a stream or as one body, in the request's own task.

Litestar does not cancel a waiting request when its client disconnects, and leaves a stream's generator open then. So
these responses watch for the disconnect themselves. A failure before the first byte becomes an HTTP error; after it, an
event in a stream, or a broken connection in the middle of a JSON body.
"""

import asyncio
from typing import Protocol

import anyio
from litestar.types import Message, Receive, Scope, Send

from gateway.api.disconnect import Disconnect, disconnect_of, watch
from gateway.api.keepalive import KeepAliveIntervals, KeepAliveScheduler
from gateway.errors import GatewayError
from gateway.exchange.outcomes import Ending
from gateway.exchange.registry import AnyExchange, ExchangeRegistry
from gateway.translate.client_formats.contract import ClientFormat
from gateway.translate.error_body import INTERNAL_ERROR, error_answer
from gateway.wire.sse import KEEP_ALIVE

SLICE_BYTES = 256 * 1024
"""Maximum size in bytes of one write of an answer in one piece."""

Headers = tuple[tuple[bytes, bytes], ...]


class _Encoder(Protocol):
    """Encode one kind of answer for the wire."""

    headers: Headers
    keepalive_after_s: float

    def length_headers(self, body: bytes) -> Headers: ...

    def keepalive(self, silent_s: float) -> bytes: ...

    def output_was_sent(self) -> None: ...

    def failure(self, error: Exception) -> bytes | None: ...


class _EventStream:
    """Encode an answer as server-sent events."""

    headers: Headers = (
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"x-accel-buffering", b"no"),
    )

    def __init__(self, exchange: AnyExchange, client_format: ClientFormat, intervals: KeepAliveIntervals) -> None:
        self.keepalive_after_s = intervals.comment_s
        self._chunk_s = intervals.chunk_s
        self._exchange = exchange
        self._error_event = client_format.error_event
        self._idle_chunks = 0

    def length_headers(self, _body: bytes) -> Headers:
        return ()

    def keepalive(self, silent_s: float) -> bytes:
        """Return a comment, or an empty chunk once per `chunk_s` without output."""
        if silent_s < self._chunk_s * (self._idle_chunks + 1):
            return KEEP_ALIVE
        self._idle_chunks += 1
        return self._exchange.idle_chunk() or KEEP_ALIVE

    def output_was_sent(self) -> None:
        """Reset the count of empty chunks: output ended the silence."""
        self._idle_chunks = 0

    def failure(self, error: Exception) -> bytes:
        """Return the error as the last event."""
        return self._error_event(error_answer(error) if isinstance(error, GatewayError) else INTERNAL_ERROR)


class _WholeBody:
    """Encode an answer as one JSON body."""

    headers: Headers = ((b"content-type", b"application/json"),)

    def __init__(self, intervals: KeepAliveIntervals) -> None:
        self.keepalive_after_s = intervals.blank_s

    def length_headers(self, body: bytes) -> Headers:
        """Return the Content-Length header. Only called if no keep-alive data was sent before the body."""
        return ((b"content-length", str(len(body)).encode()),)

    def keepalive(self, _silent_s: float) -> bytes:
        """Return white space, which is allowed before the JSON."""
        return b"\n"

    def output_was_sent(self) -> None:
        """Do nothing: this answer has no output before its end."""

    def failure(self, _error: Exception) -> None:
        """Return None: after a 200 the only way to report a failure to the client is to break the connection."""
        return


class AnswerResponse:
    """Send the answer of one exchange; the sink that the exchange writes to.

    The server drops the connection of a client that does not read, which is then reported by the `Disconnect`.
    """

    def __init__(
        self,
        exchanges: ExchangeRegistry,
        exchange: AnyExchange,
        client_format: ClientFormat,
        intervals: KeepAliveIntervals,
        keepalives: KeepAliveScheduler,
    ) -> None:
        self._exchanges = exchanges
        self._exchange = exchange
        self._record = exchange.record
        self._encoder: _Encoder = (
            _EventStream(exchange, client_format, intervals) if exchange.is_stream else _WholeBody(intervals)
        )
        self._keepalives = keepalives
        self._send: Send | None = None
        self._has_begun = False
        self._is_finished = False
        self._is_writing = False
        self._output_at_s = self._sent_at_s = self._record.elapsed_s()
        self._timer: asyncio.TimerHandle | None = None
        self._keepalive_done: anyio.Event | None = None
        """Set while keep-alive data is written: other writes wait for it, to keep their order."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the exchange until it ends or the client disconnects."""
        self._send = send
        disconnect = disconnect_of(scope)
        if disconnect is None:
            await self._run_watched(receive)
        else:
            await self._run(disconnect)

    async def _run_watched(self, receive: Receive) -> None:
        """Run the exchange on a server that reports a disconnect only as a message."""
        disconnect, failure = Disconnect(), None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, receive, disconnect)
            try:
                await self._run(disconnect)
            except Exception as error:  # noqa: BLE001 - the group would raise an ExceptionGroup, which has no handler.
                failure = error
            tasks.cancel_scope.cancel()
        try:
            if failure is not None:
                raise failure
        finally:
            # Its traceback holds this frame.
            del failure

    async def _run(self, disconnect: Disconnect) -> None:
        disconnect.subscribe(self._client_left)
        self._set_timer(self._encoder.keepalive_after_s)
        try:
            await self._exchanges.run(self._exchange, self)
        except Exception as error:
            while self._keepalive_done is not None:
                await self._keepalive_done.wait()
            if not self._has_begun:
                raise
            await self._fail(error)
        finally:
            # Keep-alive data that is queued already must not be written after this.
            self._is_finished = True
            disconnect.subscribe(None)
            self._stop_timer()

    async def send(self, frames: bytes) -> None:
        """Send encoded events of the stream."""
        while self._keepalive_done is not None:
            await self._keepalive_done.wait()
        self._encoder.output_was_sent()
        if not self._has_begun:
            await self._begin()
        await self._write({"type": "http.response.body", "body": frames, "more_body": True})
        self._output_at_s = self._sent_at_s

    async def finish(self, body: bytes) -> None:
        """Send the last part of a stream, or the whole body."""
        while self._keepalive_done is not None:
            await self._keepalive_done.wait()
        self._is_finished = True
        if not self._has_begun:
            await self._begin(self._encoder.length_headers(body))
        if len(body) > SLICE_BYTES:
            body = await self._write_slices(body)
        await self._write({"type": "http.response.body", "body": body, "more_body": False})

    async def _write_slices(self, body: bytes) -> bytes:
        """Write a large body except for its last slice, and return that slice.

        The server waits for a slow client before a write, not after it. A body in one write would stay in the server's
        buffer after the exchange ended and released its memory and seat.
        """
        view = memoryview(body)
        while len(view) > SLICE_BYTES:
            await self._write({"type": "http.response.body", "body": bytes(view[:SLICE_BYTES]), "more_body": True})
            view = view[SLICE_BYTES:]
        return bytes(view)

    async def _begin(self, more_headers: Headers = ()) -> None:
        self._has_begun = True
        headers = [*self._encoder.headers, *more_headers]
        await self._write({"type": "http.response.start", "status": 200, "headers": headers})

    async def _write(self, message: Message) -> None:
        assert self._send is not None  # noqa: S101 - only a response that was called is written to.
        self._sent_at_s = self._record.elapsed_s()
        self._is_writing = True
        try:
            await self._send(message)
        finally:
            self._is_writing = False

    def _client_left(self) -> None:
        if not self._is_finished:
            self._exchange.end(Ending.CLIENT)

    def _set_timer(self, wait_s: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_timer)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _on_timer(self) -> None:
        """Send keep-alive data if nothing was sent for `keepalive_after_s`, and set the timer again.

        One timer is set again when it fires: to reset it with every chunk would cost more.
        """
        keepalive_after_s = self._encoder.keepalive_after_s
        left_s = self._sent_at_s + keepalive_after_s - self._record.elapsed_s()
        if left_s <= 0:
            self._keepalives.schedule(self._record.request_id, self._send_keepalive)
        self._set_timer(left_s if left_s > 0 else keepalive_after_s)

    async def _send_keepalive(self) -> None:
        """Write keep-alive data; the exchange's own writes wait for it.

        Return at once while another write waits for the client: keep-alive data would only queue behind it.
        """
        if self._is_writing or self._is_finished:
            return
        done = self._keepalive_done = anyio.Event()
        try:
            if not self._has_begun:
                await self._begin()
            sign = self._encoder.keepalive(self._record.elapsed_s() - self._output_at_s)
            await self._write({"type": "http.response.body", "body": sign, "more_body": True})
        finally:
            self._keepalive_done = None
            done.set()

    async def _fail(self, error: Exception) -> None:
        """Report a failure to a client whose response has started."""
        if not isinstance(error, GatewayError):
            self._exchanges.report(self._record.request_id, error)
        last = self._encoder.failure(error)
        if last is not None and not self._is_finished:
            self._is_finished = True
            await self._write({"type": "http.response.body", "body": last, "more_body": False})
