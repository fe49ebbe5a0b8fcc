"""The open connections: those that wait for a request, by origin, and all of them, to be closed in the end."""

import anyio
import httpx

from gateway.upstream.http.connection import Connection
from gateway.upstream.http.outgoing import Origin


class Pool:
    """Owns every connection from the moment it is open until it is lost. It sets no bound: our gates do."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._free: dict[Origin, dict[Connection, None]] = {}
        self._is_closed = False
        self._emptied: anyio.Event | None = None

    def add(self, connection: Connection) -> None:
        """Own a new connection.

        Raises:
            httpx.ConnectError: It comes too late: the pool is closed, and so is the connection.
        """
        if self._is_closed:
            connection.abort()
            raise httpx.ConnectError("the transport is closed")
        self._open.add(connection)

    def take(self, origin: Origin) -> Connection | None:
        """The free connection that was used last, so that the others may grow old; None if there is none alive."""
        free = self._free.get(origin)
        while free:
            connection, _ = free.popitem()
            if connection.is_alive():
                return connection
            connection.abort()
        return None

    def put_back(self, connection: Connection) -> None:
        """Its response is complete."""
        self._free.setdefault(connection.origin, {})[connection] = None

    def forget(self, connection: Connection) -> None:
        """It is lost."""
        self._open.discard(connection)
        if free := self._free.get(connection.origin):
            free.pop(connection, None)
        if self._emptied is not None and not self._open:
            self._emptied.set()

    async def aclose(self) -> None:
        """Close every connection, whatever it carries, and wait until the sockets are closed."""
        self._is_closed = True
        if self._open:
            self._emptied = anyio.Event()
            for connection in list(self._open):
                connection.abort()
            await self._emptied.wait()
