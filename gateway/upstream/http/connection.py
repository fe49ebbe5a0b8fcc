"""Implement one connection: an `asyncio.Protocol` that carries one request at a time.

It uses plain futures and callbacks, one write for a small request, and one task switch per read: this is the hot path
of every call. Only the two `receive` methods wait.
"""

import asyncio
import math
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import cast

import httpx

from gateway.upstream.http.outgoing import Origin, Outgoing
from gateway.upstream.http.response import ResponseReader
from gateway.upstream.http.tls import has_said_goodbye

IDLE_S_MAX = 30.0
"""Seconds after which a free connection is closed: shorter than common servers' timeouts, so that they rarely close
first."""
BUFFER_BYTES_MAX = 64 * 1024
"""Maximum size of the unread body before reading is paused; the last read may exceed it by its own size."""
SLICE_BYTES = 64 * 1024
"""Size of one write. Between two slices the event loop runs, so that an early answer is noticed."""


class Connection(asyncio.Protocol):
    """Represent a connection to an origin: used by one request at a time, and free after a complete response."""

    def __init__(
        self,
        origin: Origin,
        sock: socket.socket,
        *,
        on_free: Callable[["Connection"], None],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self.origin = origin
        self.is_stale = False
        """True if a reused connection was lost before the first byte of the next response."""
        self.ssl_object: ssl.SSLObject | None = None
        self._sock = sock
        self._on_free = on_free
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._is_reused = False
        self._reader: ResponseReader | None = None
        self._request: Outgoing | None = None
        self._unsent: deque[memoryview] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: httpx.TransportError | None = None
        self._is_reading_paused = False
        self._is_writing_paused = False
        self._deadline_s = math.inf
        self._end_s = math.inf
        """Time at which the current request has to be complete, however much of its response has arrived."""
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at_s = math.inf

    @property
    def is_open(self) -> bool:
        """Return True if it is connected."""
        return self._transport is not None

    def send(self, request: Outgoing) -> ResponseReader:
        """Write a request. The connection must be free."""
        assert self._transport is not None  # noqa: S101 - it is connected before it is used.
        assert self._reader is None  # noqa: S101 - one request at a time.
        reader = self._reader = ResponseReader(is_reply_to_head=request.method == "HEAD")
        self._request = request
        self._deadline_s = math.inf
        self._end_s = self._loop.time() + request.total_s_max
        if sum(map(len, request.parts)) <= SLICE_BYTES:
            self._transport.write(b"".join((request.head, *request.parts)))
        else:
            self._transport.write(request.head)
            self._unsent = deque(memoryview(part) for part in request.parts if part)
            self._write_on()
        return reader

    async def receive_head(self, reader: ResponseReader) -> None:
        """Wait for the head of the response.

        Raises:
            httpx.TransportError: It did not arrive.
        """
        self._set_deadline()
        while not reader.has_head:
            await self._wait(reader)
        # Once its response is complete, the connection may carry another request.
        if self._reader is reader:
            self._deadline_s = math.inf

    async def receive(self, reader: ResponseReader) -> bytes:
        """Return the next piece of the body; empty at its end.

        Raises:
            httpx.TransportError: It broke off.
        """
        if not reader.is_readable:
            self._set_deadline()
            while not reader.is_readable:
                await self._wait(reader)
        piece = reader.take()
        if self._reader is reader:
            self._deadline_s = math.inf
            if self._is_reading_paused and self._transport is not None:
                self._is_reading_paused = False
                self._transport.resume_reading()
        return piece

    def leave(self, reader: ResponseReader) -> None:
        """Stop reading this response: unless it is complete, its connection is closed at once."""
        if self._reader is reader:
            self.abort()

    def abort(self) -> None:
        """Close at once. Unsent data is dropped."""
        self._unsent = None
        if self._transport is not None:
            self._transport.abort()

    def is_alive(self) -> bool:
        """Return True if a free connection can be used: the other side sent nothing, and did not close it.

        The socket is checked too: the event loop may not have delivered its events yet.
        """
        if self._transport is None or self._transport.is_closing():
            return False
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport. asyncio calls this once the TLS handshake is done."""
        self._transport = cast("asyncio.Transport", transport)
        self.ssl_object = transport.get_extra_info("ssl_object")

    def data_received(self, data: bytes) -> None:
        """Pass data to the reader of the response. Called by asyncio."""
        reader = self._reader
        if reader is None:
            self.abort()
            return
        try:
            reader.feed(data)
        except httpx.RemoteProtocolError as error:
            self._fail(error)
            return
        if reader.is_complete:
            self._finish(reader)
        elif reader.buffered_bytes > BUFFER_BYTES_MAX and not self._is_reading_paused and self._transport is not None:
            self._is_reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """End the response. asyncio calls this when the other side can send no further data."""
        reader = self._reader
        if reader is None or (self.ssl_object is not None and not has_said_goodbye(self.ssl_object)):
            return
        reader.end()
        if reader.is_complete:
            self._finish(reader)
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """Set the error of the current request. asyncio calls this once, for any end of the connection."""
        self._transport = None
        if self._alarm is not None:
            self._alarm.cancel()
        reader = self._reader
        if reader is not None and self._error is None:
            self.is_stale = self._is_reused and reader.is_untouched
            if self._unsent is not None:
                self._error = httpx.WriteError("the connection was lost while the request was sent")
            elif exc is not None:
                self._error = httpx.ReadError("the connection was lost")
            else:
                self._error = httpx.RemoteProtocolError("the connection was closed before the response was complete")
            self._error.__cause__ = exc
            reader.close()
        self._unsent = None
        self._wake()
        self._on_lost(self)

    def pause_writing(self) -> None:
        """Stop writing: the transport's buffer is full. Called by asyncio."""
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        """Continue writing. Called by asyncio."""
        self._is_writing_paused = False
        self._write_on()

    async def _wait(self, reader: ResponseReader) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        except BaseException:
            self.leave(reader)
            raise

    def _wake(self) -> None:
        if self._waiter is not None:
            if not self._waiter.done():
                self._waiter.set_result(None)
            self._waiter = None

    def _write_on(self) -> None:
        unsent = self._unsent
        if unsent is None or self._is_writing_paused or self._transport is None:
            return
        part = unsent.popleft()
        if len(part) > SLICE_BYTES:
            unsent.appendleft(part[SLICE_BYTES:])
        if not unsent:
            self._unsent = None
        self._transport.write(part[:SLICE_BYTES])
        if self._deadline_s != math.inf:
            self._set_deadline()
        if self._unsent is not None and not self._is_writing_paused:
            self._loop.call_soon(self._write_on)

    def _finish(self, reader: ResponseReader) -> None:
        """Free the connection after a complete response, or close it if it cannot carry another request."""
        self._reader = self._request = None
        if not reader.is_reusable or self._unsent is not None:
            self.abort()
            return
        self._is_reused = True
        self._set_deadline()
        self._on_free(self)

    def _fail(self, error: httpx.TransportError) -> None:
        self._error = error
        self.abort()
        self._wake()

    def _set_deadline(self) -> None:
        """Set the deadline for the next progress. One timer is moved rather than created for every wait."""
        now_s = self._loop.time()
        if self._request is None:
            self._deadline_s = now_s + IDLE_S_MAX
        else:
            wait_s = self._request.read_s_max if self._unsent is None else self._request.write_s_max
            self._deadline_s = min(now_s + wait_s, self._end_s)
        if self._deadline_s < self._alarm_at_s:
            if self._alarm is not None:
                self._alarm.cancel()
            self._set_alarm()

    def _set_alarm(self) -> None:
        self._alarm_at_s = self._deadline_s
        self._alarm = self._loop.call_at(self._alarm_at_s, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self._alarm_at_s = math.inf
        if self._deadline_s == math.inf:
            return
        if self._loop.time() < self._deadline_s:
            self._set_alarm()
        elif self._request is None:
            self.abort()
        elif self._unsent is not None:
            self._fail(httpx.WriteTimeout("timeout while sending the request"))
        else:
            self._fail(httpx.ReadTimeout("timeout while receiving the response"))
