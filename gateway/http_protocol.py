"""The HTTP server's own edge: what a stranger may take of it before and after the application has its say."""

import asyncio
import contextlib
import functools
import socket
import struct
from collections.abc import Callable
from typing import Any

import httptools
import uvicorn
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from gateway.api.departure import Departure, attach_departure
from gateway.api.operations import PROBES
from gateway.connections import SWEEP_S, Connections
from gateway.errors import GatewayError, HeadTooLargeError, SlowRequestError, TooManyConnectionsError
from gateway.http_answer import UntilClose, knows_chunks, malformed, refusal

HEADER_LINES_MAX = 128
LINGER_S = 2.0
"""How long a connection that was refused is still read from: closed at once, its answer could be lost on the way."""
TURNED_AWAY_MAX = 1000
"""So many beyond the most connections are told that there is no room; those after them are closed without a word."""
READ_BYTES_PER_S_MIN = 16 * 1024
"""What a client has to read of an answer once it has been slower than the server for the whole of `write_s`."""
RETRY_S = 1.0
_NO_LINGER = struct.pack("ii", 1, 0)


def bounded_by(connections: Connections) -> Callable[..., "BoundedProtocol"]:
    """What uvicorn calls for each new connection."""
    return functools.partial(BoundedProtocol, connections)


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with bounds. Requests on one connection are taken one at a time."""

    def __init__(
        self,
        connections: Connections,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._all = connections
        self._limits = connections.limits
        self._is_turned_away = False
        self._is_deaf = False
        """Whether what still comes is thrown away."""
        self._is_in_head = False
        self._is_in_message = False
        self._head_bytes = 0
        self._head_since_s = self._read_at_s = connections.now_s
        self._unread_bytes = 0
        self._unread_since_s: float | None = None
        self._gone_by_s: float | None = None
        self._departure = Departure()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or turn it away where there are too many."""
        super().connection_made(transport)
        excess = len(self._all.open) - self._limits.connections_max
        self._all.open.add(self)
        if excess >= TURNED_AWAY_MAX:
            transport.abort()
        elif excess >= 0:
            # Told when it has asked: clients do not expect an answer before, and probes have to have theirs.
            self._is_turned_away = True
            self._gone_by_s = self._all.now_s + LINGER_S + SWEEP_S

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of it."""
        self._all.open.discard(self)
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self._departure.happen()

    def data_received(self, data: bytes) -> None:
        """Parse what came; in pieces no longer than a head may be, so that none can be longer than twice that."""
        if self._is_deaf:
            return
        self._read_at_s = self._all.now_s
        self._unset_keepalive_if_required()
        size_max = self._limits.head_bytes_max
        for start in range(0, len(data), size_max):
            if not self._is_deaf:
                self._feed(data[start : start + size_max])

    def _feed(self, data: bytes) -> None:
        was_in_message = self._is_in_message
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._decline_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            self._refuse(error.__context__ or error)
        except httptools.HttpParserError:
            self._refuse(malformed())
        else:
            if self._is_in_head:
                # Where the message began in the middle of these bytes, they are not all its own.
                self._head_bytes += len(data) if self._head_bytes or not was_in_message else 1
                if self._head_bytes > self._limits.head_bytes_max:
                    self._refuse(HeadTooLargeError(self._limits.head_bytes_max))

    def on_message_begin(self) -> None:
        """A request begins. One that does not wait for the answer before it is not taken (RFC 9112, 9.3.2)."""
        if self.cycle is not None:
            if not self.cycle.response_complete:
                raise _PipelinedError
            self._head_since_s = self._all.now_s
        self._is_in_head = self._is_in_message = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole: hold it against its bounds, and begin to answer."""
        size = len(self.url) + sum([len(name) + len(value) for name, value in self.headers])
        if size > self._limits.head_bytes_max or len(self.headers) > HEADER_LINES_MAX:
            raise HeadTooLargeError(self._limits.head_bytes_max)
        if self._is_turned_away and self.url not in PROBES:
            raise TooManyConnectionsError(retry_after_s=RETRY_S)
        if self.parser.should_upgrade():
            return
        if not knows_chunks(self.parser.get_http_version()):
            # Such a client does not wait for a 100 (RFC 9110, 10.1.1).
            self.expect_100_continue = False
        super().on_headers_complete()
        self._is_in_head = False

    def _decline_upgrade(self, rest: bytes) -> None:
        """Read the request as one that asks for nothing but its own version of HTTP (RFC 9110, 7.8).

        Java's own client asks for HTTP/2 with every request, and the parser takes no body of one that does.
        """
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(malformed())
            return
        lines = [b"%s: %s\r\n" % each for each in self.headers if each[0] != b"upgrade"]
        version = self.parser.get_http_version().encode()
        head = b"".join([method, b" ", self.url, b" HTTP/", version, b"\r\n", *lines, b"\r\n"])
        self.parser = httptools.HttpRequestParser(self)
        self._feed(head + rest)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self.parser.should_upgrade():
            return
        self._is_in_message = False
        super().on_message_complete()
        # A client whose connection is not read from cannot be seen to leave, and there is no more to hold back.
        self.flow.resume_reading()

    def on_response_complete(self) -> None:
        """The answer is written: nobody will ask for what is left of the body."""
        self.cycle.body.clear()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client does not keep up."""
        super().pause_writing()
        self._unread_bytes = self.transport.get_write_buffer_size()
        self._unread_since_s = self._all.now_s

    def resume_writing(self) -> None:
        """It caught up."""
        super().resume_writing()
        self._unread_since_s = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        async def whole_or_cut(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            try:
                await app(scope, receive, send if knows_chunks(cycle.scope["http_version"]) else UntilClose(cycle).send)
            finally:
                if cycle.response_started and not cycle.response_complete:
                    # Closed in the usual way, what is unsent would be kept for a client that may never read it.
                    self._drop()

        self._departure = Departure()
        attach_departure(cycle.scope, self._departure)
        super()._start_asgi_task(cycle, whole_or_cut)

    def check(self) -> None:
        """Look whether the client took too long, at the time of the sweep."""
        now_s, limits = self._all.now_s, self._limits
        if self._gone_by_s is not None:
            if now_s >= self._gone_by_s:
                self._drop()
        elif self._unread_since_s is not None:
            read_bytes = self._unread_bytes - self.transport.get_write_buffer_size()
            if now_s - self._unread_since_s >= limits.write_s + read_bytes / READ_BYTES_PER_S_MIN:
                self._drop()
        elif self.transport.is_closing():
            self._gone_by_s = now_s + limits.write_s
        elif not self._is_deaf:
            self._check_reading(now_s)

    def _check_reading(self, now_s: float) -> None:
        limits, cycle = self._limits, self._last_cycle()
        if self._is_in_head or cycle is None:
            if now_s - self._head_since_s >= limits.head_s:
                if self._is_in_head:
                    self._refuse(SlowRequestError("headers"))
                else:
                    self._drop()
        elif self._is_in_message:
            is_asked_for = not self.flow.read_paused and not cycle.waiting_for_100_continue
            if is_asked_for and now_s - self._read_at_s >= limits.read_s:
                self._refuse(SlowRequestError("body"))
        elif cycle.response_complete and self.timeout_keep_alive_task is None:
            # Bytes that begin no request ended the time for an idle connection, and nobody counts it any more.
            self.transport.close()

    def _refuse(self, error: BaseException) -> None:
        """Answer a request that does not reach the application, and close."""
        cycle = self._last_cycle()
        if cycle is not None and not cycle.response_complete:
            if not self._is_in_message:
                # It was read whole, and is being answered; the fault is in what came after it.
                self._hear_no_more()
                return
            if cycle.response_started:
                self._drop()
                return
            self._leave(cycle)
        elif self._is_in_message and not self._is_in_head:
            # It has its answer already.
            self._drop()
            return
        self._is_deaf = True
        self._gone_by_s = self._all.now_s + LINGER_S + SWEEP_S
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        ours = error if isinstance(error, GatewayError) else malformed()
        is_head = self._is_in_message and self.parser.get_method() == b"HEAD"
        self.transport.write(refusal(ours, self.server_state.default_headers, is_head=is_head))
        self.transport.write_eof()

    def _hear_no_more(self) -> None:
        """Let the answer that is being made be the last one."""
        self._is_deaf = True
        self.cycle.keep_alive = False
        if self.cycle.response_complete:
            self.transport.close()

    def _drop(self) -> None:
        """End the connection now, with all that is unsent."""
        self._is_deaf = True
        cycle = self._last_cycle()
        if cycle is not None:
            self._leave(cycle)
        is_half = cycle is not None and not self.transport.is_closing() and _is_half_until_close(cycle)
        if self.transport.get_write_buffer_size() or is_half:
            # By a reset. Otherwise the system would go on offering what it holds, for minutes; and half a response
            # without a length would look whole. The socket may be gone already.
            with contextlib.suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def _leave(self, cycle: RequestResponseCycle) -> None:
        """Tell the application that its client is gone."""
        cycle.disconnected = True
        cycle.message_event.set()
        self._departure.happen()

    def _last_cycle(self) -> RequestResponseCycle | None:
        """The latest request and its answer; None before the first."""
        return self.cycle


class _PipelinedError(Exception):
    """A request came before the last one was answered."""


def _is_half_until_close(cycle: RequestResponseCycle) -> bool:
    """Return whether a response was cut that ends with its connection (RFC 9112, 8)."""
    is_under_way = cycle.response_started and not cycle.response_complete
    return is_under_way and not knows_chunks(cycle.scope["http_version"])
