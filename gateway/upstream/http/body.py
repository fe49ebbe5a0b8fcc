"""Offer a response to a task that waits for it: first its head, then its body piece by piece."""

import asyncio

import httpx

from gateway.upstream.http.connection import Connection
from gateway.upstream.http.response import ResponseReader

BUFFER_BYTES_MAX = 64 * 1024
"""Maximum size of the unread body before reading is paused; the last read may exceed it by its own size."""


class Body(httpx.AsyncByteStream):
    """Buffer a response, and iterate over its body in the pieces in which it arrived. One task may wait for it.

    Timeouts run only while the task waits.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reader: ResponseReader | None = None
        self._pieces: list[bytes] = []
        self._buffered_bytes = 0
        self._has_ended = False
        self._error: httpx.TransportError | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def head(self) -> ResponseReader:
        """Wait for the head of the response.

        Raises:
            httpx.TransportError: It did not arrive.
        """
        while self._reader is None:
            await self._wait()
        return self._reader

    def __aiter__(self) -> "Body":
        return self

    async def __anext__(self) -> bytes:
        if not self._pieces and not self._has_ended:
            self._connection.resume(self)
            while not self._pieces and not self._has_ended:
                await self._wait()
        pieces = self._pieces
        if not pieces:
            raise StopAsyncIteration
        self._pieces, self._buffered_bytes = [], 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Stop reading. Never waits."""
        if not self._has_ended and self._error is None:
            self._error = httpx.ReadError("the response was closed before it was complete")
            self._connection.leave(self)

    async def aclose(self) -> None:
        """Stop reading, under the name that httpx calls."""
        self.close()

    def head_received(self, reader: ResponseReader) -> None:
        """Store the head."""
        self._reader = reader
        self._wake()

    def piece_received(self, piece: bytes) -> None:
        """Store a piece; stop reading if the task does not keep up."""
        self._pieces.append(piece)
        self._buffered_bytes += len(piece)
        if self._buffered_bytes > BUFFER_BYTES_MAX:
            self._connection.pause(self)
        self._wake()

    def response_ended(self) -> None:
        """Note the end."""
        self._has_ended = True
        self._wake()

    def response_failed(self, error: httpx.TransportError) -> None:
        """Keep the error until all pieces before it are read."""
        self._error = error
        self._wake()

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        except BaseException:
            self.close()
            raise

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        self._connection.hold_timeout(self)
