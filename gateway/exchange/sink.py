"""Where an answer goes: the exchange's view of the client."""

from typing import Protocol


class Sink(Protocol):
    """A client that waits for its answer. Each method may be cancelled: then the client has left."""

    async def send(self, frames: bytes) -> None:
        """Send a part of a stream, beginning it first where that was not done."""
        ...

    async def finish(self, body: bytes) -> None:
        """Send the last part, or the whole body of an answer that is no stream."""
        ...
