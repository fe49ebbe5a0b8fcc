"""Read the bodies of requests, limit their size and memory, and decompress those with a Content-Encoding."""

from typing import Self

import anyio.lowlevel
from litestar.types import Receive, Scope

from gateway.errors import BodiesFullError, BodyTooLargeError, InvalidRequestError, UnsupportedEncodingError
from gateway.fairshare.memory_shares import MemoryReservation, MemoryShares
from gateway.wire.content_coding import (
    DamagedContentError,
    Decompressor,
    UnknownCodingError,
    decompressor_for,
    known_codings,
)
from gateway.wire.request_head import header_values

DISCARD_BYTES_MAX = 64 * 1024 * 1024
"""Maximum number of bytes read of a rejected body: a client that still sends would miss the answer otherwise."""

ROOM_BYTES_MAX = 256 * 1024 * 1024
"""Minimum size in bytes of the room for requests if no memory size is given."""
ROOM_BODIES_MIN = 4
"""Number of bodies of the maximum size that the room has to hold if no memory size is given."""
HELD_BYTES_MIN = 64 * 1024
"""Minimum number of bytes that a body counts for while it is read: the server's read-ahead."""
REQUEST_BYTES = 32 * 1024
"""Memory in bytes of a request besides its body, until it is answered: each of 5 000 open streams takes 35 KB
(docs/performance.md), 8 KB of which belong to its connection."""
FIELD_BYTES = 256
"""Memory in bytes of a field of a request, in addition to its content."""
GROWTH = 1.125
"""Size of the buffer in which a body is collected, relative to the body: a `bytearray` over-allocates by an eighth."""
RETRY_S = 1.0
TURN_BYTES = 1024 * 1024
"""Number of decompressed bytes after which other tasks run: it takes milliseconds to decompress them."""


class BodyBudget(MemoryShares):
    """Count the memory of requests in this process, from the first byte of the body until the answer ends."""

    def __init__(self, *, body_bytes_max: int, bytes_max: int | None = None) -> None:
        """Create the room; `bytes_max` limits all requests together. Without it, the size follows `body_bytes_max`."""
        self._is_fixed = bytes_max is not None
        self.body_bytes_max = 0
        """Maximum size in bytes of a body: what a single tenant can hold, which is half of the room."""
        super().__init__(bytes_max or 0)
        self.admit(body_bytes_max=body_bytes_max)

    def admit(self, *, body_bytes_max: int) -> None:
        """Set the maximum size of a body, reduced to what the room can hold."""
        if not self._is_fixed:
            self.resize(max(ROOM_BYTES_MAX, ROOM_BODIES_MIN * body_bytes_max))
        self.body_bytes_max = min(body_bytes_max, int((self.bytes_max // 2 - REQUEST_BYTES) / GROWTH))

    def reserve(self, tenant: str) -> "BodyReservation":
        """Return the reservation of one request: a context manager that releases it, unless `keep` was called."""
        return BodyReservation(self, tenant)

    def take(self, tenant: str, size: int) -> None:
        """Add `size` bytes to what the tenant holds.

        Raises:
            BodiesFullError: This would exceed the tenant's part of the room.
        """
        if not self.has_room(tenant, size):
            raise BodiesFullError(retry_after_s=RETRY_S)
        self.add(tenant, size)


class BodyReservation(MemoryReservation):
    """Hold the memory reservation of one request."""

    __slots__ = ("_is_kept",)

    def __init__(self, room: BodyBudget, tenant: str) -> None:
        super().__init__(room, tenant)
        self._is_kept = False

    def __enter__(self) -> Self:
        """Reserve the minimum.

        Raises:
            BodiesFullError: There is no room.
        """
        self.grow(0)
        return self

    def __exit__(self, *_error: object) -> None:
        if not self._is_kept:
            self.leave()

    def grow(self, body_bytes: int) -> None:
        """Enlarge the reservation to `body_bytes` if it is smaller.

        Raises:
            BodiesFullError: There is no room for them.
        """
        size = max(body_bytes, HELD_BYTES_MIN)
        if size > self.held_bytes:
            self._hold(size)

    def fit(self, body_bytes: int, *, fields: int) -> None:
        """Set the reservation to the memory of a request that was read completely.

        Raises:
            BodiesFullError: There is no room for it.
        """
        self._hold(REQUEST_BYTES + int(body_bytes * GROWTH) + FIELD_BYTES * fields)

    def keep(self) -> None:
        """Keep the reservation beyond the `with` block; its owner has to call `leave`."""
        self._is_kept = True

    def _hold(self, size: int) -> None:
        if not self.hold(size):
            raise BodiesFullError(retry_after_s=RETRY_S)


def decompressor_of(scope: Scope) -> Decompressor | None:
    """Return the decompressor for the Content-Encoding of a request's body; None if it is not encoded.

    Raises:
        UnsupportedEncodingError: The encoding is not supported.
    """
    values = header_values(scope["headers"], b"content-encoding")
    if not values:
        return None
    try:
        return decompressor_for(b",".join(values).decode("latin-1"))
    except UnknownCodingError as error:
        raise UnsupportedEncodingError(error.encoding, [*known_codings(), "identity"]) from None


async def read_body(
    receive: Receive, reservation: BodyReservation, *, bytes_max: int, decompressor: Decompressor | None = None
) -> bytes | bytearray:
    """Read the whole body, and decompress it as it arrives.

    Raises:
        BodyTooLargeError: It is larger than `bytes_max`, compressed or decompressed.
        BodiesFullError: There is no room for it.
        InvalidRequestError: The client stopped sending, or the body does not match its Content-Encoding.
    """
    pieces, body = _Pieces(receive), _Body(reservation, bytes_max)
    try:
        while pieces.is_more:
            piece = await pieces.next()
            if decompressor is None:
                body.add(piece)
            else:
                body.check(pieces.received_bytes)
                await _decompress(piece, decompressor, body)
        if decompressor is not None:
            decompressor.end()
    except BodiesFullError:
        # The room is released at once. The server discards the rest of the body, so that the client sees the answer.
        body.drop()
        raise
    except BodyTooLargeError:
        body.drop()
        await pieces.discard()
        raise
    except DamagedContentError as error:
        reason = f"The body {error}. Send a body that matches its Content-Encoding, or omit this header."
        raise InvalidRequestError(reason, code="invalid_content_encoding") from None
    return body.content


async def _decompress(piece: bytes, decompressor: Decompressor, body: "_Body") -> None:
    """Decompress a piece and add it to the body; let other tasks run after each `TURN_BYTES` of output."""
    turn_bytes = 0
    for chunk in decompressor.feed(piece):
        body.add(chunk)
        turn_bytes += len(chunk)
        if turn_bytes >= TURN_BYTES:
            turn_bytes = 0
            await anyio.lowlevel.checkpoint()


class _Pieces:
    """Receive the pieces of a body as its client sends them."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.received_bytes = 0
        self.is_more = True

    async def next(self) -> bytes:
        """Wait for the next piece.

        Raises:
            InvalidRequestError: The client stopped sending.
        """
        message = await self._receive()
        if message["type"] != "http.request":
            raise InvalidRequestError("The body is incomplete.", code=None)
        piece: bytes = message["body"]
        self.received_bytes += len(piece)
        self.is_more = message["more_body"]
        return piece

    async def discard(self) -> None:
        """Read and discard the rest of the body, up to `DISCARD_BYTES_MAX` in total."""
        while self.is_more and self.received_bytes <= DISCARD_BYTES_MAX:
            await self.next()


class _Body:
    """Collect a body.

    A large body is collected in a `bytearray`: joining a list of pieces would need its memory twice.
    """

    def __init__(self, reservation: BodyReservation, bytes_max: int) -> None:
        self._reservation = reservation
        self._bytes_max = bytes_max
        self.content: bytes | bytearray = b""

    def drop(self) -> None:
        """Discard what was collected, and release its reservation."""
        self.content = b""
        self._reservation.leave()

    def check(self, size: int) -> None:
        """Check a number of bytes against the limit.

        Raises:
            BodyTooLargeError: It exceeds the limit.
        """
        if size > self._bytes_max:
            raise BodyTooLargeError(self._bytes_max)

    def add(self, piece: bytes) -> None:
        """Add a piece.

        Raises:
            BodyTooLargeError: The body would be too large.
            BodiesFullError: There is no room for it.
        """
        size = len(self.content) + len(piece)
        self.check(size)
        self._reservation.grow(size)
        # Assigned only here: an error raised above would keep this frame's variables, and so the body, alive while the
        # rest of it is read.
        content = self.content
        if not content:
            self.content = piece
        elif isinstance(content, bytearray):
            content += piece
        else:
            self.content = bytearray(content) + piece
