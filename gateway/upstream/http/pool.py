"""Track the open connections: the free ones by origin, and all of them, to close them at shutdown."""

import anyio
import httpx

from gateway.upstream.http.connection import Connection
from gateway.upstream.http.outgoing import Origin


class Pool:
    """Own every connection from its opening to its loss. The number is not limited here: the gates limit it."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._free: dict[Origin, dict[Connection, None]] = {}
        self._is_closed = False
        self._emptied: anyio.Event | None = None

    def add(self, connection: Connection) -> None:
        """Add a new connection.

        Raises:
            httpx.ConnectError: The pool is closed already, and so is the connection now.
        """
        if self._is_closed:
            connection.abort()
            raise httpx.ConnectError("the transport is closed")
        self._open.add(connection)

    def take(self, origin: Origin) -> Connection | None:
        """Return the free connection that was used last; None if none is alive.

        The others may then reach their idle timeout.
        """
        free = self._free.get(origin)
        while free:
            connection, _ = free.popitem()
            if connection.is_alive():
                return connection
            connection.abort()
        return None

    def put_back(self, connection: Connection) -> None:
        """Mark a connection as free: its response is complete."""
        self._free.setdefault(connection.origin, {})[connection] = None

    def forget(self, connection: Connection) -> None:
        """Remove a lost connection."""
        self._open.discard(connection)
        if free := self._free.get(connection.origin):
            free.pop(connection, None)
        if self._emptied is not None and not self._open:
            self._emptied.set()

    async def aclose(self) -> None:
        """Close every connection, also those in use, and wait until the sockets are closed."""
        self._is_closed = True
        if self._open:
            self._emptied = anyio.Event()
            for connection in list(self._open):
                connection.abort()
            await self._emptied.wait()
