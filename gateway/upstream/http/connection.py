"""Implement one connection: an `asyncio.Protocol` that carries one request at a time.

It tells a `Listener` what arrives, by callbacks: this is the hot path of every call. `body.py` offers a response to a
task that waits for it.
"""

import asyncio
import math
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import cast

import httpx

from gateway.upstream.http.listener import Listener
from gateway.upstream.http.outgoing import Origin, Outgoing
from gateway.upstream.http.response import ResponseReader
from gateway.upstream.http.tls import has_said_goodbye

IDLE_S_MAX = 30.0
"""Seconds after which a free connection is closed: shorter than common servers' timeouts, so that they rarely close
first."""
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
        on_first_head: Callable[["Connection"], None],
    ) -> None:
        """Create it; `on_first_head` is called once, when its first response begins."""
        self.origin = origin
        self.is_stale = False
        """True if a reused connection was lost before the first byte of the next response."""
        self.ssl_object: ssl.SSLObject | None = None
        self._sock = sock
        self._on_free = on_free
        self._on_lost = on_lost
        self._on_first_head = on_first_head
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._is_reused = False
        self._reader: ResponseReader | None = None
        self._listener: Listener | None = None
        self._request: Outgoing | None = None
        self._has_told_head = False
        self._unsent: deque[memoryview] | None = None
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

    def send(self, request: Outgoing, listener: Listener) -> None:
        """Write a request, and tell the listener its response. The connection must be free."""
        assert self._transport is not None  # noqa: S101 - it is connected before it is used.
        assert self._reader is None  # noqa: S101 - one request at a time.
        self._reader = ResponseReader(is_reply_to_head=request.method == "HEAD")
        self._listener = listener
        self._request = request
        self._has_told_head = False
        self._end_s = self._loop.time() + request.total_s_max
        if sum(map(len, request.parts)) <= SLICE_BYTES:
            self._transport.write(b"".join((request.head, *request.parts)))
        else:
            self._transport.write(request.head)
            self._unsent = deque(memoryview(part) for part in request.parts if part)
            self._deadline_s = math.inf
            self._write_on()
        self._set_deadline()

    def replace(self, listener: Listener, by: Listener) -> None:
        """Tell the rest of a response to another listener."""
        if self._listener is listener:
            self._listener = by

    def leave(self, listener: Listener) -> None:
        """Stop telling this listener its response: unless it is complete, its connection is closed at once."""
        if self._listener is listener:
            if self._reader is not None:
                self._reader.close()
            self._reader = self._listener = None
            self.abort()

    def pause(self, listener: Listener) -> None:
        """Stop reading: the listener cannot process more. No timeout runs meanwhile."""
        if self._listener is listener and self._transport is not None:
            self._deadline_s = math.inf
            if not self._is_reading_paused:
                self._is_reading_paused = True
                self._transport.pause_reading()

    def resume(self, listener: Listener) -> None:
        """Read again."""
        if self._listener is listener:
            self._resume_reading()
            self._set_deadline()

    def hold_timeout(self, listener: Listener) -> None:
        """Read on, without a timeout until `resume`: the listener holds data that it has not processed."""
        if self._listener is listener:
            self._deadline_s = math.inf

    def _resume_reading(self) -> None:
        if self._is_reading_paused and self._transport is not None:
            self._is_reading_paused = False
            self._transport.resume_reading()

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
        """Parse data, and tell the listener. Called by asyncio."""
        reader, listener = self._reader, self._listener
        if reader is None or listener is None:
            self.abort()
            return
        failure: httpx.RemoteProtocolError | None = None
        try:
            reader.feed(data)
        except httpx.RemoteProtocolError as error:
            failure = error
        if not self._has_told_head and reader.has_head:
            self._tell_head(reader, listener)
            # The listener may have left, or may be replaced.
            if (listener := self._listener) is None:
                return
        piece, is_complete = reader.take(), reader.is_complete and failure is None
        if is_complete:
            # Before the listener is told the end, which may make it send the next request.
            self._finish(reader)
        elif piece and not self._is_reading_paused:
            self._set_deadline()
        if piece:
            listener.piece_received(piece)
        if is_complete:
            listener.response_ended()
        elif failure is not None:
            self._fail(failure)

    def eof_received(self) -> None:
        """End the response. asyncio calls this when the other side can send no further data."""
        reader, listener = self._reader, self._listener
        if reader is None or listener is None:
            return
        if self.ssl_object is not None and not has_said_goodbye(self.ssl_object):
            return
        reader.end()
        if reader.is_complete:
            self._finish(reader)
            listener.response_ended()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the listener that its response is incomplete. asyncio calls this once, for any end of the connection."""
        self._transport = None
        if self._alarm is not None:
            self._alarm.cancel()
        reader, listener, unsent = self._reader, self._listener, self._unsent
        self._reader = self._listener = self._unsent = None
        self._on_lost(self)
        if reader is None or listener is None:
            return
        self.is_stale = self._is_reused and reader.is_untouched
        reader.close()
        listener.response_failed(_lost(exc, is_sending=unsent is not None))

    def pause_writing(self) -> None:
        """Stop writing: the transport's buffer is full. Called by asyncio."""
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        """Continue writing. Called by asyncio."""
        self._is_writing_paused = False
        self._write_on()

    def _tell_head(self, reader: ResponseReader, listener: Listener) -> None:
        self._has_told_head = True
        if not self._is_reused:
            self._on_first_head(self)
        self._set_deadline()
        listener.head_received(reader)

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
        self._reader = self._listener = self._request = None
        if not reader.is_reusable or self._unsent is not None:
            self.abort()
            return
        self._is_reused = True
        self._resume_reading()
        self._set_deadline()
        self._on_free(self)

    def _fail(self, error: httpx.TransportError) -> None:
        reader, listener = self._reader, self._listener
        self._reader = self._listener = None
        self.abort()
        if reader is not None and listener is not None:
            reader.close()
            listener.response_failed(error)

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


def _lost(cause: Exception | None, *, is_sending: bool) -> httpx.TransportError:
    error: httpx.TransportError
    if is_sending:
        error = httpx.WriteError("the connection was lost while the request was sent")
    elif cause is not None:
        error = httpx.ReadError("the connection was lost")
    else:
        error = httpx.RemoteProtocolError("the connection was closed before the response was complete")
    error.__cause__ = cause
    return error
