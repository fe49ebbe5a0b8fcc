"""Send an answer to a client's connection by plain calls, for an exchange that is driven by callbacks."""

from collections.abc import Callable

from gateway.api.asgi_sink import SLICE_BYTES
from gateway.api.client_connection import ClientConnection
from gateway.api.request_context import RequestContext
from gateway.clock import Clock
from gateway.exchange.client_response import ClientResponse


class ConnectionSink:
    """Send the answer of one exchange. It never waits: its driver has to look at `is_slow`."""

    def __init__(
        self, connection: ClientConnection, response: ClientResponse, context: RequestContext, clock: Clock
    ) -> None:
        self._connection = connection
        self._response = response
        self._context = context
        self._clock = clock
        self._unsent: memoryview | None = None
        """Rest of the last part, which waits for the client."""
        self._has_sent = False
        """True if a part of the answer was sent since the last `check`, which ends a silence."""

    @property
    def on_ready(self) -> Callable[[], None] | None:
        """Return the callback for a client that has caught up."""
        return self._connection.on_ready

    @on_ready.setter
    def on_ready(self, callback: Callable[[], None] | None) -> None:
        self._connection.on_ready = callback

    @property
    def is_slow(self) -> bool:
        """Return True if the client does not keep up."""
        return self._connection.is_slow

    def send(self, frames: bytes) -> bool:
        """Send encoded events of the stream; return False if the client is slow now."""
        self._has_sent = True
        if not self._response.has_begun:
            self._begin(self._clock.monotonic_s(), None)
        return self._connection.write(frames)

    def finish(self, body: bytes) -> bool:
        """Send the last part of a stream, or the whole body. While the client is slow, nothing is sent.

        The write buffer would otherwise hold a large body after the exchange ended and released its memory and seat.
        """
        self._response.is_finished = True
        if not self._response.has_begun:
            self._begin(self._clock.monotonic_s(), body)
        if len(body) <= SLICE_BYTES and not self._connection.is_slow:
            self._connection.finish(body)
            return True
        self._unsent = memoryview(body)
        return self.finish_rest()

    def finish_rest(self) -> bool:
        """Send slices of the last part while the client keeps up; return True if all is sent."""
        connection = self._connection
        while self._unsent is not None and not connection.is_slow:
            part, rest = self._unsent[:SLICE_BYTES], self._unsent[SLICE_BYTES:]
            if rest:
                self._unsent = rest
                connection.write(bytes(part))
            else:
                self._unsent = None
                connection.finish(bytes(part))
        return self._unsent is None

    def check(self, now_s: float) -> None:
        """Send keep-alive data after a silence, unless it would only queue behind other data."""
        response = self._response
        if self._has_sent:
            # Noted here rather than with each chunk: a few milliseconds do not matter.
            self._has_sent = False
            response.output_sent(now_s)
        if now_s < response.keepalive_at_s or response.is_finished or self._connection.is_slow:
            return
        if not response.has_begun:
            self._begin(now_s, None)
        if data := response.keepalive(now_s):
            self._connection.write(data)

    async def fail(self, last_event: bytes) -> None:
        """Send the failure of a stream as its last event."""
        self._connection.finish(last_event)

    def close(self) -> None:
        """Call the driver no more."""
        self._connection.on_ready = self._unsent = None

    def _begin(self, now_s: float, whole_body: bytes | None) -> None:
        self._connection.begin((*self._response.begin(whole_body), *self._context.headers(now_s)))
