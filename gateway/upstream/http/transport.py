"""Implement httpx's transport interface with our own connections. No cookies, redirects, proxies or HTTP/2."""

import socket
import ssl

import anyio
import httpx

from gateway.upstream.http.body import Body
from gateway.upstream.http.connection import Connection
from gateway.upstream.http.dial import dial
from gateway.upstream.http.outgoing import Origin, Outgoing, connect_s_max, origin_of, outgoing_of
from gateway.upstream.http.pool import Pool
from gateway.upstream.http.tls import ClientTls

_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Idempotent methods (RFC 9110, 9.2.2)."""


class HttpTransport(httpx.AsyncBaseTransport):
    """Send requests whose body is in memory, and return the body of a response as it arrives.

    A request that may have been accepted is repeated at most once, and only if its method is idempotent and its
    connection was used before and closed without a byte of a response.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """Create the transport; `tls` replaces the default context, which trusts the system's certificates."""
        self._pool = Pool()
        self._tls = None if tls is None else ClientTls(tls)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; return when the head of its response has arrived. Its stream must be closed.

        Raises:
            httpx.ConnectError: No connection: nothing was sent.
            httpx.ConnectTimeout: No connection in time: nothing was sent.
            httpx.TransportError: No response; the request may have been accepted.
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
                # Not the new error, which would mean that nothing was sent.
                raise lost from None

    async def aclose(self) -> None:
        """Close every connection, also those in use. Nothing can be sent afterwards."""
        await self._pool.aclose()

    async def _exchange(self, connection: Connection, outgoing: Outgoing) -> httpx.Response:
        body = Body(connection)
        connection.send(outgoing, body)
        reader = await body.head()
        return httpx.Response(reader.status, headers=reader.headers, stream=body)

    async def _exchange_anew(self, origin: Origin, outgoing: Outgoing, wait_s_max: float) -> httpx.Response:
        return await self._exchange(await self.connect(origin, wait_s_max), outgoing)

    def free_connection(self, origin: Origin) -> Connection | None:
        """Return a free connection, which the caller has to use at once; None if there is none."""
        return self._pool.take(origin)

    async def connect(self, origin: Origin, wait_s_max: float) -> Connection:
        """Open a connection, which the caller has to use at once.

        Raises:
            httpx.ConnectError: It failed, or the transport is closed.
            httpx.ConnectTimeout: It was not open in time.
        """

        def make(sock: socket.socket) -> Connection:
            pool = self._pool
            return Connection(
                origin, sock, on_free=pool.put_back, on_lost=pool.forget, on_first_head=self._remember_session
            )

        context = self._client_tls().context if origin.is_tls else None
        try:
            with anyio.fail_after(wait_s_max):
                connection = await dial(origin, context, make)
        except TimeoutError as error:
            raise httpx.ConnectTimeout("timeout while connecting") from error
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError("connection failed") from error
        self._pool.add(connection)
        return connection

    def _remember_session(self, connection: Connection) -> None:
        if connection.ssl_object is not None:
            self._client_tls().remember(connection.ssl_object)

    def _client_tls(self) -> ClientTls:
        if self._tls is None:
            # Created on demand: it reads the system's certificates.
            self._tls = ClientTls(ssl.create_default_context())
        return self._tls
