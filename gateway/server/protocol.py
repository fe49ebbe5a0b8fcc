"""Enforce the server's limits on client connections, before and after the application handles a request."""

import asyncio
import contextlib
import functools
import secrets
import socket
import struct
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from uvicorn.server import ServerState

from gateway.api.client_connection import attach_client_connection, detach_client_connection
from gateway.api.disconnect import Disconnect, attach_disconnect
from gateway.api.key_acceptance import Acceptance, attach_acceptance
from gateway.api.probes import PROBES
from gateway.body_rate import LINGER_S, UnreadResponse
from gateway.connection_limits import RETRY_S, SWEEP_S, Connections, Refusal, Standing
from gateway.errors import GatewayError, SlowRequestError, TooManyConnectionsError
from gateway.server.connection_state import Answering, Reading, answering
from gateway.server.early_responses import UntilClose, is_half_until_close, knows_chunks, malformed, refusal, refusal_of
from gateway.server.request_parser import ReadingProtocol
from gateway.server.response_writer import ResponseWriter

_NO_LINGER = struct.pack("ii", 1, 0)


def bounded_by(connections: Connections) -> Callable[..., "BoundedProtocol"]:
    """Return the protocol factory that uvicorn calls for each new connection."""
    return functools.partial(BoundedProtocol, connections)


class BoundedProtocol(ReadingProtocol):
    """Serve one connection: enforce timeouts for each part of a request, and answer requests that are rejected."""

    __slots__ = (
        "_acceptance", "_closes_at_s", "_disconnect", "_holder", "_is_turned_away", "_unread", "_writer",
    )  # fmt: skip

    def __init__(
        self,
        connections: Connections,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(connections, config, server_state, app_state, _loop)
        self._is_turned_away = False
        """True until the connection may serve requests: all but probes are answered with 503."""
        self._unread: UnreadResponse | None = None
        """Set while the write buffer is full."""
        self._closes_at_s: float | None = None
        """Time at which it is dropped, whatever is unsent then; None if its end is not decided."""
        self._disconnect = Disconnect()
        self._acceptance = Acceptance()
        self._writer: ResponseWriter | None = None
        self._holder: str | None = None
        """Tenant whose request is being answered."""

    @property
    def is_held(self) -> bool:
        """Return True if a tenant's request, or a guest's completely received request, is being answered."""
        cycle = self._last_cycle()
        if cycle is None or cycle.response_complete or self._closes_at_s is not None:
            return False
        return self._acceptance.is_tenant or (self._acceptance.is_guest and not self._reading.is_in_message)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Admit the connection, or reject it if there are too many."""
        super().connection_made(transport)
        if self._all.admit(self):
            return
        self._all.open.add(self)
        if self._all.turned_away > self._limits.turned_away_max:
            self._all.refused(Refusal.NO_ROOM, "")
            transport.abort()
        else:
            # Answered with 503 after its request: clients expect no answer before, and probes must be served.
            self._is_turned_away = True
            self._closes_at_s = self._all.now_s + LINGER_S + SWEEP_S

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the connection, and report the disconnect."""
        self._all.forget(self)
        self._unclaim()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
        self._report_disconnect()
        # All of them lead back here. Without these references a closed connection is freed at once, not by a garbage
        # collection, which is rare (`server._calm_collector`).
        self.cycle = self.parser = self.scope = self._writer = None  # type: ignore[assignment]
        self._acceptance = Acceptance()

    def evict(self) -> None:
        """Close at once, to make room for another connection."""
        self._drop()

    def _claim(self, tenant: str) -> None:
        if self not in self._all.open:
            # The client left before its key was checked, and the connection will not be lost again.
            return
        self._unclaim()
        self._all.claim(tenant)
        self._holder = tenant

    def _unclaim(self) -> None:
        if self._holder is not None:
            self._all.unclaim(self._holder)
            self._holder = None

    def _check_room(self) -> None:
        if self._is_turned_away and self.url not in PROBES:
            # Since this connection was opened, another one may have been closed, or may have become evictable.
            if not self._all.admit(self):
                raise TooManyConnectionsError(retry_after_s=RETRY_S)
            self._is_turned_away, self._closes_at_s = False, None

    def on_message_begin(self) -> None:
        """Record that a request begins."""
        super().on_message_begin()
        self._all.move(self, Standing.INCOMPLETE)

    def on_message_complete(self) -> None:
        """Record that a request was received completely."""
        super().on_message_complete()
        if self._reading.is_in_message:
            return
        self._all.move(self, Standing.IDLE if self.cycle.response_complete else Standing.UNKNOWN)
        if self.cycle.response_complete and not self.transport.is_closing():
            # The response started the keep-alive timeout, and the rest of the body, received since, cancelled it.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """Record that the response is complete, and discard the buffered body, which will not be read."""
        self.cycle.body.clear()
        self._unclaim()
        if self._reading.is_in_message:
            self._pace.begin(self._all.now_s, self._framing.body_bytes)
        self._all.move(self, Standing.LINGERING if self._reading.is_in_message else Standing.IDLE)
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Record that the write buffer is full: the client reads too slowly."""
        super().pause_writing()
        self._unread = UnreadResponse(self._all.now_s, self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        """Record that the client has caught up."""
        super().resume_writing()
        self._unread = None
        if self._writer is not None:
            self._writer.ready()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        async def whole_or_cut(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            try:
                await app(scope, receive, send if knows_chunks(cycle.scope["http_version"]) else UntilClose(cycle).send)
            finally:
                detach_client_connection(cycle.scope)
                if cycle.response_started and not cycle.response_complete:
                    # A regular close would keep unsent data in memory for a client that may never read it.
                    self._drop()

        self._disconnect, self._acceptance = Disconnect(), Acceptance(self._claim)
        attach_disconnect(cycle.scope, self._disconnect)
        attach_acceptance(cycle.scope, self._acceptance)
        if knows_chunks(cycle.scope["http_version"]) and cycle.scope["method"] != "HEAD":
            self._writer = ResponseWriter(cycle)
            attach_client_connection(cycle.scope, self._writer)
        super()._start_asgi_task(cycle, whole_or_cut)

    def check(self) -> None:
        """Enforce the timeout that applies now, at the time of the sweep: the end of the connection comes first."""
        now_s, write_s = self._all.now_s, self._limits.write_s
        if self._closes_at_s is not None:
            if now_s >= self._closes_at_s:
                self._drop()
        elif self._unread is not None:
            if self._unread.is_too_slow(now_s, self.transport.get_write_buffer_size(), write_s=write_s):
                self._drop()
        elif self.transport.is_closing():
            self._closes_at_s = now_s + write_s
        else:
            self._check_reading(now_s)

    def _check_reading(self, now_s: float) -> None:
        is_head_late = now_s - self._head_since_s >= self._limits.head_s
        match self._reading, answering(self._last_cycle()):
            case Reading.HEAD, _:
                if is_head_late:
                    self._refuse(SlowRequestError("headers"))
            case Reading.BODY, _:
                self._check_body(self.cycle, now_s)
            case Reading.BETWEEN, Answering.NONE:
                if is_head_late:
                    self._drop()
            case Reading.BETWEEN, Answering.COMPLETE:
                if self.timeout_keep_alive_task is None:
                    # Bytes that begin no request cancelled this timeout, so the connection would never be closed.
                    self.transport.close()
            case _:
                # The application has its own timeouts for a response, and discarded data has none.
                pass

    def _check_body(self, cycle: RequestResponseCycle, now_s: float) -> None:
        """Check that the body arrives at the minimum rate, or that a body that is only discarded ends in time."""
        came_bytes, read_s = self._framing.body_bytes, self._limits.read_s
        if cycle.response_complete:
            if self._pace.is_linger_over(now_s, came_bytes):
                self._drop()
        elif self.flow.read_paused or cycle.waiting_for_100_continue:
            # The application does not read the body yet: the timeout starts when it does.
            self._read_at_s = now_s
            self._pace.begin(now_s, came_bytes)
        elif now_s - self._read_at_s >= read_s or self._pace.is_too_slow(now_s, came_bytes, read_s=read_s):
            self._refuse(SlowRequestError("body"))

    def _refuse(self, error: BaseException) -> None:
        """Answer with an error, if the client would take it for the answer to this request; close the connection."""
        request_id, answer = "", error if isinstance(error, GatewayError) else malformed()
        match self._reading, answering(self._last_cycle()):
            case ((Reading.HEAD | Reading.BODY), Answering.PENDING):
                self._abandon(self.cycle)
                request_id = self._answer_refusal(answer)
            case ((Reading.HEAD | Reading.BODY), Answering.STARTED) | (Reading.BODY, Answering.COMPLETE):
                # The client has received a response to this request already, or a part of one.
                self._drop()
            case _, (Answering.PENDING | Answering.STARTED):
                # This request is complete and being answered; the error is in the data after it.
                self._close_after_response()
            case _, (Answering.NONE | Answering.COMPLETE):
                request_id = self._answer_refusal(answer)
        self._all.refused(refusal_of(error), request_id)

    def _answer_refusal(self, error: GatewayError) -> str:
        """Answer with an error, and close; return its request id, empty if the connection is closing already."""
        is_head = self._reading.is_in_message and self.parser.get_method() == b"HEAD"
        self._reading = Reading.DISCARD
        self._closes_at_s = self._all.now_s + LINGER_S + SWEEP_S
        self._all.move(self, Standing.LINGERING)
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return ""
        self.flow.resume_reading()
        request_id = secrets.token_hex(16)
        headers = self.server_state.default_headers
        self.transport.write(refusal(error, headers, request_id=request_id, is_head=is_head))
        self.transport.write_eof()
        return request_id

    def _close_after_response(self) -> None:
        """Ignore further data, and close the connection after the current response."""
        self._reading = Reading.DISCARD
        self.cycle.keep_alive = False
        if self.cycle.response_complete:
            self.transport.close()

    def _drop(self) -> None:
        """Close the connection now, and discard unsent data."""
        self._reading = Reading.DISCARD
        cycle = self._last_cycle()
        if cycle is not None:
            self._abandon(cycle)
        is_half = cycle is not None and not self.transport.is_closing() and is_half_until_close(cycle)
        if self.transport.get_write_buffer_size() or is_half:
            # With a reset (SO_LINGER 0). Otherwise the system would keep retrying to send its buffer for minutes, and
            # an incomplete response without a length would look complete. The socket may be closed already.
            with contextlib.suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.transport.abort()

    def _abandon(self, cycle: RequestResponseCycle) -> None:
        """Report to the application that its client has disconnected."""
        cycle.disconnected = True
        cycle.message_event.set()
        self._report_disconnect()

    def _report_disconnect(self) -> None:
        self._disconnect.fire()
        if self._writer is not None:
            self._writer.ready()

    def _last_cycle(self) -> RequestResponseCycle | None:
        """Return the latest request and its response; None before the first request."""
        return self.cycle
