"""Keep an answer while it is produced, so that repeated requests receive it from its beginning."""

from collections.abc import Callable

import anyio
import msgspec

from gateway.errors import IdempotencyError
from gateway.exchange.sink import Sink

BYTES_MAX = 4 * 1024 * 1024
"""Maximum bytes kept of one answer. A longer one is only sent to clients that joined while its beginning was kept."""
PIECE_BYTES = 48
"""Memory of a piece beyond its own bytes."""


class _Listener(msgspec.Struct, eq=False):
    """Track how many pieces of the answer one client has received."""

    at: int = 0


class ReplayBuffer:
    """Act as a sink for one exchange, and as the source for any number of clients.

    The exchange waits for no client until the answer is longer than is kept; from then on it waits for the slowest.
    """

    def __init__(self, has_room: Callable[[int], bool] = lambda _size: True) -> None:
        """Create an empty recording; `has_room` returns True if this number of bytes may be kept in total."""
        self.size = 0
        """Number of bytes kept."""
        self._has_room = has_room
        self.is_repeatable = True
        """True while the whole answer is kept, or can be."""
        self.is_finished = False
        self._pieces: list[bytes] = []
        self._dropped = 0
        self._listeners: set[_Listener] = set()
        self._error: Exception | None = None
        self._changed = anyio.Event()
        self._heard = anyio.Event()

    @property
    def has_listeners(self) -> bool:
        """Return True if any client receives the answer now."""
        return bool(self._listeners)

    async def send(self, frames: bytes) -> None:
        """Keep a part of a stream; without room for it, wait for the slowest listener."""
        self._add(frames)
        while not self._fits():
            self.is_repeatable = False
            self._drop_what_all_heard()
            if not self._fits():
                self._heard = anyio.Event()
                await self._heard.wait()

    async def finish(self, body: bytes) -> None:
        """Keep the last part, or the whole body; without room for it, only until all listeners have it."""
        self.is_finished = True
        self._add(body)
        if self._fits():
            return
        self.is_repeatable = False
        while self._listeners:
            self._heard = anyio.Event()
            await self._heard.wait()

    def fail(self, error: Exception) -> None:
        """End the answer with an error, which every listener receives."""
        self._error = error
        self._notify()

    async def tell(self, sink: Sink) -> None:
        """Send the answer to one client, from its beginning to its end.

        Raises:
            IdempotencyError: Its beginning is not kept any more.
            Exception: The error that the exchange failed with.
        """
        if self._dropped:
            raise IdempotencyError("The answer to this Idempotency-Key was too large to be stored. Use a new key.")
        listener = _Listener()
        self._listeners.add(listener)
        try:
            while True:
                # Taken before the pieces are read: what is added while one is sent sets this event.
                changed = self._changed
                while listener.at < self._end:
                    piece = self._pieces[listener.at - self._dropped]
                    # Counted as received before it is sent, so that it can be dropped in the meantime.
                    listener.at += 1
                    if self.is_finished and listener.at == self._end:
                        await sink.finish(piece)
                        return
                    await sink.send(piece)
                    self._heard.set()
                if self._error is not None:
                    raise self._error
                await changed.wait()
        finally:
            self._listeners.discard(listener)
            self._heard.set()

    @property
    def _end(self) -> int:
        """Return the number of pieces so far, including those that were dropped."""
        return self._dropped + len(self._pieces)

    def _fits(self) -> bool:
        """Return True if there is room for the kept pieces; without any there is, so that the exchange continues."""
        if not self._pieces:
            return True
        return self.size <= BYTES_MAX and self._has_room(self.size + PIECE_BYTES * len(self._pieces))

    def _add(self, piece: bytes) -> None:
        # Copied, because bytes that msgspec encoded keep their whole buffer, which is half as large again.
        self._pieces.append(bytes(memoryview(piece)))
        self.size += len(piece)
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _drop_what_all_heard(self) -> None:
        """Drop the pieces that even the slowest listener has received: no client can begin to listen any more."""
        heard = min((listener.at for listener in self._listeners), default=self._end) - self._dropped
        self.size -= sum(map(len, self._pieces[:heard]))
        del self._pieces[:heard]
        self._dropped += heard
