"""Declare the exchange's interface to the client, to which answers are sent."""

from typing import Protocol


class Sink(Protocol):
    """Send an answer to the client that waits for it. If a method is cancelled, the client has disconnected."""

    async def send(self, frames: bytes) -> None:
        """Send a part of a stream; the first call starts it."""
        ...

    async def finish(self, body: bytes) -> None:
        """Send the last part of a stream, or the whole body of another answer."""
        ...
