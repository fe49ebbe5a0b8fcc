"""httpx's transport interface over our own connections. No cookies, redirects, proxies or HTTP/2."""

import socket
import ssl

import anyio
import httpx

from gateway.upstream.http.connection import Connection
from gateway.upstream.http.dial import dial
from gateway.upstream.http.outgoing import Origin, Outgoing, connect_s_max, origin_of, outgoing_of
from gateway.upstream.http.pool import Pool
from gateway.upstream.http.response import ResponseReader
from gateway.upstream.http.tls import ClientTls

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110, 9.2.2."""


class HttpTransport(httpx.AsyncBaseTransport):
    """Sends requests whose body is in memory, and gives the body of a response as it comes.

    A request that may have been taken is sent again only where its method says that this does no harm, on a connection
    that was used before and closed without a byte of a response, and once.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """`tls` replaces the default context, which trusts what the system trusts."""
        self._pool = Pool()
        self._tls = None if tls is None else ClientTls(tls)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return when the head of its response is there. Its stream must be closed.

        Raises:
            httpx.ConnectError: No connection: nothing was sent.
            httpx.ConnectTimeout: The same, in time.
            httpx.TransportError: No response; the request may have been taken.
        """
        origin = origin_of(request.url)
        outgoing = outgoing_of(request)
        wait_s_max = connect_s_max(request)
        connection = self._pool.take(origin)
        if connection is None:
            return await self._exchange_anew(origin, outgoing, wait_s_max)
        try:
            return await self._exchange(connection, outgoing)
        except httpx.TransportError as lost:
            if not connection.is_stale or outgoing.method not in _IDEMPOTENT:
                raise
            try:
                return await self._exchange_anew(origin, outgoing, wait_s_max)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                # Not this one: it would say that nothing was sent.
                raise lost from None

    async def aclose(self) -> None:
        """Close every connection, also those in use. Nothing can be sent after it."""
        await self._pool.aclose()

    async def _exchange(self, connection: Connection, outgoing: Outgoing) -> httpx.Response:
        reader = connection.send(outgoing)
        await connection.receive_head(reader)
        return httpx.Response(reader.status, headers=reader.headers, stream=Body(connection, reader))

    async def _exchange_anew(self, origin: Origin, outgoing: Outgoing, wait_s_max: float) -> httpx.Response:
        connection = await self._connect(origin, wait_s_max)
        response = await self._exchange(connection, outgoing)
        if connection.ssl_object is not None:
            self._client_tls().remember(connection.ssl_object)
        return response

    async def _connect(self, origin: Origin, wait_s_max: float) -> Connection:
        def make(sock: socket.socket) -> Connection:
            return Connection(origin, sock, on_free=self._pool.put_back, on_lost=self._pool.forget)

        context = self._client_tls().context if origin.is_tls else None
        try:
            with anyio.fail_after(wait_s_max):
                connection = await dial(origin, context, make)
        except TimeoutError as error:
            raise httpx.ConnectTimeout("no connection in time") from error
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError("no connection") from error
        self._pool.add(connection)
        return connection

    def _client_tls(self) -> ClientTls:
        if self._tls is None:
            # Not before it is needed: it reads the system's certificates.
            self._tls = ClientTls(ssl.create_default_context())
        return self._tls


class Body(httpx.AsyncByteStream):
    """The body of a response, in the pieces that it came in."""

    def __init__(self, connection: Connection, reader: ResponseReader) -> None:
        self._connection = connection
        self._reader = reader

    def __aiter__(self) -> "Body":
        return self

    async def __anext__(self) -> bytes:
        piece = await self._connection.receive(self._reader)
        if not piece:
            raise StopAsyncIteration
        return piece

    def close(self) -> None:
        """Nobody reads on. Never waits."""
        self._connection.leave(self._reader)

    async def aclose(self) -> None:
        """Httpx's name for it."""
        self.close()
