"""A request's body, bounded, and decompressed where it has a Content-Encoding."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio.lowlevel
from litestar.types import Receive, Scope

from gateway.errors import BodiesFullError, BodyTooLargeError, InvalidRequestError, UnsupportedEncodingError
from gateway.wire.content_coding import (
    DamagedContentError,
    Decompressor,
    UnknownCodingError,
    decompressor_for,
    known_codings,
)

DISCARD_BYTES_MAX = 64 * 1024 * 1024
"""How much of a body that is too large is read all the same: a client that still sends would not see the answer."""

ROOM_BYTES_MAX = 256 * 1024 * 1024
"""Of bodies that are being read. Those that are whole are counted where they wait."""
ROOM_BODIES_MIN = 4
"""So many of the largest have room in any case."""
HELD_BYTES_MIN = 64 * 1024
"""What a body counts for at least: the server reads so much ahead."""
RETRY_S = 1.0
TURN_BYTES = 1024 * 1024
"""To decompress so much takes milliseconds."""


class BodyRoom:
    """The bodies that are being read, in bytes by tenant.

    A tenant may have as much as it leaves to others: half of the room alone, a third beside another one that wants as
    much. So there is always some left for the next tenant, and none has a part that lies idle.
    """

    def __init__(self, *, body_bytes_max: int) -> None:
        self.resize(body_bytes_max=body_bytes_max)
        self._tenants: dict[str, int] = {}
        self.held_bytes = 0

    def resize(self, *, body_bytes_max: int) -> None:
        """Bodies may be so large from now on."""
        self._bytes_max = max(ROOM_BYTES_MAX, ROOM_BODIES_MIN * body_bytes_max)

    @contextmanager
    def place(self, tenant: str) -> Iterator["Place"]:
        """Room for one body; given back at the end of the block."""
        place = Place(self, tenant)
        try:
            place.grow(0)
            yield place
        finally:
            self._change(tenant, -place.held_bytes)

    def take(self, tenant: str, size: int) -> None:
        """Take more of it.

        Raises:
            BodiesFullError: The tenant has too much of it.
        """
        if self._tenants.get(tenant, 0) + size > self._bytes_max - self.held_bytes - size:
            raise BodiesFullError(retry_after_s=RETRY_S)
        self._change(tenant, size)

    def _change(self, tenant: str, size: int) -> None:
        self.held_bytes += size
        held = self._tenants.get(tenant, 0) + size
        if held:
            self._tenants[tenant] = held
        else:
            self._tenants.pop(tenant, None)


class Place:
    """The room of one body."""

    def __init__(self, room: BodyRoom, tenant: str) -> None:
        self._room = room
        self._tenant = tenant
        self.held_bytes = 0

    def grow(self, body_bytes: int) -> None:
        """Make it large enough for so many bytes.

        Raises:
            BodiesFullError: There is no room for them.
        """
        size = max(body_bytes, HELD_BYTES_MIN) - self.held_bytes
        if size > 0:
            self._room.take(self._tenant, size)
            self.held_bytes += size


def decompressor_of(scope: Scope) -> Decompressor | None:
    """Return what undoes the Content-Encoding of a request's body; None where it is plain.

    Raises:
        UnsupportedEncodingError: The encoding is not read here.
    """
    values = [value for name, value in scope["headers"] if name == b"content-encoding"]
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
    except BodyTooLargeError:
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
        content, size = self.content, len(self.content) + len(piece)
        self.check(size)
        self._place.grow(size)
        if not content:
            self.content = piece
        elif isinstance(content, bytearray):
            content += piece
        else:
            self.content = bytearray(content) + piece
