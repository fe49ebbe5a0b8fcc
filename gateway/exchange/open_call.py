"""Report the response to one call to the exchange that waits for it, by callbacks."""

from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Protocol

import anyio

from gateway.errors import UnreachableError
from gateway.exchange.exchange import Exchange
from gateway.exchange.sink import CallbackSink
from gateway.upstream.client import decoded_rest, read_head
from gateway.upstream.failures import unreachable
from gateway.upstream.http.connection import Connection
from gateway.upstream.http.listener import Listener, TransportError
from gateway.upstream.http.response import ResponseReader


class Driver(Protocol):
    """Define what a call needs of the driver of its exchange."""

    def process(self, event: Callable[[], object]) -> None:
        """Let the exchange process an event, and carry out what follows from it."""
        ...

    def go_on(self) -> None:
        """Carry out what follows from the last event."""
        ...

    def broke(self, error: Exception) -> None:
        """End the exchange after an unexpected exception."""
        ...

    def do_in_task(self, errand: Callable[[], Awaitable[None]]) -> None:
        """Let the task of the request do something."""
        ...


class OpenCall:
    """Represent one call from its request to the end of its response, or until the exchange leaves it."""

    __slots__ = ("_body", "_connection", "_driver", "_exchange", "_has_left", "_is_read_by_task", "_ready", "_sink")

    def __init__(self, driver: Driver, exchange: Exchange, sink: CallbackSink) -> None:
        self._driver = driver
        self._exchange = exchange
        self._sink = sink
        self._connection: Connection | None = None
        self._body: Listener | None = None
        """Listener of the connection instead of this call: a body that is decoded in the task."""
        self._has_left = False
        self._is_read_by_task = False
        self._ready: anyio.Event | None = None
        """Event for which the task waits before it reads on, if the client is slow."""

    def is_sent_on(self, connection: Connection | None) -> bool:
        """Note the connection on which the request was sent; return False if there is none."""
        self._connection = connection
        if connection is not None and self._has_left:
            connection.leave(self)
        return connection is not None

    def leave(self) -> None:
        """Close the call, unless its response is complete, and report nothing more."""
        self._has_left = True
        if self._connection is not None:
            self._connection.leave(self._body or self)

    def resume(self) -> None:
        """Read on: the client has caught up."""
        if self._ready is not None:
            self._ready.set()
        elif self._connection is not None:
            self._connection.resume(self)

    def head_received(self, reader: ResponseReader) -> None:
        """Report the head. A body that is compressed, although nothing asked for this, is read in the task."""
        status, retry_after_s, encoding = read_head(reader)
        if encoding is not None and self._connection is not None and not self._has_left:
            self._body, pieces = decoded_rest(self._connection, self, encoding=encoding, status=status)
            self._driver.do_in_task(partial(self._read_decoded, pieces))
        self.head(status, retry_after_s)

    def head(self, status: int, retry_after_s: float | None) -> None:
        """Report the status of the response."""
        if not self._has_left:
            self._driver.process(partial(self._exchange.head, status, retry_after_s))

    def piece_received(self, piece: bytes) -> None:
        """Report a piece of the body, and send the client what it completes."""
        if self._has_left:
            return
        exchange, action = self._exchange, self._exchange.action
        try:
            frames = exchange.piece(piece)
            if frames and not self._sink.send(frames):
                self._pause()
            if exchange.action is not action:
                self._driver.go_on()
        except Exception as error:  # noqa: BLE001 - raised in the exchange's own task.
            self._driver.broke(error)

    def response_ended(self) -> None:
        """Report the end of the response."""
        if not self._has_left:
            self._driver.process(self._exchange.ended)

    def response_failed(self, error: TransportError) -> None:
        """Report that the response broke off."""
        self.failed(unreachable(error))

    def failed(self, error: UnreachableError) -> None:
        """Report that the call failed."""
        if not self._has_left:
            self._driver.process(partial(self._exchange.failed, error))

    def _pause(self) -> None:
        """Read no more before the client has caught up."""
        if self._is_read_by_task:
            self._ready = anyio.Event()
        elif self._connection is not None:
            self._connection.pause(self)

    async def read(self, pieces: AsyncIterator[bytes]) -> None:
        """Report pieces that a task reads, as fast as the client takes them."""
        self._is_read_by_task = True
        async for piece in pieces:
            self.piece_received(piece)
            if self._ready is not None:
                await self._ready.wait()
                self._ready = None
            if self._has_left:
                return

    async def _read_decoded(self, pieces: AsyncIterator[bytes]) -> None:
        try:
            await self.read(pieces)
        except UnreachableError as error:
            self.failed(error)
        else:
            self.response_ended()
