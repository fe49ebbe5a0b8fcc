"""Declare the exchange's interface to the client, to which answers are sent."""

from collections.abc import Callable
from typing import Protocol


class Sink(Protocol):
    """Send an answer to the client that waits for it. If a method is cancelled, the client has disconnected."""

    async def send(self, frames: bytes) -> None:
        """Send a part of a stream; the first call starts it."""
        ...

    async def finish(self, body: bytes) -> None:
        """Send the last part of a stream, or the whole body of another answer."""
        ...


class CallbackSink(Protocol):
    """Send an answer to the client without waiting."""

    on_ready: Callable[[], None] | None
    """Called when the client can be sent more. It must not raise."""

    @property
    def is_slow(self) -> bool:
        """Return True if the client does not keep up: then nothing should be sent before `on_ready`."""
        ...

    def send(self, frames: bytes) -> bool:
        """Send a part of a stream; the first call starts it. Return False if the client is slow now."""
        ...

    def finish(self, body: bytes) -> bool:
        """Send the last part of a stream, or the whole body of another answer.

        Return False if a part of it has to wait for the client: then call `finish_rest` when it is ready.
        """
        ...

    def finish_rest(self) -> bool:
        """Send more of what `finish` did not; return as it does."""
        ...

    def check(self, now_s: float) -> None:
        """Send keep-alive data if it is due. Called regularly."""
        ...
