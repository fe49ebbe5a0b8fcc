"""Run an exchange and send its answer, as a stream or as one body, in the request's own task.

Litestar does not cancel a waiting request when its client disconnects, and leaves a stream's generator open then. So
these responses watch for the disconnect themselves. A failure before the first byte becomes an HTTP error; after it, an
event in a stream, or a broken connection in the middle of a JSON body.
"""

import anyio
from litestar.types import Receive, Scope, Send

from gateway.api.asgi_sink import AsgiSink
from gateway.api.client_connection import client_connection_of
from gateway.api.connection_sink import ConnectionSink
from gateway.api.disconnect import Disconnect, disconnect_of, watch
from gateway.api.keepalive_scheduler import KeepAliveScheduler
from gateway.api.request_context import request_context_of
from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.exchange.client_response import ClientResponse, KeepAliveIntervals
from gateway.exchange.connection_driver import ConnectionDriver
from gateway.exchange.outcomes import Ending
from gateway.exchange.registry import AnyExchange, ExchangeRegistry
from gateway.translate.client_formats.contract import ClientFormat


class AnswerResponse:
    """Run one exchange, and send its answer."""

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
        self._keepalives = keepalives
        self._clock: Clock = exchanges.clock
        self._response = ClientResponse(
            client_format,
            intervals,
            is_stream=exchange.is_stream,
            idle_chunk=exchange.idle_chunk,
            now_s=self._clock.monotonic_s(),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the exchange until it ends or the client disconnects."""
        exchange, disconnect = self._exchange, disconnect_of(scope)
        if disconnect is None:
            await self._run_watched(receive, self._asgi_sink(send))
        elif isinstance(exchange, ConnectionDriver):
            connection = client_connection_of(scope)
            assert connection is not None  # noqa: S101 - this driver is only used with one.
            sink = ConnectionSink(connection, self._response, request_context_of(scope), self._clock)
            await self._run(disconnect, sink)
        else:
            await self._run(disconnect, self._asgi_sink(send))

    def _asgi_sink(self, send: Send) -> AsgiSink:
        return AsgiSink(send, self._response, self._clock, self._keepalives, self._exchange.record.request_id)

    async def _run_watched(self, receive: Receive, sink: AsgiSink) -> None:
        """Run the exchange on a server that reports a disconnect only as a message."""
        disconnect, failure = Disconnect(), None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, receive, disconnect)
            try:
                await self._run(disconnect, sink)
            except Exception as error:  # noqa: BLE001 - the group would raise an ExceptionGroup, which has no handler.
                failure = error
            tasks.cancel_scope.cancel()
        try:
            if failure is not None:
                raise failure
        finally:
            # Its traceback holds this frame.
            del failure

    async def _run(self, disconnect: Disconnect, sink: AsgiSink | ConnectionSink) -> None:
        disconnect.subscribe(self._client_left)
        try:
            await self._exchanges.run(self._exchange, sink)
        except Exception as error:
            if not self._response.has_begun:
                raise
            await self._fail(error, sink)
        finally:
            # Keep-alive data that is queued already must not be written after this.
            self._response.is_finished = True
            disconnect.subscribe(None)
            sink.close()

    def _client_left(self) -> None:
        if not self._response.is_finished:
            self._exchange.end(Ending.CLIENT)

    async def _fail(self, error: Exception, sink: AsgiSink | ConnectionSink) -> None:
        """Report a failure to a client whose response has started."""
        if not isinstance(error, GatewayError):
            self._exchanges.report(self._exchange.record.request_id, error)
        last_event = self._response.failure(error)
        if last_event is not None and not self._response.is_finished:
            self._response.is_finished = True
            await sink.fail(last_event)
