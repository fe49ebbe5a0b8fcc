"""Report a client's disconnect from the HTTP server to the handlers of its request.

ASGI reports a disconnect as a message from `receive`, which needs a second task for every request to wait for it. That
was a sixth of the CPU time of a relayed answer. A callback costs nothing until it is called. Our server calls it; on
any other ASGI server `watch` waits for the message.
"""

from collections.abc import Callable
from typing import Any

from litestar.types import Receive, Scope

_KEY = "fairpod.disconnect"


class Disconnect:
    """Hold whether the client of one request has disconnected, and the callback for it."""

    __slots__ = ("_callback", "_has_fired")

    def __init__(self) -> None:
        self._has_fired = False
        self._callback: Callable[[], None] | None = None

    def subscribe(self, callback: Callable[[], None] | None) -> None:
        """Set the callback for the disconnect, or remove it with None; call it now if the client has disconnected.

        The callback must not raise.
        """
        self._callback = callback
        if self._has_fired and callback is not None:
            callback()

    def fire(self) -> None:
        """Record the disconnect and call the callback. The server may call this more than once."""
        if not self._has_fired:
            self._has_fired = True
            if self._callback is not None:
                self._callback()


def attach_disconnect(scope: Any, disconnect: Disconnect) -> None:
    """Store a disconnect in the ASGI scope for the handlers of this request."""
    scope[_KEY] = disconnect


def disconnect_of(scope: Scope) -> Disconnect | None:
    """Return the disconnect of a request from its ASGI scope; None if the server attached none."""
    disconnect: Disconnect | None = scope.get(_KEY)  # type: ignore[assignment]
    return disconnect


async def watch(receive: Receive, disconnect: Disconnect) -> None:
    """Wait for the message that the client has disconnected (ASGI 3.0, `http.disconnect`), and fire the callback."""
    while (await receive())["type"] != "http.disconnect":
        pass
    disconnect.fire()
