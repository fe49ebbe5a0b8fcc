"""Send an answer by ASGI messages, for an exchange that is driven in a task."""

import asyncio

import anyio
from litestar.types import Message, Send

from gateway.api.keepalive_scheduler import KeepAliveScheduler
from gateway.clock import Clock
from gateway.exchange.client_response import ClientResponse, Headers

SLICE_BYTES = 256 * 1024
"""Maximum size in bytes of one write of an answer in one piece."""


class AsgiSink:
    """Send the answer of one exchange.

    The server drops the connection of a client that does not read, which is then reported by the `Disconnect`.
    """

    def __init__(
        self, send: Send, response: ClientResponse, clock: Clock, keepalives: KeepAliveScheduler, request_id: str
    ) -> None:
        self._send = send
        self._response = response
        self._clock = clock
        self._keepalives = keepalives
        self._request_id = request_id
        self._is_writing = False
        self._keepalive_done: anyio.Event | None = None
        """Set while keep-alive data is written: other writes wait for it, to keep their order."""
        self._timer: asyncio.TimerHandle | None = None
        self._set_timer()

    async def send(self, frames: bytes) -> None:
        """Send encoded events of the stream."""
        while self._keepalive_done is not None:
            await self._keepalive_done.wait()
        self._response.output_sent(self._clock.monotonic_s())
        if not self._response.has_begun:
            await self._begin(self._response.begin())
        await self._write(frames)

    async def finish(self, body: bytes) -> None:
        """Send the last part of a stream, or the whole body."""
        while self._keepalive_done is not None:
            await self._keepalive_done.wait()
        self._response.is_finished = True
        if not self._response.has_begun:
            await self._begin(self._response.begin(body))
        if len(body) > SLICE_BYTES:
            body = await self._write_slices(body)
        await self._write(body, is_last=True)

    async def fail(self, last_event: bytes) -> None:
        """Send the failure of a stream as its last event."""
        while self._keepalive_done is not None:
            await self._keepalive_done.wait()
        await self._write(last_event, is_last=True)

    def close(self) -> None:
        """Send no more keep-alive data."""
        if self._timer is not None:
            self._timer.cancel()

    async def _write_slices(self, body: bytes) -> bytes:
        """Write a large body except for its last slice, and return that slice.

        The server waits for a slow client before a write, not after it. A body in one write would stay in the server's
        buffer after the exchange ended and released its memory and seat.
        """
        view = memoryview(body)
        while len(view) > SLICE_BYTES:
            await self._write(bytes(view[:SLICE_BYTES]))
            view = view[SLICE_BYTES:]
        return bytes(view)

    async def _begin(self, headers: Headers) -> None:
        await self._send_message({"type": "http.response.start", "status": 200, "headers": list(headers)})

    async def _write(self, data: bytes, *, is_last: bool = False) -> None:
        await self._send_message({"type": "http.response.body", "body": data, "more_body": not is_last})

    async def _send_message(self, message: Message) -> None:
        self._is_writing = True
        try:
            await self._send(message)
        finally:
            self._is_writing = False

    def _set_timer(self) -> None:
        """Set the timer for keep-alive data. It is set again when it fires: to move it with every chunk costs more."""
        response = self._response
        left_s = response.keepalive_at_s - self._clock.monotonic_s()
        wait_s = left_s if left_s > 0 else response.keepalive_after_s
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._on_timer)

    def _on_timer(self) -> None:
        if self._clock.monotonic_s() >= self._response.keepalive_at_s:
            self._keepalives.schedule(self._request_id, self._send_keepalive)
        self._set_timer()

    async def _send_keepalive(self) -> None:
        """Write keep-alive data; the exchange's own writes wait for it.

        Return at once while another write waits for the client: keep-alive data would only queue behind it.
        """
        response = self._response
        if self._is_writing or response.is_finished:
            return
        done = self._keepalive_done = anyio.Event()
        try:
            if not response.has_begun:
                await self._begin(response.begin())
            if data := response.keepalive(self._clock.monotonic_s()):
                await self._write(data)
        finally:
            self._keepalive_done = None
            done.set()
