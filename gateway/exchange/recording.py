"""An answer that is kept while it is made, so that whoever asks for it again is told it from its beginning."""

from collections.abc import Callable

import anyio
import msgspec

from gateway.errors import IdempotencyError
from gateway.exchange.sink import Sink

BYTES_MAX = 4 * 1024 * 1024
"""Of one answer. What is longer can be followed by those who came in time, and is not told again."""
PIECE_BYTES = 48
"""The memory that a piece takes beyond its bytes."""


class _Listener(msgspec.Struct, eq=False):
    """One that is told the answer, and how far."""

    at: int = 0


class Recording:
    """A sink for one exchange, and the source for any number of clients.

    The exchange waits for nobody until the answer is longer than is kept; from there on it waits for the slowest.
    """

    def __init__(self, has_room: Callable[[int], bool] = lambda _size: True) -> None:
        """Create an empty recording; `has_room` tells whether a number of bytes may be kept in all."""
        self.size = 0
        """Bytes kept."""
        self._has_room = has_room
        self.is_repeatable = True
        """Whether the whole answer is kept, or will be."""
        self.is_finished = False
        self._pieces: list[bytes] = []
        self._dropped = 0
        self._listeners: set[_Listener] = set()
        self._error: Exception | None = None
        self._changed = anyio.Event()
        self._heard = anyio.Event()

    @property
    def has_listeners(self) -> bool:
        """Whether anybody is told the answer now."""
        return bool(self._listeners)

    async def send(self, frames: bytes) -> None:
        """Keep a part of a stream."""
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
        """There will be no more of it."""
        self._error = error
        self._notify()

    async def tell(self, sink: Sink) -> None:
        """Pass the answer on to one client, from its beginning to its end.

        Raises:
            IdempotencyError: Its beginning is not kept any more.
            Exception: What the exchange failed with.
        """
        if self._dropped:
            raise IdempotencyError("The answer to this Idempotency-Key was too long to be kept. Use a new key.")
        listener = _Listener()
        self._listeners.add(listener)
        try:
            while True:
                changed = self._changed
                while listener.at < self._dropped + len(self._pieces):
                    piece = self._pieces[listener.at - self._dropped]
                    listener.at += 1
                    if self.is_finished and listener.at == self._dropped + len(self._pieces):
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

    def _fits(self) -> bool:
        """Tell whether there is room for all that is kept. There always is for nothing, so the exchange goes on."""
        if not self._pieces:
            return True
        return self.size <= BYTES_MAX and self._has_room(self.size + PIECE_BYTES * len(self._pieces))

    def _add(self, piece: bytes) -> None:
        # Copied, because bytes that msgspec encoded keep their whole buffer, half as large again.
        self._pieces.append(bytes(memoryview(piece)))
        self.size += len(piece)
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _drop_what_all_heard(self) -> None:
        """Nobody can begin to listen any more; what the slowest has heard is of no use."""
        end = self._dropped + len(self._pieces)
        heard = min((listener.at for listener in self._listeners), default=end) - self._dropped
        self.size -= sum(map(len, self._pieces[:heard]))
        del self._pieces[:heard]
        self._dropped += heard
