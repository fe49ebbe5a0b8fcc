"""A request's body, bounded, and decompressed where it has a Content-Encoding."""

from typing import Self

import anyio.lowlevel
from litestar.types import Receive, Scope

from gateway.errors import BodiesFullError, BodyTooLargeError, InvalidRequestError, UnsupportedEncodingError
from gateway.fairshare.room import Place as RoomPlace
from gateway.fairshare.room import Room
from gateway.wire.content_coding import (
    DamagedContentError,
    Decompressor,
    UnknownCodingError,
    decompressor_for,
    known_codings,
)
from gateway.wire.request_head import header_values

DISCARD_BYTES_MAX = 64 * 1024 * 1024
"""The most that is read of a body after its refusal: a client that still sends would not see the answer otherwise."""

ROOM_BYTES_MAX = 256 * 1024 * 1024
"""The room for requests where the size of the memory is not given."""
ROOM_BODIES_MIN = 4
"""The number of bodies of the largest size that have room where the size of the memory is not given."""
HELD_BYTES_MIN = 64 * 1024
"""The least that a body counts for while it is read, because the server reads so much ahead."""
REQUEST_BYTES = 32 * 1024
"""The memory that a request takes beside its body until it is answered: each of 5 000 open streams takes 35 KB
(docs/performance.md), 8 KB of which belong to its connection."""
FIELD_BYTES = 256
"""The memory that a field of a request takes beyond its bytes."""
GROWTH = 1.125
"""The size of the buffer in which a body is collected, relative to the body: an eighth more."""
RETRY_S = 1.0
TURN_BYTES = 1024 * 1024
"""To decompress so much takes milliseconds."""


class BodyRoom(Room):
    """Count the requests in this process, from the first byte of their bodies until their answers end."""

    def __init__(self, *, body_bytes_max: int, bytes_max: int | None = None) -> None:
        """Create the room; `bytes_max` limits all requests together. Without it, a few of the largest have room."""
        self._is_fixed = bytes_max is not None
        self.body_bytes_max = 0
        """The size of the largest body that is accepted: one tenant alone has room for it."""
        super().__init__(bytes_max or 0)
        self.admit(body_bytes_max=body_bytes_max)

    def admit(self, *, body_bytes_max: int) -> None:
        """Accept bodies up to this size from now on, as far as there is room."""
        if not self._is_fixed:
            self.resize(max(ROOM_BYTES_MAX, ROOM_BODIES_MIN * body_bytes_max))
        self.body_bytes_max = min(body_bytes_max, int((self.bytes_max // 2 - REQUEST_BYTES) / GROWTH))

    def place(self, tenant: str) -> "Place":
        """Return the place of one request, which ends with the block of its `with`, or later if it is kept."""
        return Place(self, tenant)

    def take(self, tenant: str, size: int) -> None:
        """Take more of it.

        Raises:
            BodiesFullError: The tenant has too much of it.
        """
        if not self.has_room(tenant, size):
            raise BodiesFullError(retry_after_s=RETRY_S)
        self.add(tenant, size)


class Place(RoomPlace):
    """Hold the room of one request."""

    __slots__ = ("_is_kept",)

    def __init__(self, room: BodyRoom, tenant: str) -> None:
        super().__init__(room, tenant)
        self._is_kept = False

    def __enter__(self) -> Self:
        """Begin to read.

        Raises:
            BodiesFullError: There is no room.
        """
        self.grow(0)
        return self

    def __exit__(self, *_error: object) -> None:
        if not self._is_kept:
            self.leave()

    def grow(self, body_bytes: int) -> None:
        """Make it large enough for so many bytes.

        Raises:
            BodiesFullError: There is no room for them.
        """
        size = max(body_bytes, HELD_BYTES_MIN)
        if size > self.held_bytes:
            self._hold(size)

    def fit(self, body_bytes: int, *, fields: int) -> None:
        """Set the place to the size of a request that was read.

        Raises:
            BodiesFullError: There is no room for it.
        """
        self._hold(REQUEST_BYTES + int(body_bytes * GROWTH) + FIELD_BYTES * fields)

    def keep(self) -> None:
        """Keep the place beyond the block; its owner has to leave it."""
        self._is_kept = True

    def _hold(self, size: int) -> None:
        if not self.hold(size):
            raise BodiesFullError(retry_after_s=RETRY_S)


def decompressor_of(scope: Scope) -> Decompressor | None:
    """Return what undoes the Content-Encoding of a request's body; None where it is plain.

    Raises:
        UnsupportedEncodingError: The encoding is not read here.
    """
    values = header_values(scope["headers"], b"content-encoding")
    if not values:
        return None
    try:
        return decompressor_for(b",".join(values).decode("latin-1"))
    except UnknownCodingError as error:
        raise UnsupportedEncodingError(error.encoding, [*known_codings(), "identity"]) from None


async def read_body(
    receive: Receive, place: Place, *, bytes_max: int, decompressor: Decompressor | None = None
) -> bytes | bytearray:
    """Read the whole body, and decompress it as it comes.

    Raises:
        BodyTooLargeError: It is larger than `bytes_max`, as it is sent or decompressed.
        BodiesFullError: There is no room for it.
        InvalidRequestError: The client stopped sending, or the body is not what its Content-Encoding says.
    """
    pieces, body = _Pieces(receive), _Body(place, bytes_max)
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
        # The room is given back at once. The server reads on for a while, so that the client sees the answer.
        body.drop()
        raise
    except BodyTooLargeError:
        # Nothing of the body is kept, neither what came nor what will.
        body.drop()
        await pieces.discard()
        raise
    except DamagedContentError as error:
        reason = f"The body {error}. Send what its Content-Encoding says, or leave that header out."
        raise InvalidRequestError(reason, code="invalid_content_encoding") from None
    return body.content


async def _decompress(piece: bytes, decompressor: Decompressor, body: "_Body") -> None:
    """Add what a piece decompresses to; other requests have their turn after each `TURN_BYTES` of it."""
    turn_bytes = 0
    for chunk in decompressor.feed(piece):
        body.add(chunk)
        turn_bytes += len(chunk)
        if turn_bytes >= TURN_BYTES:
            turn_bytes = 0
            await anyio.lowlevel.checkpoint()


class _Pieces:
    """The pieces of a body as its client sends them."""

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
            raise InvalidRequestError("The body ended early.", code=None)
        piece: bytes = message["body"]
        self.received_bytes += len(piece)
        self.is_more = message["more_body"]
        return piece

    async def discard(self) -> None:
        """Read on without keeping anything, up to `DISCARD_BYTES_MAX` in all."""
        while self.is_more and self.received_bytes <= DISCARD_BYTES_MAX:
            await self.next()


class _Body:
    """A body as it grows.

    A large one is collected where it will stay: joined from its pieces it would be there twice.
    """

    def __init__(self, place: Place, bytes_max: int) -> None:
        self._place = place
        self._bytes_max = bytes_max
        self.content: bytes | bytearray = b""

    def drop(self) -> None:
        """Drop what came so far, and leave its place."""
        self.content = b""
        self._place.leave()

    def check(self, size: int) -> None:
        """Hold a number of bytes against the limit.

        Raises:
            BodyTooLargeError: They are too many.
        """
        if size > self._bytes_max:
            raise BodyTooLargeError(self._bytes_max)

    def add(self, piece: bytes) -> None:
        """Add a piece.

        Raises:
            BodyTooLargeError: It is too large with it.
            BodiesFullError: There is no room for it.
        """
        size = len(self.content) + len(piece)
        self.check(size)
        self._place.grow(size)
        # Named only here: the error of a refusal keeps its frames' variables alive while the rest of the body is read.
        content = self.content
        if not content:
            self.content = piece
        elif isinstance(content, bytearray):
            content += piece
        else:
            self.content = bytearray(content) + piece
