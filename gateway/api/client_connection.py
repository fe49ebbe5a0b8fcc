"""Write a response to the client's connection without waiting, where the server offers this.

ASGI's `send` is awaited for each piece of an answer, so that a task has to run for it. A plain call costs a fifth of
that. Our server attaches a `ClientConnection` to the ASGI scope; on any other server, and for HTTP/1.0, there is none.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from litestar.types import Scope

_KEY = "fairpod.client_connection"


class ClientConnection(Protocol):
    """Define the connection of one request, for its response. After a disconnect, what is written is discarded."""

    on_ready: Callable[[], None] | None
    """Called when the connection is no longer slow. It must not raise."""

    @property
    def is_slow(self) -> bool:
        """Return True if the client does not keep up, so that the write buffer is full."""
        ...

    def begin(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Begin a response with status 200, whose first data follows at once; in chunks if it has no content-length."""
        ...

    def write(self, data: bytes) -> bool:
        """Write a part of the body, which is not empty; return False if the client is slow now."""
        ...

    def finish(self, data: bytes) -> None:
        """Write the last part of the body. The connection may carry another request afterwards."""
        ...


def attach_client_connection(scope: Any, connection: ClientConnection) -> None:
    """Store the connection in the ASGI scope for the handlers of this request."""
    scope[_KEY] = connection


def detach_client_connection(scope: Any) -> None:
    """Remove the connection from the ASGI scope of a request that is over: it may lead back to the scope."""
    scope.pop(_KEY, None)


def client_connection_of(scope: Scope) -> ClientConnection | None:
    """Return the connection of a request from its ASGI scope; None if the server attached none."""
    connection: ClientConnection | None = scope.get(_KEY)  # type: ignore[assignment]
    return connection
